"""What the learning benchmarks share: one training run as a user starts it, and curves of success over seeds."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import yaml
from rosac_common.parameter_file import parameter_text
from rosac_common.parent import ending_with_this_process
from rosac_common.settings import SettingsError, leaves, load_parameter_file
from sac_learner.commands.json_file import write_json
from sac_learner.graph.stacks import STACKS, ArgumentError, complete_arguments, resolve
from sac_learner.policy import load_policy
from sac_learner.runs.run_directory import Run, RunError, find_run
from support import machine

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen first

# Of a run's directory, beside rosac's own files: the sessions that a benchmark has started.
SESSIONS = "benchmark.json"
UNKNOWN = "unknown"
# Settings that do not decide what is learned: where the run lies, and the seeds, which each session draws anew from the
# run's.
_FREE = ("run_directory", "seed", "sac.gradients")


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished training. Of a session that no benchmark has started nobody knows what is told of it here."""

    run: Run
    commits: tuple[str, ...]  # of the code of its sessions
    wall_time_s: float | None  # of all of them


def train(stack: str, runs: Path, name: str, arguments: Mapping[str, object]) -> Trained:
    """`rosac train`: a new run, the rest of one that was interrupted, or nothing where it is finished already.

    Raises:
        SystemExit: the run there was trained with something else, cannot be read, or does not come to its end.
    """
    given = {key: str(value) for key, value in {"runs": runs, "run": name, **arguments}.items()}
    try:
        if not (runs / name).exists():
            _rosac_train(stack, runs / name, given)
        elif found := differences(stack, find_run(name, runs), given):
            raise SystemExit(
                f"{runs / name} is another training than the one that is asked for: {'; '.join(found)}. Give another "
                "--runs folder, or remove that run"
            )
        elif not _is_finished(find_run(name, runs)):
            _rosac_train(stack, runs / name, {"runs": str(runs), "run": name, "resume": "true"})
        return _trained(find_run(name, runs))
    except (RunError, ArgumentError, SettingsError) as error:
        raise SystemExit(f"{error}") from error


def differences(stack: str, run: Run, given: Mapping[str, str]) -> list[str]:
    """In what a run was started with other settings than arguments ask for. One that is newer than the run was at its
    default then.

    Raises:
        RunError, ArgumentError, SettingsError: one of them cannot be read.
    """
    if run.stack != stack:
        return [f"stack is {run.stack} there and {stack} here"]
    arguments = complete_arguments(STACKS[stack], given)
    found = []
    if run.arguments["seed"] != arguments["seed"]:
        found.append(f"seed is {run.arguments['seed']} there and {arguments['seed']} here")
    graph = resolve(STACKS[stack], arguments, run.name, run.path)
    before, now = load_parameter_file(run.files.config), yaml.safe_load(parameter_text(graph.parameter_file()))
    for node in graph.nodes:
        defaults = {leaf.name: leaf.default for leaf in leaves(node.settings)}
        there, here = (
            {**defaults, **values}
            for values in (before.get(f"/**/{node.name}", {}), now[f"/**/{node.name}"]["ros__parameters"])
        )
        found += [
            f"{node.name} {key} is {value} there and {here.get(key, UNKNOWN)} here"
            for key, value in there.items()
            if key not in _FREE and here.get(key) != value
        ]
    return found


def _is_finished(run: Run) -> bool:
    """Whether the policy has seen all steps of the training, and its evaluation is none of before."""
    files = run.files
    if not files.evaluation.exists() or not files.policy.exists():
        return False
    total = load_parameter_file(files.config)["/**/learner"]["total_steps"]
    newest = files.evaluation.stat().st_mtime_ns >= files.policy.stat().st_mtime_ns
    return newest and load_policy(files.policy).transitions >= total


def _rosac_train(stack: str, path: Path, arguments: Mapping[str, str]) -> None:
    """One session of a run, noted with the code that it had."""
    given = [f"{key}:={value}" for key, value in arguments.items()]
    command = [sys.executable, "-m", "sac_learner.cli", "train", stack, *given]
    commit, before, start = machine()["commit"], _sessions(path), time.monotonic()
    try:
        subprocess.run(command, check=True, preexec_fn=ending_with_this_process(signal.SIGINT))
    except subprocess.CalledProcessError as error:
        raise SystemExit(
            f"`rosac train` of {path} ended with exit code {error.returncode}, see above; called again, this goes on "
            "with the run"
        ) from error
    finally:  # an interrupted one has begun, too
        if (session := _sessions(path)) > before:
            note = {"commit": commit, "wall_time_s": time.monotonic() - start}
            write_json(path / SESSIONS, {**_notes(path), str(session): note})


def _sessions(path: Path) -> int:
    """How often a run was started; 0: there is none, or none that can be read."""
    try:
        return find_run(path.name, path.parent).sessions if path.exists() else 0
    except RunError:
        return 0


def _notes(path: Path) -> dict[str, dict[str, Any]]:
    """Of the sessions that a benchmark has started, by number: commit, wall time [s]."""
    file = path / SESSIONS
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _trained(run: Run) -> Trained:
    notes = _notes(run.path)
    known = [notes.get(str(session + 1)) for session in range(run.sessions)]
    commits = dict.fromkeys(note["commit"] if note else UNKNOWN for note in known)
    return Trained(run, tuple(commits), sum(note["wall_time_s"] for note in known) if all(known) else None)


def commits_of(trained: list[Trained]) -> str:
    """Commits that trainings were made at, for :func:`support.finish`."""
    return ", ".join(sorted({commit for each in trained for commit in each.commits}))


def plot_curves(points: list[int], curves: Mapping[str, list[np.ndarray]], ylabel: str, path: Path) -> None:
    """Mean and range over seeds against control steps; `curves`: label -> (points,) of each seed."""
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for label, values in curves.items():
        (line,) = axis.plot(points, np.mean(values, axis=0), marker="o", label=label)
        axis.fill_between(points, np.min(values, axis=0), np.max(values, axis=0), alpha=0.2, color=line.get_color())
    axis.set(xlabel="control steps", ylabel=ylabel, ylim=(-0.02, 1.02))
    axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
