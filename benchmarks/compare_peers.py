"""A run of an algorithm of Stable-Baselines3, for the comparisons: saved and resumed at every evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from compare_algorithms import Algorithm, make_peer, peer_class
from compare_kept import EPISODES, OtherRunError, Plan
from sac_learner.atomic_file import write_atomic
from sac_learner.gym.environment import Array, GymEnvironment
from sac_learner.gym.evaluation import evaluate
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

# Files of a save.
_MODEL, _REPLAY, _NORMALISER = "model.zip", "replay.pkl", "normaliser.pkl"


class _PeerPolicy:
    """The deterministic policy of a peer, as `evaluate` takes it."""

    def __init__(self, model: BaseAlgorithm, normaliser: VecNormalize | None) -> None:
        self._model, self._normaliser = model, normaliser

    def mean_action(self, observation: Array) -> Array:
        if self._normaliser is not None:
            observation = self._normaliser.normalize_obs(observation)
        return self._model.predict(observation, deterministic=True)[0]


def run_peer(
    plan: Plan, algorithm: Algorithm, seed: int, work: Path, evaluated: Callable[[dict[str, Any]], None]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Do the run, or what is missing of it in the folder `work`; its evaluations and its settings.

    Raises:
        OtherRunError: what is there was begun as another run; it stays as it is.
    """
    total, interval = plan.total(algorithm), plan.interval(algorithm)
    base = gymnasium.make(plan.environment, disable_env_checker=True)
    model, evaluations = _load_peer(algorithm, base, seed, total, work)
    robot_time_before_s = evaluations[-1].get("robot_time_s", 0.0) if evaluations else 0.0
    evaluation_environment = GymEnvironment(plan.environment)
    while model.num_timesteps < total:
        # To the next multiple of the interval; PPO goes on to the end of its batch.
        target = min(total, (model.num_timesteps // interval + 1) * interval)
        model.learn(target - model.num_timesteps, reset_num_timesteps=False)
        steps, last = model.num_timesteps, model.num_timesteps >= total
        episodes = plan.final_episodes if last else plan.episodes
        outcome = evaluate(
            evaluation_environment,
            _PeerPolicy(model, model.get_vec_normalize_env()),
            episodes=episodes,
            seed=int(np.random.SeedSequence(seed, spawn_key=(steps,)).generate_state(1)[0]),
        )
        evaluation = {"steps": steps, EPISODES: episodes}
        if (robot_time_s := getattr(base.unwrapped, "robot_time_s", None)) is not None:  # of rosac's own environments
            evaluation["robot_time_s"] = robot_time_before_s + robot_time_s
        evaluations.append({**evaluation, **outcome})
        _save_peer(model, evaluations, work)
        evaluated(evaluations[-1])
    evaluation_environment.close()
    base.close()
    return evaluations, _peer_settings(model)


def _load_peer(
    algorithm: Algorithm, base: gymnasium.Env, seed: int, steps: int, work: Path
) -> tuple[BaseAlgorithm, list[dict[str, Any]]]:
    """The learner as the newest save has it, or a new one; and its evaluations."""
    progress = work / "progress.json"
    environment: VecEnv = DummyVecEnv([lambda: base])
    if not progress.exists():
        environment = VecNormalize(environment) if algorithm.normalised else environment
        return make_peer(algorithm, environment, seed, steps), []
    evaluations = json.loads(progress.read_text(encoding="utf-8"))
    saved = work / f"steps_{evaluations[-1]['steps']}"
    if algorithm.normalised:
        environment = VecNormalize.load(str(saved / _NORMALISER), environment)
    model = peer_class(algorithm).load(saved / _MODEL, env=environment, device="cpu")
    if isinstance(model, OffPolicyAlgorithm):
        model.load_replay_buffer(saved / _REPLAY)
        if model.buffer_size < min(steps, 1_000_000):
            raise OtherRunError(
                f"{work} was begun with a replay memory for {model.buffer_size} steps, {steps} are asked for"
            )
    # The state of its generators is not saved: numbers of their own, drawn from where it goes on.
    resumed_seed = np.random.SeedSequence(seed, spawn_key=(model.num_timesteps, 1)).generate_state(1)[0]
    model.set_random_seed(int(resumed_seed))
    return model, evaluations


def _save_peer(model: BaseAlgorithm, evaluations: list[dict[str, Any]], work: Path) -> None:
    """Everything into a folder of its own; the last file written makes it the newest. Older replay memories go."""
    saved = work / f"steps_{model.num_timesteps}"
    saved.mkdir(exist_ok=True)
    model.save(saved / _MODEL)
    if isinstance(model, OffPolicyAlgorithm):
        model.save_replay_buffer(saved / _REPLAY)
    if (normaliser := model.get_vec_normalize_env()) is not None:
        normaliser.save(str(saved / _NORMALISER))
    write_atomic(work / "progress.json", json.dumps(evaluations).encode())
    for old in work.glob(f"steps_*/{_REPLAY}"):
        if old.parent != saved:
            old.unlink()


def peer_policy(plan: Plan, algorithm: Algorithm, work: Path, steps: int) -> _PeerPolicy | None:
    """The deterministic policy after so many steps; None: it was not kept, as by older versions."""
    saved = work / f"steps_{steps}"
    if not saved.exists():
        return None
    model = peer_class(algorithm).load(saved / _MODEL, device="cpu")
    if not algorithm.normalised:
        return _PeerPolicy(model, None)
    # It asks an environment for the spaces.
    like = DummyVecEnv([lambda: gymnasium.make(plan.environment, disable_env_checker=True)])
    return _PeerPolicy(model, VecNormalize.load(str(saved / _NORMALISER), like))


def _peer_settings(model: BaseAlgorithm) -> dict[str, Any]:
    """Its numbers, as they were used."""
    names = ("n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "ent_coef", "learning_rate", "learning_starts")
    names += ("tau", "buffer_size", "policy_delay", "target_policy_noise", "target_noise_clip", "action_noise")
    found = {name: getattr(model, name) for name in names if hasattr(model, name)}
    found["normalised"] = model.get_vec_normalize_env() is not None
    return {k: v if isinstance(v, int | float | bool) else str(v) for k, v in found.items()}
