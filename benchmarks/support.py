"""What the benchmarks share: a graph in a temporary run, the machine's description, results as JSON, table and plot."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from rosac_common.environment import ros_environment
from sac_learner.commands.json_file import json_path, write_json
from sac_learner.commands.monitor import Monitor
from sac_learner.graph.dds import dds_environment
from sac_learner.graph.stacks import STACKS, Graph
from sac_learner.graph.supervisor import Supervisor
from sac_learner.runs.preparing import prepare
from sac_learner.runs.run_directory import Run

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "docs" / "results"
_STACK = "dclaw_valve"
# Far more updates than the robot's steps call for, and from the first moment: the learner never sleeps.
SATURATING_LEARNER = {"pacing.updates_per_step": 1000.0, "sac.initial_random_steps": 50, "sac.min_pool_steps": 50}


def parser(description: str) -> argparse.ArgumentParser:
    """Command line that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--json", type=json_path, metavar="FILE", help="write the result to this file")
    made.add_argument("--save", action="store_true", help="also write table and plot to docs/results/")
    return made


def tell(line: str) -> None:
    """Print a line of progress at once, into a file too."""
    print(line, flush=True)


def own_parameters(directory: Path, parameters: Mapping[str, Mapping[str, Any]]) -> str:
    """A `params:=` file: node name -> parameters; returns its path."""
    path = directory / "own.yaml"
    document = {f"/**/{node}": {"ros__parameters": dict(values)} for node, values in parameters.items()}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(path)


def add_stack(options: argparse.ArgumentParser) -> None:
    """The option `--stack`."""
    options.add_argument("--stack", choices=sorted(STACKS), default=_STACK, help="what is measured")


def result_name(file: str, stack: str) -> str:
    """Name of the result files of a benchmark that takes `--stack`."""
    return Path(file).stem + ("" if stack == _STACK else f"_{stack}")


def make_run(
    directory: Path,
    given: Mapping[str, str],
    parameters: Mapping[str, Mapping[str, Any]],
    stack: str = _STACK,
) -> tuple[Run, Graph]:
    """A new run of a stack in a directory of its own."""
    own = own_parameters(directory, parameters)
    arguments = {"runs": str(directory / "runs"), "run": "benchmark", "params": own, **given}
    return prepare(STACKS[stack], arguments, datetime.datetime.now(), print)


@contextmanager
def running(run: Run, graph: Graph) -> Iterator[tuple[Supervisor, Monitor]]:
    """The graph while it runs; ended whatever happens. In a ROS domain of its own."""
    supervisor = Supervisor(graph, run.files.config, run.files.logs, tell)
    with Monitor(graph.arguments["namespace"], graph.arguments["discovery"]) as monitor:
        try:
            supervisor.start()
            yield supervisor, monitor
        finally:
            supervisor.stop()


def wait_until(
    condition: Callable[[], object],
    supervisor: Supervisor,
    monitor: Monitor,
    what: str = "ready",
    timeout_s: float = 300.0,
    look_s: float = 0.05,
) -> None:
    """Listen to the graph until the condition holds, which is looked at every `look_s`; `what` names it.

    Raises:
        RuntimeError: not within the time, or a node refused to start.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        monitor.spin(look_s)
        supervisor.check(time.monotonic())
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {timeout_s:g} s; complaints: {monitor.complaints}")


@contextmanager
def workspace() -> Iterator[Path]:
    """A temporary directory, and a ROS domain that nothing else here should use."""
    os.environ["ROS_DOMAIN_ID"] = "101"  # the tests take theirs from 1..99; 100 is left to who tries something by hand
    os.environ.update(dds_environment("localhost"))
    with tempfile.TemporaryDirectory(prefix="rosac-benchmark-") as directory:
        yield Path(directory)


def _anywhere(argument: str) -> str:
    """An argument as it is on any machine: of an absolute path the end."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def machine() -> dict[str, str]:
    """How, with what, where and when a measurement was made."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    versions = {name: importlib.metadata.version(name) for name in ("torch", "mujoco", "numpy")}
    return {
        "command": " ".join([f"benchmarks/{Path(sys.argv[0]).name}", *map(_anywhere, sys.argv[1:])]),
        "commit": commit.stdout.strip() or "unknown",
        "software": ", ".join(
            [
                f"Python {platform.python_version()}",
                f"ROS 2 {ros_environment().get('ROS_DISTRO', 'none')}",
                *(f"{name} {version}" for name, version in versions.items()),
            ]
        ),
        "processor": f"{model}, {os.cpu_count()} cores",
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
    }


def finish(
    options: argparse.Namespace, name: str, result: Mapping[str, Any], table: str = "", trained_at: str = ""
) -> None:
    """Print the result; write it where it was asked for.

    Args:
        options: the command line.
        name: of the files.
        result: all numbers.
        table: for people, instead of all numbers of the result.
        trained_at: commit of what the result was drawn from, where that may be another one than the present.
    """
    made = machine()
    if trained_at:
        made |= {"commit": trained_at, "drawn_at_commit": made["commit"]}
    document = {**result, **made}
    text = json.dumps(document, indent=2, allow_nan=False)
    print(text)
    if options.json:
        write_json(options.json, document)
    if options.save:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        rows = [
            f"| {key} | {value:.4g} |" if isinstance(value, float) else f"| {key} | {value} |"
            for key, value in document.items()
            if not isinstance(value, list | dict)
        ]
        all_numbers = "\n".join(["| quantity | value |", "|---|---|", *rows, ""])
        source = "\n" + "\n".join(f"- {key}: {value}" for key, value in made.items()) + "\n" if table else ""
        (RESULTS / f"{name}.md").write_text(f"# {name}\n\n{table or all_numbers}{source}", encoding="utf-8")
