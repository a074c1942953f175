"""What all runs of a comparison have in common, and which finished runs count: those that are what is asked for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from compare_algorithms import Algorithm
from rosac_common.settings import from_mapping, to_mapping
from sac_learner.atomic_file import write_atomic
from sac_learner.graph.modes import mode_parameters
from sac_learner.gym.settings import GymSettings

Report = Callable[[str], None]  # takes one line
EPISODES = "evaluation_episodes"  # of one evaluation, as `GymTraining` names them


class OtherRunError(RuntimeError):
    """What is there was begun as another run. The message says what differs."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What every run of a comparison has in common."""

    environment: str  # of Gymnasium
    directory: Path
    points: int  # evaluations of a run
    episodes: int  # of an evaluation
    final_episodes: int  # of the last one
    steps: int = 0  # 0: those of the algorithm
    published: Path | None = None  # finished runs of earlier comparisons, and where new ones are copied to

    def total(self, algorithm: Algorithm) -> int:
        """Control steps of a run."""
        return self.steps or algorithm.steps

    def interval(self, algorithm: Algorithm) -> int:
        """Control steps between evaluations."""
        chunk = algorithm.chunk_steps
        return max(1, -(-self.total(algorithm) // self.points // chunk)) * chunk

    def result_path(self, algorithm: Algorithm, seed: int) -> Path:
        """Where the finished run lies."""
        return self.directory / f"{algorithm.name}_{seed}.json"

    def work_path(self, algorithm: Algorithm, seed: int) -> Path:
        """Folder of what an unfinished run goes on from."""
        return self.directory / f"{algorithm.name}_{seed}"


def learning_settings(settings: GymSettings) -> dict[str, Any]:
    """What decides what is learned, by dotted name."""
    return {name: value for name, value in to_mapping(settings).items() if name.startswith(("sac.", "pacing."))}


def asked_settings(algorithm: Algorithm) -> dict[str, Any]:
    """All that one of rosac's algorithms learns with: its mode over the defaults, and what it changes of the mode."""
    return learning_settings(from_mapping(GymSettings, {**mode_parameters(algorithm.mode), **algorithm.changes}))


def changed_settings(algorithm: Algorithm, made: Mapping[str, Any]) -> list[str]:
    """Settings that a run was `made` with and that are others now. One that it does not know was at its default, and
    how the gradients are computed is not what is learned."""
    asked = asked_settings(algorithm)
    if asked["sac.products"] == "auto":  # a run stores what that came to on its computer
        asked["sac.products"] = made.get("sac.products", "auto")
    known = {**learning_settings(GymSettings()), **made}
    return [
        f"{name} is {value} there and {asked.get(name, 'unknown')} here"
        for name, value in known.items()
        if name != "sac.gradients" and asked.get(name) != value
    ]


def strangeness(plan: Plan, algorithm: Algorithm, seed: int, document: Mapping[str, Any]) -> list[str]:
    """In what a finished run is another one altogether, which one of the same file name must not replace."""
    asked = {"environment": plan.environment, "algorithm": algorithm.name, "seed": seed}
    return [
        f"{name} is {document.get(name)} there and {value} here"
        for name, value in asked.items()
        if document.get(name) != value
    ]


def misfits(plan: Plan, algorithm: Algorithm, seed: int, document: Mapping[str, Any]) -> list[str]:
    """In what a finished run is not the one that is asked for; empty: it counts. It may be longer, and its evaluations
    may have more episodes."""
    found = strangeness(plan, algorithm, seed, document)
    for what, there, asked in (
        ("control steps", document["steps"][-1], plan.total(algorithm)),
        ("episodes of an evaluation", document.get("evaluation_episodes", 0), plan.episodes),
        ("episodes of the last evaluation", document.get("final_evaluation_episodes", 0), plan.final_episodes),
    ):
        if there < asked:
            found.append(f"{what}: {there} there, fewer than the {asked} asked for")
    return found + (changed_settings(algorithm, document["settings"]) if algorithm.own else [])


def finished(plan: Plan, algorithm: Algorithm, seed: int, report: Report = lambda line: None) -> dict[str, Any] | None:
    """The run if it is there or published and is what is asked for; `report` hears of one that is there and is not."""
    path = plan.result_path(algorithm, seed)
    for place in (path, plan.published and plan.published / path.name):
        if place is None or not place.exists():
            continue
        document = json.loads(place.read_text(encoding="utf-8"))
        if not (problems := misfits(plan, algorithm, seed, document)):
            return document
        report(f"{place} does not count: {'; '.join(problems)}")
    return None


def keep(path: Path, document: Mapping[str, Any]) -> None:
    """Write a finished run, whole or not at all."""
    write_atomic(path, (json.dumps(document, indent=2) + "\n").encode())


def publish(plan: Plan, algorithm: Algorithm, seed: int, document: Mapping[str, Any]) -> None:
    """Keep a finished run where later comparisons have it without computing."""
    if plan.published is not None:
        keep(plan.published / plan.result_path(algorithm, seed).name, document)
