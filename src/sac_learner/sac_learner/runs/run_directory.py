"""Run directories: `runs/<name>/` holds everything of one training run.

run.json            stack, arguments, number of sessions; written last when the run is made, so a run without it is
                    incomplete
config.yaml         resolved parameters of every node: a standard ROS 2 parameter file
params.yaml         what the file given as params:= held; the run keeps to that, whatever becomes of the file
replay/             append-only replay log
checkpoints/        atomic checkpoints
metrics/            TensorBoard events
policy.safetensors  exported policy; policy_untrained.safetensors: the same before its first update
policies/           exported policies from on the way, by control steps
episodes.csv        one row per episode
log/                output of every node
evaluation/N/       config.yaml and log/ of evaluations; one at work keeps others out of its folder
plots/ evaluation.json strip.png   made by `rosac plot` and `rosac eval`
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sac_learner.graph.stacks import STACKS, ArgumentError, Graph, complete_arguments, resolve
from sac_learner.runs.run_files import RunFiles

FORMAT = 1
WHAT_IT_IS = ("task", "mode")  # arguments without which nobody knows what a run learns


class RunError(ValueError):
    """A run directory exists, is missing, unreadable, in use, or belongs to another stack or task."""


@dataclasses.dataclass(frozen=True)
class Run:
    """An existing run."""

    path: Path
    stack: str
    arguments: dict[str, str]
    sessions: int = 1  # how often it was started

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def files(self) -> RunFiles:
        """Where its files are."""
        return RunFiles(self.path)

    def resolve(self, changes: Mapping[str, str]) -> Graph:
        """Its graph with other arguments laid over its own, and the seeds of its first session. Unless another
        params:= file is among them, the run's copy of its own one counts.

        Raises:
            ArgumentError: an argument has a value that it does not allow.
            RunError: the copy is missing.
            SettingsError: a file of the settings is missing or bad.
        """
        stack = STACKS[self.stack]
        arguments = complete_arguments(stack, {**self.arguments, **changes})
        if arguments["params"] and "params" not in changes:
            if not self.files.params.exists():
                raise RunError(
                    f"run '{self.name}' has lost {self.files.params}, what its params:={arguments['params']} held: "
                    "restore it from a copy, or give params:=FILE again"
                )
            arguments["params"] = str(self.files.params)
        return resolve(stack, arguments, self.name, self.path)


def find_run(name: str, runs: Path) -> Run:
    """An existing run by its name in `runs`, or by its path.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    path = runs / name
    if not path.is_dir() and Path(name).is_dir():
        path = Path(name)
    if not name or not path.is_dir() or not _is_run(path):
        there = f"runs there: {', '.join(run.name for run in list_runs(runs)) or 'none'}"
        raise RunError(f"no run '{name}' in {runs}; {there}")
    return _load(path)


def list_runs(runs: Path) -> list[Run]:
    """All runs that can be read, oldest first."""
    return sorted(_read_all(runs)[0], key=lambda run: run.files.document.stat().st_mtime)


def unreadable_runs(runs: Path) -> dict[str, str]:
    """The other ones: name -> what is wrong with it, and what to do."""
    return _read_all(runs)[1]


def _read_all(runs: Path) -> tuple[list[Run], dict[str, str]]:
    found, unreadable = [], {}
    for path in _run_paths(runs):
        try:
            found.append(_load(path))
        except RunError as error:
            unreadable[path.name] = str(error)
    return found, unreadable


def _run_paths(runs: Path) -> list[Path]:
    return sorted(path for path in runs.iterdir() if _is_run(path)) if runs.is_dir() else []


def _is_run(path: Path) -> bool:
    """Whether a directory was made for a run, complete or not. `rosac gym` has a document of its own."""
    files = RunFiles(path)
    return files.document.exists() or files.config.exists()


def _load(path: Path) -> Run:
    files = RunFiles(path)
    try:
        document: dict[str, Any] = json.loads(files.document.read_text(encoding="utf-8"))
        version, stack, given = document["format"], str(document["stack"]), dict(document["arguments"])
        sessions = document.get("sessions", 1)  # older versions did not count them
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise RunError(
            f"run directory {path} is incomplete: cannot read run.json ({reason}); {_remedy(files)}"
        ) from error
    if version != FORMAT:
        raise RunError(f"{path}/run.json has format {version}; this version of rosac reads format {FORMAT}")
    if stack not in STACKS:
        raise RunError(f"{path}/run.json is of stack '{stack}'; this version of rosac knows {', '.join(STACKS)}")
    if missing := [name for name in WHAT_IT_IS if name not in given]:
        raise RunError(f"{path}/run.json does not say its {', '.join(missing)}; {_remedy(files)}")
    if not isinstance(sessions, int) or sessions < 1:
        raise RunError(f"{path}/run.json: sessions is {sessions!r}, it must be a whole number from 1; {_remedy(files)}")
    arguments = {str(name): str(value) for name, value in given.items()}
    try:
        return Run(path, stack, complete_arguments(STACKS[stack], arguments), sessions)
    except ArgumentError as error:
        raise RunError(f"{path}/run.json: {error}; {_remedy(files)}") from error


def _remedy(files: RunFiles) -> str:
    """What to do with a run whose run.json is bad: never remove what a robot has worked for."""
    if any(path.exists() for path in (files.replay, files.checkpoints, files.episodes, files.policy)):
        return (
            "restore run.json from a copy, or start a new run with the arguments of this one, stop it, and put "
            "replay/, checkpoints/ and episodes.csv from here into it in place of its own: nothing is lost then"
        )
    return "it has no data yet: remove it"
