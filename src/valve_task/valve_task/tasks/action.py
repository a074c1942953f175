"""From actions in [-1, 1] to joint goals and back (google-research/robel, components/robot/robot.py)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from robot_bridge.robot import RobotSettings
from rosac_common.settings import SettingsError

from valve_task.tasks.symmetry import keeps, keeps_range, keeps_sizes

Vector = npt.NDArray[np.float64]
Action = npt.NDArray[np.float32]

# Goals that went through messages and the gate unchanged differ by rounding only.
GOAL_TOLERANCE_RAD = 1e-5
# An action this little outside the box is rounding, not an error of the policy.
BOX_TOLERANCE = 1e-4


class ActionError(ValueError):
    """An action that cannot be executed: wrong size or not finite."""


def check_one_each(name: str, values: Sequence[float], robot: RobotSettings) -> None:
    """That a setting of the task has a value for each joint.

    Raises:
        SettingsError: it has more or fewer.
    """
    if len(values) != len(robot.joint_names):
        raise SettingsError(
            f"task.{name} has {len(values)} values, robot '{robot.name}' has {len(robot.joint_names)} joints: give one "
            "each. The task's own are in its line of valve_task/tasks/variants.py, and its task file may change them"
        )


class ActionMap:
    """Maps the action box to joint goals: centre + action x half range, then range clip, then speed clip, but never out
    of the robot's range, where servos take no goals.

    Args:
        centre_rad, half_range_rad: of each joint [rad].
        robot: its position range narrows the goals, its speed limit clips them.
        control_period_s: time over which the speed limit holds.

    Raises:
        SettingsError: lists of the wrong length, or an action range outside the robot's.
    """

    def __init__(
        self,
        centre_rad: Sequence[float],
        half_range_rad: Sequence[float],
        robot: RobotSettings,
        control_period_s: float,
    ) -> None:
        self.size = len(robot.joint_names)
        check_one_each("action_centre_rad", centre_rad, robot)
        check_one_each("action_half_range_rad", half_range_rad, robot)
        self._centre, self._half_range = np.array(centre_rad), np.array(half_range_rad)
        if not ((self._half_range > 0) & np.isfinite(self._half_range)).all():
            raise SettingsError(f"task.action_half_range_rad must be above 0 and finite: {list(half_range_rad)}")
        self.low_rad = np.maximum(self._centre - self._half_range, robot.position_min_rad)
        self.high_rad = np.minimum(self._centre + self._half_range, robot.position_max_rad)
        if (self.low_rad >= self.high_rad).any():
            joint = robot.joint_names[int(np.argmax(self.low_rad >= self.high_rad))]
            raise SettingsError(f"joint '{joint}': the action range lies outside the robot's position range")
        self._limit_to(robot, control_period_s)

    def _limit_to(self, robot: RobotSettings, control_period_s: float) -> None:
        self._least_rad, self._most_rad = np.array(robot.position_min_rad), np.array(robot.position_max_rad)
        self._max_move = np.array(robot.speed_limit_rad_s) * control_period_s

    def goals(self, action: npt.NDArray[np.floating], position_rad: Vector) -> Vector:
        """Joint goals [rad] of an action in [-1, 1], seen from the joints' present position; shapes (n,)."""
        return self._clipped(self._centre + action * self._half_range, position_rad)

    def _clipped(self, goals_rad: Vector, position_rad: Vector) -> Vector:
        """As the safety gate will let them pass."""
        goals = np.minimum(np.maximum(goals_rad, self.low_rad), self.high_rad)
        goals = np.minimum(np.maximum(goals, position_rad - self._max_move), position_rad + self._max_move)
        return np.minimum(np.maximum(goals, self._least_rad), self._most_rad)

    def action(self, goals_rad: Vector) -> Action:
        """The action in [-1, 1] whose unclipped goals come closest: the inverse image of executed goals."""
        action = (goals_rad - self._centre) / self._half_range
        return np.minimum(np.maximum(action, -1.0), 1.0).astype(np.float32)

    def symmetry(self, joint_symmetry: list[int]) -> list[int]:
        """What a symmetry of all joints (a row of `RobotSettings.joint_symmetries`) does to the action."""
        return joint_symmetry[: self.size]

    def broken_by(self, joint_symmetry: list[int]) -> list[str]:
        """Settings that are not the same after a symmetry of all joints. None: an action that is changed by it, where
        the joints are, too, asks for goals that are."""
        of_joints, of_action = joint_symmetry[: self.size], self.symmetry(joint_symmetry)
        kept = {
            "task.action_centre_rad": keeps(of_action, self._centre),
            "task.action_half_range_rad": keeps_sizes(of_action, self._half_range),
            "robot.position_min_rad and position_max_rad": keeps_range(of_joints, self._least_rad, self._most_rad),
            "robot.speed_limit_rad_s": keeps_sizes(of_joints, self._max_move),
        }
        return [name for name, is_kept in kept.items() if not is_kept]

    def executed_action(self, requested: Action, asked_rad: Vector, executed_rad: Vector) -> Action:
        """What the robot did, as an action: the requested one if its goals were executed, else their inverse image."""
        if np.abs(executed_rad - asked_rad).max() <= GOAL_TOLERANCE_RAD:
            return requested
        return self.action(executed_rad)

    def asks_for(self, action: Action, position_rad: Vector, goals_rad: Vector) -> bool:
        """Whether that action, seen from that position, asks for those goals, up to rounding."""
        return bool(np.abs(self.goals(action, position_rad) - goals_rad).max() <= GOAL_TOLERANCE_RAD)

    def checked(self, values: npt.ArrayLike) -> tuple[Action, bool]:
        """An action clipped to [-1, 1], and whether it lay outside by more than rounding.

        Raises:
            ActionError: wrong size, or a value that is not finite.
        """
        action = np.array(values, dtype=np.float32)
        if action.shape != (self.size,):
            raise ActionError(f"action has shape {action.shape}, expected ({self.size},): actor and task do not match")
        largest = np.abs(action).max()
        if largest <= 1.0:
            return action, False
        if not np.isfinite(action).all():
            raise ActionError(f"action has a value that is not finite: {action.tolist()}; the policy has diverged")
        return np.minimum(np.maximum(action, np.float32(-1.0)), np.float32(1.0)), bool(largest > 1.0 + BOX_TOLERANCE)
