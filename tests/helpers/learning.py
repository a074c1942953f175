"""Transitions, settings and policies for tests of the learner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rosac_common.settings import from_mapping
from rosac_common.transition import EndReason, Source, Transition
from sac_learner.policy import LOG_STD_LIMITS, NOISE_CORRELATION, PolicyWeights
from sac_learner.settings import LearnerNodeSettings

OBSERVATION_SIZE, ACTION_SIZE, AGES_SIZE = 5, 2, 3


def make_transition(sequence: int, session_id: str = "a", **changes: Any) -> Transition:
    """A transition whose values are drawn from its number, so that each one is different and known."""
    rng = np.random.default_rng([sequence, *session_id.encode()])
    values: dict[str, Any] = {
        "session_id": session_id,
        "sequence": sequence,
        "episode": sequence // 10,
        "step": sequence % 10,
        "policy_version": sequence // 20,
        "source": Source.POLICY,
        "end_reason": EndReason.TIME_LIMIT if sequence % 10 == 9 else EndReason.NONE,
        "observation": rng.standard_normal(OBSERVATION_SIZE, dtype=np.float32),
        "requested_action": rng.uniform(-1, 1, ACTION_SIZE).astype(np.float32),
        "executed_action": rng.uniform(-1, 1, ACTION_SIZE).astype(np.float32),
        "reward": float(np.float32(rng.standard_normal())),
        "next_observation": rng.standard_normal(OBSERVATION_SIZE, dtype=np.float32),
        "sensor_ages_s": rng.uniform(0, 0.1, AGES_SIZE).astype(np.float32),
        "stamp_s": 1000.0 + 0.1 * sequence,
        "action_latency_s": float(np.float32(0.001 * sequence)),
    }
    return Transition(**{**values, **changes})


def learner_settings(run_directory: Path, **changes: Any) -> LearnerNodeSettings:
    """Settings of a small, quick learner; nested names with a double underscore: sac__tau=0.1."""
    values = {
        "run_directory": str(run_directory),
        "run": "test",
        "task_name": "DClawTest",
        "observation_size": OBSERVATION_SIZE,
        "action_size": ACTION_SIZE,
        "threads": 1,
        "niceness": 0,
        "policy_interval_updates": 10,
        "sac.hidden_sizes": [16, 16],
        "sac.batch_size": 8,
        "sac.replay_capacity": 1000,
        "sac.initial_random_steps": 20,
        "sac.min_pool_steps": 8,
        "pacing.band_steps": 4,
        "storage.checkpoint_interval_updates": 25,
    }
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return from_mapping(LearnerNodeSettings, {**values, **dotted})


def make_policy(version: int = 1, seed: int = 0, **changes: Any) -> PolicyWeights:
    """A sealed policy with one hidden layer and random weights."""
    rng = np.random.default_rng(seed)
    sizes = (OBSERVATION_SIZE, 16, 2 * ACTION_SIZE)
    tensors = {}
    for name, inputs, outputs in (("hidden.0", *sizes[:2]), ("output", *sizes[1:])):
        tensors[f"{name}.weight"] = (0.3 * rng.standard_normal((outputs, inputs))).astype(np.float32)
        tensors[f"{name}.bias"] = (0.1 * rng.standard_normal(outputs)).astype(np.float32)
    tensors[LOG_STD_LIMITS] = np.array([-20.0, 2.0], dtype=np.float32)
    tensors[NOISE_CORRELATION] = np.zeros(1, dtype=np.float32)
    values: dict[str, Any] = {
        "run": "test",
        "version": version,
        "transitions": 100,
        "updates": 50,
        "explore_uniformly": False,
        "tensors": tensors,
        "observation_mean": np.zeros(OBSERVATION_SIZE, dtype=np.float32),
        "observation_std": np.ones(OBSERVATION_SIZE, dtype=np.float32),
    }
    return PolicyWeights(**{**values, **changes}).sealed()
