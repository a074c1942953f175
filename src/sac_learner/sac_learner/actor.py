"""What the actor answers to an observation, and which policy it holds. No ROS, no PyTorch, no waiting."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rosac_common.transition import Source

from sac_learner.policy import ExplorationNoise, PolicyGuard, PolicyWeights, load_policy
from sac_learner.settings import ActorSettings

Array = npt.NDArray[np.float32]


@dataclasses.dataclass
class ActorCounters:
    """Since the start of the actor."""

    answered: int = 0
    refused_observations: int = 0
    unanswered: int = 0  # no policy yet
    policies_taken: int = 0
    policies_refused: int = 0


class Actor:
    """Answers observations with the newest accepted policy."""

    def __init__(self, settings: ActorSettings) -> None:
        """Load the policy file if one is given.

        Raises:
            FileNotFoundError, DamagedFileError: the policy file is missing or damaged.
            ValueError: the policy in it has other sizes or values that are not finite.
        """
        self.settings = settings
        self.counters = ActorCounters()
        self.policy_problem = ""  # why the latest policy was refused; empty when it was taken
        self.observation_problem = ""  # why the latest observation was refused; empty when it was answered
        self._rng = np.random.default_rng(settings.seed)
        self._noise = ExplorationNoise(settings.action_size, self._rng)
        self._guard = PolicyGuard(
            settings.observation_size,
            settings.action_size,
            max_action_change=settings.max_action_change,
            recent_observations=settings.recent_observations,
        )
        if settings.policy_file and (problem := self.take_policy(self._load(Path(settings.policy_file)))):
            raise ValueError(f"{settings.policy_file}: {problem}")

    @staticmethod
    def _load(path: Path) -> PolicyWeights:
        # An exported policy is run as it is, also one from the first random steps.
        return dataclasses.replace(load_policy(path), explore_uniformly=False)

    @property
    def policy(self) -> PolicyWeights | None:
        """The weights in use."""
        return self._guard.current.weights if self._guard.current else None

    def take_policy(self, weights: PolicyWeights) -> str | None:
        """Swap the policy, or keep the old one and return why. Called between observations: a step boundary."""
        problem = self._guard.accept(weights)
        if problem:
            self.refuse_policy(problem)
        else:
            self.policy_problem = ""
            self.counters.policies_taken += 1
        return problem

    def refuse_policy(self, problem: str) -> None:
        """Count a policy that cannot even be read."""
        self.policy_problem = problem
        self.counters.policies_refused += 1

    def answer(self, observation: Array) -> tuple[Array, Source] | None:
        """The action [A] and its source; None when there is no policy yet or the observation is unusable."""
        self.observation_problem = self._problem(observation)
        if self.observation_problem:
            self.counters.refused_observations += 1
            return None
        network = self._guard.current
        if network is None:
            self.counters.unanswered += 1
            return None
        self._guard.observe(observation)
        self.counters.answered += 1
        if network.weights.explore_uniformly:
            action = self._rng.uniform(-1.0, 1.0, self.settings.action_size).astype(np.float32)
            return action, Source.RANDOM
        if self.settings.deterministic:
            return network.mean_action(observation), Source.POLICY
        return network.sample_action(observation, self._noise), Source.POLICY

    @property
    def problem(self) -> str:
        """What is missing or wrong and what to do; empty when all is well."""
        if self._guard.current is None:
            missing = "no policy yet: no action is sent; start the learner, or set policy_file"
            return f"{missing} (refused: {self.policy_problem})" if self.policy_problem else missing
        parts = []
        if self.policy_problem:
            parts.append(f"policy refused, the old one (version {self.policy.version}) stays: {self.policy_problem}")
        if self.observation_problem:
            parts.append(f"observation not answered: {self.observation_problem}")
        return "; ".join(parts)

    def _problem(self, observation: Array) -> str:
        size = self.settings.observation_size
        if observation.shape != (size,):
            return f"observation has {observation.size} values, the policy takes {size}: check the task's settings"
        if not np.isfinite(observation).all():
            bad = np.flatnonzero(~np.isfinite(observation)).tolist()
            return f"observation is not finite at {bad}: {observation[bad].tolist()}; check the task's sensors"
        return ""
