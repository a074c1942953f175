"""A whole graph under `rosac up` or `rosac train`, as a user starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from rosac_common.environment import ros_environment
from rosac_common.parent import ending_with_this_process

from helpers.patience import PATIENCE_S

ROSAC = (sys.executable, "-m", "sac_learner.cli")
# A learner small enough that start-up, not training, is what takes time.
SMALL_LEARNER = {"sac.batch_size": 32, "sac.hidden_sizes": [32, 32], "sac.initial_random_steps": 100}


def rosac(
    *arguments: str, directory: Path, timeout_s: float = 800.0, program: Sequence[str] = ROSAC
) -> subprocess.CompletedProcess[str]:
    """Run `rosac`, or a program that changes it, to its end."""
    command, environment = [*program, *arguments], ros_environment()
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=timeout_s)


def own_parameters(path: Path, parameters: Mapping[str, Mapping[str, Any]]) -> str:
    """Write a `params:=` file: node name -> parameters; returns the argument.

    Gradients are not compiled, which the graph would have to wait for; test_gradients.py and the learning gate do that.
    """
    learner = {"sac.gradients": "derived", **parameters.get("learner", {})}
    document = {
        f"/**/{node}": {"ros__parameters": dict(values)} for node, values in {**parameters, "learner": learner}.items()
    }
    path.write_text(yaml.safe_dump(document))
    return f"params:={path}"


class GraphProcess:
    """`rosac up|train STACK ...` in the background; ended with SIGINT, its nodes checked to be gone."""

    def __init__(self, command: str, *arguments: str, directory: Path, stack: str = "dclaw_valve") -> None:
        self.directory = directory
        self._log = (directory / "rosac.log").open("w+")
        self.process = subprocess.Popen(
            [*ROSAC, command, stack, *arguments],
            cwd=directory,
            env=ros_environment(),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=ending_with_this_process(signal.SIGINT),
        )

    def output(self) -> str:
        """What it printed, and the end of every node's log."""
        texts = [(self.directory / "rosac.log").read_text(errors="replace")]
        for path in sorted(self.directory.glob("runs/*/log/*.log")):
            texts.append(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:]))
        return "\n".join(texts)

    def node_pid(self, name: str) -> int | None:
        """Process id of a node, None while it is not running."""
        for pid, command in children(self.process.pid):
            if command.endswith(f"/{name}") or f"/{name}\0" in command:
                return pid
        return None

    def kill_node(self, name: str) -> None:
        """SIGKILL one node."""
        pid = self.node_pid(name)
        assert pid is not None, f"node {name} is not running:\n{self.output()}"
        os.kill(pid, signal.SIGKILL)

    def pause_node(self, name: str, duration_s: float) -> None:
        """Let a node stand still for that time, as on a busy machine; returns at once."""
        pid = self.node_pid(name)
        if pid is None:
            return

        def resume() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        os.kill(pid, signal.SIGSTOP)
        threading.Timer(duration_s, resume).start()

    def pause_supervision(self) -> None:
        """Let `rosac` itself stand still, so that a dead node stays dead."""
        self.process.send_signal(signal.SIGSTOP)

    def resume_supervision(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def interrupt(self, timeout_s: float = PATIENCE_S) -> int:
        """Ctrl-C; returns the exit code."""
        pids = [pid for pid, _ in children(self.process.pid)]
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout_s)
        left = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
        assert not left, f"left running: {left}"
        return code

    def wait(self, timeout_s: float) -> int:
        """Exit code when it ends by itself."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {timeout_s} s:\n{self.output()}") from None

    def __enter__(self) -> GraphProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.resume_supervision()
            self.interrupt()
        if error is not None:
            print(self.output())
        self._log.close()


def children(pid: int) -> list[tuple[int, str]]:
    try:
        ids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    found = []
    for child in map(int, ids):
        try:
            found.append((child, Path(f"/proc/{child}/cmdline").read_text()))
        except FileNotFoundError:
            continue
    return found
