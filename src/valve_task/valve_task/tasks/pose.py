"""Bring the fingers to a pose, fixed or moving (Pose)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
from robot_bridge.backend import RobotState
from robot_bridge.robot import RobotSettings

from valve_task.tasks.base import Observation, Outcome, Start, Task, Variant, Vector
from valve_task.tasks.equations import POSE_TERMS, moving_pose, moving_pose_amplitude, pose_reward
from valve_task.tasks.settings import TaskSettings

# Joints of a finger: top, middle, bottom.
_MIDDLE = slice(1, None, 3)


class PoseTask(Task):
    """ROBEL dclaw/pose.py. Observation: joint positions, last action, joint errors (target minus position)."""

    reward_terms: ClassVar[tuple[str, ...]] = POSE_TERMS

    def __init__(self, settings: TaskSettings, robot: RobotSettings, variant: Variant) -> None:
        super().__init__(settings, robot, variant)
        self._centre = np.zeros(self.action_size)
        self._amplitude = np.zeros(self.action_size)
        self._frequency = np.zeros(self.action_size)

    @property
    def observation_size(self) -> int:
        return 3 * self.action_size

    def draw(self, rng: np.random.Generator) -> Start:
        pose_a, pose_b = self._random_pose(rng), self._random_pose(rng)
        if not self.variant.moving_pose:
            self._centre = pose_b
            return Start(pose_a, self.reset_pose_rad, None)
        self._centre = 0.5 * (pose_a + pose_b)
        self._frequency = rng.uniform(0.5, 2.0, size=self.action_size)
        self._amplitude = moving_pose_amplitude(pose_a, pose_b, self._frequency)
        return Start(self._centre, self.reset_pose_rad, None)

    def target_rad(self, step: int) -> Vector:
        """Target pose before control step `step`, shape (joints,)."""
        return moving_pose(self._centre, self._amplitude, self._frequency, step * self.control_period_s)

    def error(self, state: RobotState, step: int) -> float:
        return float(np.abs(self._error(state, step)).mean())

    def observe(self, state: RobotState, step: int, last_action: npt.NDArray[np.float32]) -> Observation:
        joints = self.action_size
        observation = np.empty(3 * joints, dtype=np.float32)
        observation[:joints] = state.position_rad[:joints]
        observation[joints : 2 * joints] = last_action
        observation[2 * joints :] = self._error(state, step)
        return observation

    def observation_symmetry(self, joint_symmetry: list[int]) -> list[int] | None:
        action = joint_symmetry[: self.action_size]
        return [place for part in range(3) for place in self._shifted(action, part * self.action_size)]

    def evaluate(self, state: RobotState, step: int, action: npt.NDArray[np.float32]) -> Outcome:
        position = state.position_rad[: self.action_size]
        velocity = state.velocity_rad_s[: self.action_size]
        error = self._error(state, step)
        terms = pose_reward(error, velocity, self.settings.pose_reward)
        mean_error = float(np.abs(error).mean())
        return Outcome(
            reward=sum(terms),
            terms=terms,
            error=mean_error,
            success=mean_error < self.variant.success_tolerance_rad,
            terminated=False,
            counts=self._counts(position, velocity),
        )

    def _error(self, state: RobotState, step: int) -> Vector:
        return self.target_rad(step) - state.position_rad[: self.action_size]

    def _random_pose(self, rng: np.random.Generator) -> Vector:
        """Anywhere in the action range, but with the middle joints outwards so that fingers do not tangle."""
        high = self.actions.high_rad.copy()
        high[_MIDDLE] = np.minimum(high[_MIDDLE], 0.0)
        return rng.uniform(self.actions.low_rad, high)
