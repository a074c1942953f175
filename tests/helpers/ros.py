"""Real nodes in real processes, and waiting for conditions instead of time."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
import yaml
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosac_common.environment import executable, ros_environment
from rosac_common.parent import ending_with_this_process

from helpers.patience import PATIENCE_S

# Far longer than any service takes.
_ASK_AGAIN_S = 30.0


@contextmanager
def ros_node(name: str = "tester", **options: Any) -> Iterator[Node]:
    """A node in a context of its own with an executor of its own (`node.executor`)."""
    context = rclpy.Context()
    context.init(args=[])
    node = Node(name, context=context, **options)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield node
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def spin_until(
    node: Node, predicate: Callable[[], Any], timeout_s: float = PATIENCE_S, what: str = "condition"
) -> None:
    """Spin the node until the predicate holds; AssertionError with `what` after the time-out."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s} s")
        node.executor.spin_once(timeout_sec=0.02)


def call(node: Node, service_type: Any, name: str, request: Any = None) -> Any:
    """Call a service and return its response. Asked again after a while: one that is slow to find out about this client
    drops its answer ("client will not receive response")."""
    client = node.create_client(service_type, name)
    spin_until(node, client.service_is_ready, what=f"service {name} is there")
    future, again_s = None, 0.0

    def answered() -> bool:
        nonlocal future, again_s
        if future is None or (not future.done() and time.monotonic() > again_s):
            future, again_s = client.call_async(request or service_type.Request()), time.monotonic() + _ASK_AGAIN_S
        return future.done()

    spin_until(node, answered, what=f"answer of {name}")
    node.destroy_client(client)
    return future.result()


class NodeProcess:
    """One node of the project as a process, its output kept for messages. `program`: a script instead of its own."""

    def __init__(
        self,
        package: str,
        name: str,
        parameters: Mapping[str, Any],
        extra: tuple[str, ...] = (),
        program: Path | None = None,
    ) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.parameter_file = Path(self._directory.name) / "parameters.yaml"
        self.parameter_file.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(parameters)}}))
        self.log_path = Path(self._directory.name) / "output.log"
        start = [str(executable(package, name))] if program is None else [sys.executable, str(program)]
        command = [*start, "--ros-args", "--params-file", str(self.parameter_file), *extra]
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=ros_environment(),
                preexec_fn=ending_with_this_process(signal.SIGINT),
            )

    def output(self) -> str:
        return self.log_path.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Exit code; AssertionError with the output when it does not end."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s} s:\n{self.output()}") from None

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                print(f"{self.process.args} had to be killed:\n{self.output()}", file=sys.stderr)
        self._directory.cleanup()

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
