"""Evaluation on a Gymnasium environment: the deterministic policy over whole episodes."""

from __future__ import annotations

import itertools
import math
from typing import Any, Protocol

import numpy as np

from sac_learner.gym.environment import Array, GymEnvironment

# An episode that has not ended by then has no time limit. Source: own choice, 100 times Gymnasium's usual 1000.
LONGEST_EPISODE_STEPS = 100_000


class DeterministicPolicy(Protocol):
    """What can be evaluated: `PolicyNetwork`, or a policy of another library."""

    def mean_action(self, observation: Array) -> Array:
        """Observation [O] -> action in [-1, 1] [A]."""


class EndlessEpisodeError(RuntimeError):
    """An episode does not end. The message names the remedy."""


def checked_evaluations(document: Any, episodes: int) -> list[dict[str, Any]]:
    """What was kept of a run's evaluations, as `GymTraining.evaluations`.

    Args:
        document: the evaluations as they were read.
        episodes: of an evaluation that does not say how many it had; all do since they may differ.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(document, list) or not all(isinstance(each, dict) for each in document):
        raise ValueError("it holds no list of evaluations")
    document = [{"evaluation_episodes": episodes, **each} for each in document]
    for number, each in enumerate(document):
        if missing := {"steps", "return_mean"} - set(each):
            raise ValueError(f"evaluation {number} has no {' and no '.join(sorted(missing))}")
        for name, value in each.items():
            kinds = int if name in ("steps", "evaluation_episodes") else (int, float)
            if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value):
                raise ValueError(f"'{name}' of evaluation {number} is {value!r}")
    if any(one["steps"] >= later["steps"] for one, later in itertools.pairwise(document)):
        raise ValueError("its steps do not ascend")
    return document


def evaluate(environment: GymEnvironment, policy: DeterministicPolicy, *, episodes: int, seed: int) -> dict[str, Any]:
    """Run whole episodes with the mean action.

    Args:
        environment: its state is set anew by the seed.
        policy: of the environment's sizes.
        episodes: how many, at least 1.
        seed: of the first episode; the others follow from it.

    Returns:
        `return_mean`, and `success_rate` where `info["is_success"]` exists at the end of every episode.

    Raises:
        EndlessEpisodeError: an episode took more than LONGEST_EPISODE_STEPS.
        BadStepError: the environment or the policy gave something that is not a finite number.
    """
    returns, successes = [], []
    for episode in range(episodes):
        observation = environment.reset(seed if episode == 0 else None)
        total = 0.0
        for _ in range(LONGEST_EPISODE_STEPS):
            result = environment.step(policy.mean_action(observation))
            observation = result.observation
            total += result.reward
            if result.terminated or result.truncated:
                break
        else:
            raise EndlessEpisodeError(
                f"an episode of {environment.env_id} has not ended after {LONGEST_EPISODE_STEPS} steps: give it a time "
                "limit with --max-episode-steps"
            )
        returns.append(total)
        if result.success is not None:
            successes.append(result.success)
    outcome: dict[str, Any] = {"return_mean": float(np.mean(returns))}
    if len(successes) == episodes:
        outcome["success_rate"] = float(np.mean(successes))
    return outcome
