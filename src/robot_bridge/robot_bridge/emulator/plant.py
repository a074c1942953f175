"""What the emulated servos turn: the MuJoCo robot of the robot file, or joints that hang together with nothing."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from robot_bridge.backend import Flags, RobotState, Vector
from robot_bridge.robot import RobotSettings
from robot_bridge.simulation import make_simulation
from robot_bridge.simulation.settings import SimulationSettings

# ROBEL's simulation: 2.5 ms.
_STEP_S = 0.0025
# Armature and damping of ROBEL's finger joints (dependencies3xh.xml: 0.001, 0.1).
_INERTIA_KG_M2, _DAMPING_NM_S = 0.001, 0.1


class Plant(Protocol):
    """Joints with position servos. Vectors have the order of `RobotSettings.all_joint_names`."""

    time_step_s: float

    def write(self, goals_rad: Vector, torque_on: Flags) -> None:
        """Goals and torque from now on."""

    def advance(self, duration_s: float) -> None:
        """Let time pass [s], a whole number of steps."""

    def read(self) -> RobotState:
        """What the joints do now."""

    def set_gains(self, kp_nm_rad: Vector) -> None:
        """Stiffness of the servos [Nm/rad]."""

    def set_effort_limits(self, effort_nm: Vector, loss_nm_s: Vector) -> None:
        """The most that each servo gives at rest [Nm], and what of it each rad/s takes [Nm s]."""

    def randomise(self, rng: np.random.Generator) -> None:
        """Draw the dynamics anew."""

    @property
    def gains_nm_rad(self) -> Vector:
        """Stiffness of the servos (joints,)."""

    def turn_back(self, joint: int, angle_rad: float) -> None:
        """Count a joint's position from elsewhere: whole turns less, at the same place."""


@runtime_checkable
class MovablePlant(Plant, Protocol):
    """A whole robot that moves about: its states hold the body's."""

    def put_back(self) -> None:
        """Back on its mark, standing and at rest."""


class FreeJoints:
    """Joints that touch nothing, for a robot file without a model: inertia, damping and a position servo each."""

    def __init__(self, robot: RobotSettings, epoch_ns: int) -> None:
        self.time_step_s = _STEP_S
        count = len(robot.all_joint_names)
        low = np.array([*robot.position_min_rad, *robot.auxiliary_position_min_rad])
        high = np.array([*robot.position_max_rad, *robot.auxiliary_position_max_rad])
        self._position, self._velocity = np.clip(np.zeros(count), low, high), np.zeros(count)
        self._effort, self._goals = np.zeros(count), self._position.copy()
        self._torque_on = np.zeros(count, dtype=bool)
        self._kp = np.array([*robot.kp_nm_rad, *robot.auxiliary_kp_nm_rad])
        self._limits, self._loss = np.full(count, np.inf), np.zeros(count)
        self._epoch_ns, self._steps = epoch_ns, 0

    def write(self, goals_rad: Vector, torque_on: Flags) -> None:
        self._goals, self._torque_on = np.array(goals_rad), np.array(torque_on)

    def advance(self, duration_s: float) -> None:
        for _ in range(round(duration_s / self.time_step_s)):
            pull = self._kp * (self._goals - self._position)
            lost = self._loss * self._velocity
            effort = np.minimum(np.maximum(pull, -self._limits - lost), self._limits - lost)
            self._effort = np.where(self._torque_on, effort, 0.0)
            slowest, fastest = self._pushed(-self._limits, self._loss), self._pushed(self._limits, self._loss)
            driven = np.minimum(np.maximum(self._pushed(pull), slowest), fastest)
            self._velocity = np.where(self._torque_on, driven, self._pushed(0.0))
            self._position = self._position + self.time_step_s * self._velocity
            self._steps += 1

    def _pushed(self, effort_nm: Vector | float, loss_nm_s: Vector | float = 0.0) -> Vector:
        """How fast they are a step later [rad/s]. What grows with speed implicitly: stable at any step."""
        moved = self._velocity + self.time_step_s * effort_nm / _INERTIA_KG_M2
        return moved / (1.0 + self.time_step_s * (_DAMPING_NM_S + loss_nm_s) / _INERTIA_KG_M2)

    def read(self) -> RobotState:
        time_ns = self._epoch_ns + round(self._steps * self.time_step_s * 1e9)
        return RobotState(time_ns, self._position.copy(), self._velocity.copy(), self._effort.copy())

    def set_gains(self, kp_nm_rad: Vector) -> None:
        self._kp = np.array(kp_nm_rad)

    def set_effort_limits(self, effort_nm: Vector, loss_nm_s: Vector) -> None:
        self._limits, self._loss = np.array(effort_nm), np.array(loss_nm_s)

    def randomise(self, rng: np.random.Generator) -> None:
        """They have no dynamics to draw."""

    @property
    def gains_nm_rad(self) -> Vector:
        return self._kp.copy()

    def turn_back(self, joint: int, angle_rad: float) -> None:
        self._position[joint] -= angle_rad


def make_plant(robot: RobotSettings, simulation: SimulationSettings, seed: int, epoch_ns: int) -> Plant:
    """The MuJoCo robot that the robot file names, or free joints."""
    if robot.simulation_model:
        return make_simulation(robot, simulation, seed, epoch_ns)
    return FreeJoints(robot, epoch_ns)
