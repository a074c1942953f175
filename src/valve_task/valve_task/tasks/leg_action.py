"""From actions in [-1, 1] to motor goals of five-bar legs and back: swing and extension of each leg."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from robot_bridge.leg_kinematics import LEGS, motor_angles, swing_extension
from robot_bridge.robot import RobotSettings
from rosac_common.settings import SettingsError

from valve_task.tasks.action import Action, ActionMap, Vector
from valve_task.tasks.settings import WalkSettings


class LegActionMap(ActionMap):
    """Four swings, then four extensions, in the order of `leg_kinematics.LEGS`.

    Args:
        settings: centre and range of both, and how far the start may be from the centre.
        robot: its position range clips the goals, then its speed limit.
        control_period_s: time over which the speed limit holds.

    Raises:
        SettingsError: a robot without eight joints, or actions or starts beyond the workspace of its legs.
    """

    def __init__(self, settings: WalkSettings, robot: RobotSettings, control_period_s: float) -> None:
        self.size = len(robot.joint_names)
        if self.size != 2 * len(LEGS):
            raise SettingsError(
                f"walking needs two joints for each of {', '.join(LEGS)}; robot '{robot.name}' has {self.size} joints"
            )
        _check_workspace(settings, robot)
        legs = len(LEGS)
        self._centre = np.repeat([0.0, settings.extension_centre_rad], legs)
        self._half_range = np.repeat([settings.swing_range_rad, settings.extension_range_rad], legs)
        self.low_rad, self.high_rad = np.array(robot.position_min_rad), np.array(robot.position_max_rad)
        self._limit_to(robot, control_period_s)

    def commanded_rad(self, action: npt.NDArray[np.floating]) -> Vector:
        """Swings and extensions (8,) [rad] that an action asks for."""
        return self._centre + action * self._half_range

    def goals(self, action: npt.NDArray[np.floating], position_rad: Vector) -> Vector:
        commanded = self.commanded_rad(action)
        return self._clipped(motor_angles(commanded[: len(LEGS)], commanded[len(LEGS) :]), position_rad)

    def action(self, goals_rad: Vector) -> Action:
        commanded = np.concatenate(swing_extension(goals_rad))
        action = (commanded - self._centre) / self._half_range
        return np.minimum(np.maximum(action, -1.0), 1.0).astype(np.float32)

    def symmetry(self, joint_symmetry: list[int]) -> list[int]:
        """Of whole legs: each takes the place of another one, turned round where its motors change their sides.

        Raises:
            SettingsError: a symmetry that tears a leg apart.
        """
        swings, extensions = [], []
        places = np.arange(1, self.size + 1, dtype=float)
        swing, extension = swing_extension(places)
        new_swing, new_extension = swing_extension(
            np.array([places[place - 1] for place in joint_symmetry[: self.size]])
        )
        for leg in range(len(LEGS)):
            source = np.flatnonzero(extension == new_extension[leg])
            if len(source) != 1 or min(joint_symmetry) < 0:
                raise SettingsError(f"robot.joint_symmetries: {joint_symmetry} tears leg {LEGS[leg]} apart")
            sign = 1 if new_swing[leg] == swing[source[0]] else -1
            swings.append(sign * (int(source[0]) + 1))
            extensions.append(len(LEGS) + int(source[0]) + 1)
        return swings + extensions


def _check_workspace(settings: WalkSettings, robot: RobotSettings) -> None:
    """That the safety gate refuses no action, and no start.

    Raises:
        SettingsError: it would.
    """
    if robot.legs is None:
        return
    low, high = robot.legs.extension_range_rad
    centre, half_range, spread = settings.extension_centre_rad, settings.extension_range_rad, settings.start_spread_rad
    farthest = max(half_range, spread)
    if centre - farthest < low or centre + farthest > high:
        raise SettingsError(
            f"task.walk.extension_centre_rad {centre:g} -+ {farthest:g}, the larger of extension_range_rad "
            f"{half_range:g} and start_spread_rad {spread:g}, leaves the workspace of the legs of "
            f"robot '{robot.name}', {low:.3f} .. {high:.3f} rad: make that smaller, or choose another centre"
        )
