"""Turn a valve to an angle (Turn), or keep up with a target that moves (Screw)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from robot_bridge.backend import RobotState
from robot_bridge.robot import RobotSettings
from rosac_common.settings import SettingsError

from valve_task.tasks.base import Observation, Outcome, Start, Task, Variant, Vector
from valve_task.tasks.equations import TURN_TERMS, turn_reward, wrap_angle
from valve_task.tasks.settings import TaskSettings
from valve_task.tasks.symmetry import keeps, keeps_range


class TurnTask(Task):
    """ROBEL dclaw/turn.py. Observation: joint positions, cos and sin of the valve, last action, target error.

    Raises:
        SettingsError: the robot has no single auxiliary joint to turn.
    """

    reward_terms: ClassVar[tuple[str, ...]] = TURN_TERMS

    def __init__(self, settings: TaskSettings, robot: RobotSettings, variant: Variant) -> None:
        super().__init__(settings, robot, variant)
        if len(robot.auxiliary_joint_names) != 1:
            raise SettingsError(
                f"task {settings.name} turns one auxiliary joint (the valve); robot '{robot.name}' has "
                f"{len(robot.auxiliary_joint_names)}: name it in robot.auxiliary_joint_names"
            )
        self._equal_parts = robot.auxiliary_equal_parts[0] if robot.auxiliary_equal_parts else 1
        self._target = 0.0
        self._target_velocity = 0.0

    @property
    def observation_size(self) -> int:
        return 2 * self.action_size + 3

    def draw(self, rng: np.random.Generator) -> Start:
        start = rng.uniform(*self.variant.initial_valve_rad)
        self._target = rng.uniform(*self.variant.target_valve_rad)
        return Start(self.reset_pose_rad, self.reset_pose_rad, np.array([start]))

    def target_rad(self, step: int) -> float:
        """Target angle before control step `step`, not wrapped."""
        return self._target + self._target_velocity * self.control_period_s * step

    def marked_rad(self, step: int) -> float:
        return self.target_rad(step)

    def signed_error_rad(self, state: RobotState, step: int) -> float:
        """Target minus valve angle, in [-pi, pi]."""
        return wrap_angle(self.target_rad(step) - float(state.position_rad[self.action_size]))

    def error(self, state: RobotState, step: int) -> float:
        return abs(self.signed_error_rad(state, step))

    def observe(self, state: RobotState, step: int, last_action: npt.NDArray[np.float32]) -> Observation:
        joints = self.action_size
        valve = float(state.position_rad[joints])
        observation = np.empty(2 * joints + 3, dtype=np.float32)
        observation[:joints] = state.position_rad[:joints]
        observation[joints] = math.cos(valve)
        observation[joints + 1] = math.sin(valve)
        observation[joints + 2 : -1] = last_action
        observation[-1] = self.signed_error_rad(state, step)
        return observation

    def observation_symmetry(self, joint_symmetry: list[int]) -> list[int] | None:
        joints = self.action_size
        valve = 1 if joint_symmetry[joints] > 0 else -1
        action = joint_symmetry[:joints]
        cos_sin = [joints + 1, valve * (joints + 2)]
        return [*action, *cos_sin, *self._shifted(action, joints + 2), valve * (2 * joints + 3)]

    def broken_by(self, joint_symmetry: list[int]) -> list[str]:
        broken = super().broken_by(joint_symmetry)
        # The pose is a term of the reward, unless that weighs nothing.
        if self.settings.turn_reward.pose and not keeps(joint_symmetry[: self.action_size], self.reset_pose_rad):
            broken.append("task.reset_pose_rad")
        return broken

    @property
    def relabelling(self) -> dict[str, Any]:
        parts, joints, weights = self._equal_parts, self.action_size, self.settings.turn_reward
        if parts == 1:
            return {}
        return {
            "angle_places": [joints, joints + 1, 2 * joints + 2],
            "turns_rad": [2 * math.pi * part / parts for part in range(parts)],
            "reward_per_rad": weights.distance,
            "bonus_below_rad": [weights.near_rad, weights.close_rad],
            "bonus": [weights.near_bonus, weights.close_bonus],
        }

    def evaluate(self, state: RobotState, step: int, action: npt.NDArray[np.float32]) -> Outcome:
        position = state.position_rad[: self.action_size]
        velocity = state.velocity_rad_s[: self.action_size]
        error = self.signed_error_rad(state, step)
        terms = turn_reward(error, position, velocity, self.reset_pose_rad, self.settings.turn_reward)
        return Outcome(
            reward=sum(terms),
            terms=terms,
            error=abs(error),
            success=abs(error) < self.variant.success_tolerance_rad,
            terminated=False,
            counts=self._counts(position, velocity),
        )


class ScrewTask(TurnTask):
    """ROBEL dclaw/screw.py: as Turn, but the target starts at the valve's angle and moves at a constant speed."""

    def broken_by(self, joint_symmetry: list[int]) -> list[str]:
        broken = super().broken_by(joint_symmetry)
        # The observation does not tell how the target moves: a mirror must leave its speeds as they are.
        low, high = self.variant.target_velocity_rad_s
        mirror = 1 if joint_symmetry[self.action_size] > 0 else -1
        if not keeps_range([mirror], [low], [high]):
            broken.append("task.target_velocity_rad_s")
        return broken

    def draw(self, rng: np.random.Generator) -> Start:
        self._target = rng.uniform(*self.variant.initial_valve_rad)
        self._target_velocity = rng.uniform(*self.variant.target_velocity_rad_s)
        return Start(self.reset_pose_rad, self.reset_pose_rad, np.array([self._target]))

    def moved(self, start: Start, auxiliary_rad: Vector) -> Start:
        self._target = float(auxiliary_rad[0])
        return super().moved(start, auxiliary_rad)
