"""Between the joints' angles and the servos' counts, for all joints at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robot_bridge.backend import Vector
from robot_bridge.dynamixel.control_table import LOAD_UNIT, TICKS_PER_REVOLUTION, VELOCITY_UNIT_RAD_S
from robot_bridge.robot import RobotSettings

RAD_PER_TICK = 2.0 * np.pi / TICKS_PER_REVOLUTION
Counts = npt.NDArray[np.int64]


class Units:
    """Joint position = direction x servo angle + offset. Vectors have the order of `RobotSettings.all_joint_names`."""

    def __init__(self, robot: RobotSettings) -> None:
        self._direction = np.array([*robot.direction, *robot.auxiliary_direction])
        self._offset_rad = np.array([*robot.position_offset_rad, *robot.auxiliary_position_offset_rad])
        stalled_a = zip(robot.servos.models, robot.servos.stall_current_a, strict=True)
        self._current_unit_a = np.array([model.current_unit_a or LOAD_UNIT * stall_a for model, stall_a in stalled_a])
        self._torque_constant = np.array(robot.servos.torque_constant_nm_a)

    def position_rad(self, ticks: Counts) -> Vector:
        """Joint positions of register present_position."""
        return self.angle_rad(ticks) + self._offset_rad

    def angle_rad(self, ticks: Counts) -> Vector:
        """How far joints turn while their servos count so many ticks."""
        return self._direction * (ticks * RAD_PER_TICK)

    def ticks(self, position_rad: Vector) -> Counts:
        """Register goal_position of joint positions, to the nearest tick."""
        return np.rint(self._direction * (position_rad - self._offset_rad) / RAD_PER_TICK).astype(np.int64)

    def velocity_rad_s(self, counts: Counts) -> Vector:
        """Joint velocities of register present_velocity."""
        return self._direction * (counts * VELOCITY_UNIT_RAD_S)

    def current_a(self, counts: Counts) -> Vector:
        """Current that turns the joint forward, of register present_current. Of register present_load, a share of the
        full output, what the blocked motor would draw."""
        return self._direction * (counts * self._current_unit_a)

    def effort_nm(self, current_a: Vector) -> Vector:
        """Torque of that current."""
        return current_a * self._torque_constant
