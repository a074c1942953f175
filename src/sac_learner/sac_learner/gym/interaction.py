"""The training episodes: one step of the environment after another, as transitions."""

from __future__ import annotations

from collections import deque

import numpy as np
from rosac_common.transition import EndReason, Source, Transition

from sac_learner.gym.environment import Array, GymEnvironment, StepResult
from sac_learner.policy import ExplorationNoise, PolicyNetwork

# Training episodes that `recent` remembers. Source: own choice, as in the plots of a run.
RECENT_EPISODES = 25
_NO_AGES = np.zeros(0, dtype=np.float32)  # in process no reading has an age


class Interaction:
    """Acts in an environment and counts steps and episodes."""

    def __init__(
        self,
        environment: GymEnvironment,
        session_id: str,
        *,
        environment_seed: int,
        acting_seed: int,
        robot_time_before_s: float,
    ) -> None:
        """Args: session_id: written into every transition; robot_time_before_s: of earlier sessions."""
        self.environment = environment
        self._session_id = session_id
        self._seed: int | None = environment_seed
        self._rng = np.random.default_rng(acting_seed)
        self._noise = ExplorationNoise(environment.action_size, self._rng)
        self._robot_time_before_s = robot_time_before_s
        self.recent: deque[tuple[float, bool | None]] = deque(maxlen=RECENT_EPISODES)  # return, success
        self._observation: Array | None = None  # None: an episode has yet to begin
        self._steps, self._episode_return = 0, 0.0

    @property
    def robot_time_s(self) -> float | None:
        """Time that the robot has moved [s], resets included; None where the environment does not say."""
        own = self.environment.robot_time_s
        return None if own is None else self._robot_time_before_s + own

    def step(self, policy: PolicyNetwork | None) -> Transition:
        """One step with an action drawn from the policy, or uniformly where there is none.

        Raises:
            BadStepError: the environment fails, or gave something that is not a finite number.
        """
        environment = self.environment
        if self._observation is None:
            self._observation = environment.reset(self._seed)
            self._seed = None
        observation = self._observation
        if policy is None:
            action = self._rng.uniform(-1.0, 1.0, environment.action_size).astype(np.float32)
            source, version = Source.RANDOM, 0
        else:
            action, source = policy.sample_action(observation, self._noise), Source.POLICY
            version = policy.weights.version
        episode, episode_step = environment.episode, environment.episode_step
        result = environment.step(action)
        end = EndReason.TIME_LIMIT if result.truncated else EndReason.NONE
        transition = Transition(
            session_id=self._session_id,
            sequence=self._steps,
            episode=episode,
            step=episode_step,
            policy_version=version,
            source=source,
            end_reason=EndReason.TERMINATED if result.terminated else end,
            observation=observation,
            requested_action=action,
            executed_action=action,
            reward=result.reward,
            next_observation=result.observation,
            sensor_ages_s=_NO_AGES,
            stamp_s=self.robot_time_s or 0.0,
            action_latency_s=0.0,
        )
        self._count(result)
        return transition

    def _count(self, result: StepResult) -> None:
        self._steps += 1
        self._episode_return += result.reward
        self._observation = result.observation
        if result.terminated or result.truncated:
            self.recent.append((self._episode_return, result.success))
            self._observation, self._episode_return = None, 0.0
