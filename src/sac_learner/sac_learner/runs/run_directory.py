"""Run directories: `runs/<name>/` holds everything of one training run.

run.json            stack, arguments, sizes; written last when the run is made, so a run without it is incomplete
config.yaml         resolved parameters of every node: a standard ROS 2 parameter file
replay/             append-only replay log
checkpoints/        atomic checkpoints
metrics/            TensorBoard events
policy.safetensors  exported policy; policy_untrained.safetensors: the same before its first update
episodes.csv        one row per episode
log/                output of every node
plots/ evaluation.json strip.png   made by `rosac plot` and `rosac eval`
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sac_learner.graph.stacks import Graph, Stack, complete_arguments, find_stack, resolve
from sac_learner.runs.run_files import RunFiles

FORMAT = 1


class RunError(ValueError):
    """A run directory exists, is missing, incomplete or belongs to another stack or task."""


@dataclasses.dataclass(frozen=True)
class Run:
    """An existing run."""

    path: Path
    stack: str
    arguments: dict[str, str]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def files(self) -> RunFiles:
        """Where its files are."""
        return RunFiles(self.path)


def prepare(
    stack: Stack,
    given: Mapping[str, str],
    now: datetime.datetime,
    check: Callable[[Graph], None] = lambda graph: None,
) -> tuple[Run, Graph]:
    """Make a new run or, with resume:=true, take up an existing one; both ready to start.

    Args:
        stack: what to run.
        given: the arguments given; the others are the defaults, or on resume those of the run.
        now: for the name of a new run.
        check: raises what is against this graph, before anything is written.

    Raises:
        RunError: the run exists (new) or is missing, incomplete or of another stack, task or mode (resume).
        SettingsError: a parameter is unknown or out of range; nothing has been written then.
    """
    if given.get("resume") == "true":
        run, arguments = _taken_up(stack, given)
        graph = resolve(stack, arguments, run.name, run.path)
        check(graph)
    else:
        arguments = complete_arguments(stack, given)
        name = arguments["run"] or f"{stack.name}-{now:%Y%m%d-%H%M%S}"
        _check_name(name)
        path = Path(arguments["runs"]) / name
        if path.exists():
            raise RunError(
                f"{path} exists: continue it with run:={name} resume:=true, remove it, or choose another run:=NAME"
            )
        graph = resolve(stack, arguments, name, path)
        check(graph)
        path.mkdir(parents=True)
        run = Run(path, stack.name, arguments | {"run": name})
    _write(run.files.config, yaml.safe_dump(graph.parameter_file(), sort_keys=False))
    document = {"format": FORMAT, "stack": stack.name, "arguments": run.arguments}
    _write(run.files.document, json.dumps(document, indent=2) + "\n")
    return run, graph


def _taken_up(stack: Stack, given: Mapping[str, str]) -> tuple[Run, dict[str, str]]:
    """An existing run with its own arguments, laid over by those that may change on resume."""
    runs = Path(complete_arguments(stack, given)["runs"])
    found = find_run(given["run"], runs) if given.get("run") else _newest(stack, runs)
    if found.stack != stack.name:
        raise RunError(f"run '{found.name}' belongs to stack {found.stack}, not {stack.name}")
    for name in ("task", "mode"):
        if given.get(name, found.arguments[name]) != found.arguments[name]:
            raise RunError(
                f"run '{found.name}' has {name}:={found.arguments[name]}, not {given[name]}: "
                f"resume it with {name}:={found.arguments[name]}, or start a new run"
            )
    arguments = complete_arguments(stack, {**found.arguments, **given, "run": found.name})
    return dataclasses.replace(found, arguments=arguments), arguments


def find_run(name: str, runs: Path) -> Run:
    """An existing, complete run by its name in `runs`, or by its path."""
    path = runs / name
    if not path.is_dir() and Path(name).is_dir():
        path = Path(name)
    if not path.is_dir():
        existing = [run.name for run in list_runs(runs)]
        raise RunError(f"no run '{name}' in {runs}; runs there: {', '.join(existing) or 'none'}")
    return _load(path)


def list_runs(runs: Path) -> list[Run]:
    """All complete runs, oldest first."""
    paths = runs.glob("*/run.json") if runs.is_dir() else ()
    return [_load(path.parent) for path in sorted(paths, key=lambda path: path.stat().st_mtime)]


def _load(path: Path) -> Run:
    try:
        document: dict[str, Any] = json.loads(RunFiles(path).document.read_text(encoding="utf-8"))
        arguments = {str(name): str(value) for name, value in document["arguments"].items()}
        run = Run(path, str(document["stack"]), arguments)
        version = document["format"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise RunError(f"run directory {path} is incomplete: cannot read run.json ({error}); remove it") from error
    if version != FORMAT:
        raise RunError(f"{path}/run.json has format {version}; this version of rosac reads format {FORMAT}")
    find_stack(run.stack)
    return run


def _newest(stack: Stack, runs: Path) -> Run:
    matching = [run for run in list_runs(runs) if run.stack == stack.name]
    if not matching:
        raise RunError(f"nothing to resume: no run of {stack.name} in {runs}")
    return matching[-1]


def _check_name(name: str) -> None:
    if "/" in name or name.startswith(".") or not name.isprintable():
        raise RunError(f"run:={name}: a run name is one directory name; it must not hold '/' or start with '.'")


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
