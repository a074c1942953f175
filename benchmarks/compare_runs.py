"""One run of one algorithm, for the comparisons: cached when done, resumed when cut off.

In the directory of the comparison, `<algorithm>_<seed>.json` is a finished run and `<algorithm>_<seed>/` what it goes
on from. With `--save`, finished runs are also kept in docs/results/<name of the comparison>/.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import valve_task.env  # noqa: F401 - registers the environments
from compare_algorithms import Algorithm, make_peer, peer_class
from compare_kept import (
    Plan,
    Report,
    changed_settings,
    finished,
    keep,
    learning_settings,
    misfits,
    publish,
    strangeness,
)
from rosac_common.settings import from_mapping
from sac_learner.atomic_file import write_atomic
from sac_learner.graph.modes import mode_parameters
from sac_learner.gym.environment import Array, GymEnvironment
from sac_learner.gym.evaluation import evaluate
from sac_learner.gym.settings import GymSettings
from sac_learner.gym.storage import GymRunError, stored_run
from sac_learner.gym.training import GymTraining
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize
from support import machine

THREADS = 1
_EPISODES = "evaluation_episodes"  # of one evaluation, as `GymTraining` names them
_ENVIRONMENT = "environment"  # file that says what the folder was begun for


class OtherRunError(RuntimeError):
    """What is there was begun as another run. The message says what differs."""


def obtained(
    plan: Plan, algorithm: Algorithm, seed: int, report: Report, *, table_only: bool = False
) -> dict[str, Any] | None:
    """The run as it is kept, or computed now unless `table_only`; and published. None: it is missing, and a line has
    said why where something is in the way."""
    document = finished(plan, algorithm, seed, report)
    if document is None and not table_only:
        work = plan.work_path(algorithm, seed)
        try:
            document = compute(plan, algorithm, seed, report)
            if found := misfits(plan, algorithm, seed, document):  # such as few episodes in evaluations made before
                raise OtherRunError(f"{work} holds {'; '.join(found)}")
        except (OtherRunError, GymRunError) as error:
            report(
                f"{algorithm.name} seed {seed} is missing: {error}. Give another --directory, or remove {work} and "
                f"{work.name}.json beside it to begin anew"
            )
            return None
    if document is not None:
        publish(plan, algorithm, seed, document)
    return document


def compute(plan: Plan, algorithm: Algorithm, seed: int, report: Report) -> dict[str, Any]:
    """Do the run, or what is missing of it, and keep its result.

    Raises:
        OtherRunError, GymRunError: what is there was begun as another run; it stays as it is.
    """
    torch.set_num_threads(THREADS)
    work, path = plan.work_path(algorithm, seed), plan.result_path(algorithm, seed)
    _check_that_it_is_the_same(plan, algorithm, seed)
    work.mkdir(parents=True, exist_ok=True)
    clock = _WallClock(work / "wall_time_s")
    write_atomic(work / _ENVIRONMENT, plan.environment.encode())
    evaluations, settings = (_own if algorithm.own else _peer)(plan, algorithm, seed, work, clock, report)
    names = [name for name in evaluations[-1] if name != _EPISODES]
    # As they were made: those before a resumption may have had fewer episodes. Older peers did not count them.
    counts = [each.get(_EPISODES, plan.episodes) for each in evaluations[:-1]]
    document = {
        "algorithm": algorithm.name,
        "seed": seed,
        "source": algorithm.source,
        "environment": plan.environment,
        **{name: [each[name] for each in evaluations] for name in names},
        "evaluation_episodes": min(counts, default=plan.episodes),
        "final_evaluation_episodes": evaluations[-1].get(_EPISODES, plan.final_episodes),
        "settings": settings,
        "threads": THREADS,
        "wall_time_s": clock.total_s(),
        **machine(),
    }
    keep(path, document)
    return document


def _check_that_it_is_the_same(plan: Plan, algorithm: Algorithm, seed: int) -> None:
    """Refuse to go on with, or to write over, what was begun as another run.

    A training lets `sac.products` differ when it is resumed: a run of bfloat16 would pass as one of float32.
    """
    work, path = plan.work_path(algorithm, seed), plan.result_path(algorithm, seed)
    problems: list[str] = []
    if path.exists():
        problems += strangeness(plan, algorithm, seed, json.loads(path.read_text(encoding="utf-8")))
    begun_on = work / _ENVIRONMENT
    if begun_on.exists() and (other := begun_on.read_text(encoding="utf-8")) != plan.environment:
        problems.append(f"environment is {other} there and {plan.environment} here")
    if algorithm.own and (stored := stored_run(work / "run")) is not None:
        made = {name: value for name, value in stored.items() if name.startswith(("sac.", "pacing."))}
        problems += changed_settings(algorithm, made)
    if problems:
        raise OtherRunError(f"{work} holds another run: {'; '.join(dict.fromkeys(problems))}")


class _WallClock:
    """Wall time of a run over all its sessions; what came after the last `keep` of a killed one is not counted. Not
    known (None) of a run whose first sessions did not keep it."""

    def __init__(self, path: Path) -> None:
        self._path, self._start_s = path, time.monotonic()
        if not path.exists() and not any(path.parent.iterdir()):
            write_atomic(path, b"0.0")  # so that a run that is killed early is no unknown one
        self._before_s = float(path.read_text()) if path.exists() else None

    def total_s(self) -> float | None:
        return None if self._before_s is None else self._before_s + time.monotonic() - self._start_s

    def keep(self) -> None:
        if (total_s := self.total_s()) is not None:
            write_atomic(self._path, str(total_s).encode())


def _line(algorithm: Algorithm, seed: int, evaluation: dict[str, Any]) -> str:
    text = f"{algorithm.name} seed {seed}: {evaluation['steps']} steps, return {evaluation['return_mean']:.0f}"
    if "success_rate" in evaluation:  # of rosac's own environments
        text += f", robot {evaluation['robot_time_s'] / 3600:.2f} h, success {100 * evaluation['success_rate']:.0f}%"
    return text


# --- rosac ----------------------------------------------------------------------------------------------------------


def _own(
    plan: Plan, algorithm: Algorithm, seed: int, work: Path, clock: _WallClock, report: Report
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    values = {
        **mode_parameters(algorithm.mode),
        **algorithm.changes,
        "env_id": plan.environment,
        "mode": algorithm.mode,
        "steps": plan.total(algorithm),
        "seed": seed,
        "evaluation_interval_steps": plan.interval(algorithm),
        "evaluation_episodes": plan.episodes,
        "final_evaluation_episodes": plan.final_episodes,
        "threads": THREADS,
    }
    training = GymTraining(from_mapping(GymSettings, values), work / "run", resume=True)
    try:
        known = len(training.evaluations)
        while not training.finished:
            training.step()
            for evaluation in training.evaluations[known:]:
                report(_line(algorithm, seed, evaluation))
                clock.keep()
            known = len(training.evaluations)
    finally:
        training.close()
    return training.evaluations, {
        **learning_settings(training.settings),
        "sac.products": training.products,  # not `auto`
    }


# --- Stable-Baselines3 ----------------------------------------------------------------------------------------------


class _PeerPolicy:
    """The deterministic policy of a peer, as `evaluate` takes it."""

    def __init__(self, model: BaseAlgorithm) -> None:
        self._model = model
        self._normaliser = model.get_vec_normalize_env()

    def mean_action(self, observation: Array) -> Array:
        if self._normaliser is not None:
            observation = self._normaliser.normalize_obs(observation)
        return self._model.predict(observation, deterministic=True)[0]


def _peer(
    plan: Plan, algorithm: Algorithm, seed: int, work: Path, clock: _WallClock, report: Report
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
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
            _PeerPolicy(model),
            episodes=episodes,
            seed=int(np.random.SeedSequence(seed, spawn_key=(steps,)).generate_state(1)[0]),
        )
        evaluation = {"steps": steps, _EPISODES: episodes}
        if (robot_time_s := getattr(base.unwrapped, "robot_time_s", None)) is not None:  # of rosac's own environments
            evaluation["robot_time_s"] = robot_time_before_s + robot_time_s
        evaluations.append({**evaluation, **outcome})
        report(_line(algorithm, seed, evaluations[-1]))
        _save_peer(model, evaluations, work)
        clock.keep()
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
        environment = VecNormalize.load(str(saved / "normaliser.pkl"), environment)
    model = peer_class(algorithm).load(saved / "model.zip", env=environment, device="cpu")
    if isinstance(model, OffPolicyAlgorithm):
        model.load_replay_buffer(saved / "replay.pkl")
        if model.buffer_size < min(steps, 1_000_000):
            raise OtherRunError(
                f"{work} was begun with a replay memory for {model.buffer_size} steps, {steps} are asked for"
            )
    # The state of its generators is not saved: numbers of their own, drawn from where it goes on.
    resumed_seed = np.random.SeedSequence(seed, spawn_key=(model.num_timesteps, 1)).generate_state(1)[0]
    model.set_random_seed(int(resumed_seed))
    return model, evaluations


def _save_peer(model: BaseAlgorithm, evaluations: list[dict[str, Any]], work: Path) -> None:
    """Everything into a folder of its own; the last file written makes it the newest."""
    saved = work / f"steps_{model.num_timesteps}"
    saved.mkdir(exist_ok=True)
    model.save(saved / "model.zip")
    if isinstance(model, OffPolicyAlgorithm):
        model.save_replay_buffer(saved / "replay.pkl")
    if (normaliser := model.get_vec_normalize_env()) is not None:
        normaliser.save(str(saved / "normaliser.pkl"))
    write_atomic(work / "progress.json", json.dumps(evaluations).encode())
    for old in work.glob("steps_*"):
        if old != saved:
            shutil.rmtree(old)


def _peer_settings(model: BaseAlgorithm) -> dict[str, Any]:
    """Its numbers, as they were used."""
    names = ("n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "ent_coef", "learning_rate", "learning_starts")
    names += ("tau", "buffer_size", "policy_delay", "target_policy_noise", "target_noise_clip", "action_noise")
    found = {name: getattr(model, name) for name in names if hasattr(model, name)}
    found["normalised"] = model.get_vec_normalize_env() is not None
    return {k: v if isinstance(v, int | float | bool) else str(v) for k, v in found.items()}
