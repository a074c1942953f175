"""One run of one algorithm, for the comparisons: cached when done, resumed when cut off.

In the directory of the comparison, `<algorithm>_<seed>.json` is a finished run and `<algorithm>_<seed>/` what it goes
on from. With `--save`, finished runs are also kept in docs/results/<name of the comparison>/.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import valve_task.env  # noqa: F401 - registers the environments
from compare_algorithms import Algorithm
from compare_kept import (
    EPISODES,
    OtherRunError,
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
from compare_peers import peer_policy, run_peer
from rosac_common.settings import from_mapping
from sac_learner.atomic_file import write_atomic
from sac_learner.graph.modes import mode_parameters
from sac_learner.gym.environment import GymEnvironment
from sac_learner.gym.evaluation import DeterministicPolicy, evaluate
from sac_learner.gym.settings import GymSettings
from sac_learner.gym.storage import GymRunError, stored_run
from sac_learner.gym.training import GymTraining
from sac_learner.policy import PolicyNetwork, load_policy
from sac_learner.runs.run_files import RunFiles
from support import machine

THREADS = 1
_ENVIRONMENT = "environment"  # file that says what the folder was begun for
_BEST = 2  # uses of a seed beside the number of steps: of the evaluation of the best policy; 1 is for resuming


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

    def evaluated(evaluation: dict[str, Any]) -> None:
        report(_line(algorithm, seed, evaluation))
        clock.keep()

    evaluations, settings = (_run_own if algorithm.own else run_peer)(plan, algorithm, seed, work, evaluated)
    names = [name for name in evaluations[-1] if name != EPISODES]
    # As they were made: those before a resumption may have had fewer episodes. Older peers did not count them.
    counts = [each.get(EPISODES, plan.episodes) for each in evaluations[:-1]]
    document = {
        "algorithm": algorithm.name,
        "seed": seed,
        "source": algorithm.source,
        "environment": plan.environment,
        **{name: [each[name] for each in evaluations] for name in names},
        "evaluation_episodes": min(counts, default=plan.episodes),
        "final_evaluation_episodes": evaluations[-1].get(EPISODES, plan.final_episodes),
        **_of_the_best(plan, algorithm, seed, work, evaluations),
        "settings": settings,
        "threads": THREADS,
        "wall_time_s": clock.total_s(),
        **machine(),
    }
    keep(path, document)
    return document


def _of_the_best(
    plan: Plan, algorithm: Algorithm, seed: int, work: Path, evaluations: list[dict[str, Any]]
) -> dict[str, Any]:
    """The policy with the best evaluation of the run, seen again over new episodes: the evaluations among which it is
    the best flatter it. Nothing where it was not kept."""
    best = max(evaluations, key=lambda each: (each.get("success_rate", 0.0), each["return_mean"]))
    policy = (_own_policy if algorithm.own else peer_policy)(plan, algorithm, work, best["steps"])
    if policy is None:
        return {}
    environment = GymEnvironment(plan.environment)
    drawn = np.random.SeedSequence(seed, spawn_key=(best["steps"], _BEST)).generate_state(1)[0]
    outcome = evaluate(environment, policy, episodes=plan.final_episodes, seed=int(drawn))
    environment.close()
    return {"best": {"steps": best["steps"], EPISODES: plan.final_episodes, **outcome}}


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


def _run_own(
    plan: Plan, algorithm: Algorithm, seed: int, work: Path, evaluated: Callable[[dict[str, Any]], None]
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
                evaluated(evaluation)
            known = len(training.evaluations)
    finally:
        training.close()
    return training.evaluations, {
        **learning_settings(training.settings),
        "sac.products": training.products,  # not `auto`
    }


def _own_policy(_: Plan, __: Algorithm, work: Path, steps: int) -> DeterministicPolicy | None:
    path = RunFiles(work / "run").kept_policy(steps)
    return PolicyNetwork(load_policy(path)) if path.exists() else None
