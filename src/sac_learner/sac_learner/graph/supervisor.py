"""Starts the processes of a graph, restarts one that dies, and ends them all, whatever happens to this process."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from rosac_common.environment import executable, ros_environment
from rosac_common.parent import ending_with_this_process

from sac_learner.graph.stacks import Graph, NodeSpec

# Time between a node's death and its restart: long enough not to spin, short against an episode of 8 s.
RESPAWN_DELAY_S = 2.0
# A node that refuses its parameters or its run directory ends with this: it would do so again.
REFUSED = 2
# As ros2 launch: SIGINT, then SIGTERM, then SIGKILL.
STOP_TIMEOUT_S = 5.0


class Supervisor:
    """The node processes of one graph."""

    def __init__(self, graph: Graph, config: Path, log_directory: Path, report: Callable[[str], None]) -> None:
        """Args:
        graph: what to start.
        config: the parameter file of all nodes.
        log_directory: each node writes its output to NODE.log here.
        report: called with one line when a node dies or is restarted.
        """
        self._graph = graph
        self._config = config
        self._logs = log_directory
        self._report = report
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._restart_at: dict[str, float] = {}

    def start(self) -> None:
        """Start every node."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for node in self._graph.nodes:
            self._start(node)

    def check(self, now_s: float) -> None:
        """Notice dead nodes and restart them after a delay.

        Raises:
            RuntimeError: a node refused its parameters or its run directory (exit code 2): restarting cannot help.
        """
        for node in self._graph.nodes:
            process = self._processes[node.name]
            code = process.poll()
            if code is None:
                continue
            if code == REFUSED:
                raise RuntimeError(f"node {node.name} refused to start:\n{self.tail(node.name)}")
            if node.name not in self._restart_at:
                self._restart_at[node.name] = now_s + RESPAWN_DELAY_S
                self._report(f"node {node.name} ended ({_ending(code)}); restarting it. Its last words:")
                self._report(self.tail(node.name, lines=3))
            elif now_s >= self._restart_at[node.name]:
                del self._restart_at[node.name]
                self._start(node)

    def stop(self) -> None:
        """End all nodes: SIGINT, SIGTERM, SIGKILL."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            running = [process for process in self._processes.values() if process.poll() is None]
            for process in running:
                process.send_signal(number)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            for process in running:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue
        for name, process in self._processes.items():
            if process.returncode == -signal.SIGKILL:
                self._report(f"node {name} had to be killed; its output: {self._logs / name}.log")

    def tail(self, name: str, lines: int = 12) -> str:
        """The last lines of a node's output."""
        text = (self._logs / f"{name}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def pid(self, name: str) -> int:
        """Process id of a node."""
        return self._processes[name].pid

    def _start(self, node: NodeSpec) -> None:
        command = [str(executable(node.package, node.executable)), "--ros-args", "--params-file", str(self._config)]
        if self._graph.arguments["namespace"]:
            command += ["-r", f"__ns:=/{self._graph.arguments['namespace'].strip('/')}"]
        environment = {**ros_environment(), **self._graph.environment}
        with (self._logs / f"{node.name}.log").open("ab") as log:
            self._processes[node.name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                # Ctrl-C reaches only this process, which then ends the nodes in order.
                start_new_session=True,
                # No robot keeps moving without its supervisor.
                preexec_fn=ending_with_this_process(signal.SIGINT),
            )


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
