"""`rosac train`, `up` and `eval` say what the robot waits for; on a terminal the space bar stops it."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pytest
from helpers.graph import ROSAC, GraphProcess, children, own_parameters
from helpers.in_process import rosac
from helpers.patience import PATIENCE_S, until
from helpers.ros import ros_node, spin_until
from rclpy.node import Node
from rosac_common.environment import ros_environment
from sac_interfaces.msg import SafetyState
from sac_learner.commands.operator_text import pressed
from sac_learner.graph.dds import PROFILES

from rosac_common import qos

pytestmark = pytest.mark.ros

PATIENT = ("--timeout-s", str(PATIENCE_S))
BY_HAND = {"bridge": {"auto_arm": False}}
# A start that no servo reaches: the task asks for help.
STUCK = {"task": {"reset.tolerance_rad": 0.001, "reset.retries": 0, "reset.draws": 1}}
FAST = {"learner": {"sac.batch_size": 32, "sac.hidden_sizes": [32, 32]}}


class Terminal:
    """`rosac ...` on a terminal of its own, at which somebody sits."""

    def __init__(self, *arguments: str, directory: Path) -> None:
        self._master, self.slave = pty.openpty()
        os.set_blocking(self._master, False)
        self._text = b""
        self.process = subprocess.Popen(
            [*ROSAC, *arguments],
            cwd=directory,
            env=ros_environment(),
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def text(self) -> str:
        """All that was shown."""
        try:
            while data := os.read(self._master, 65536):
                self._text += data
        except BlockingIOError:
            pass
        return self._text.decode(errors="replace")

    def shows(self, *parts: str) -> bool:
        """Whether all of it was shown, wherever lines are broken."""
        text = " ".join(self.text().split())
        return all(part in text for part in parts)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    @property
    def waits_for_lines(self) -> bool:
        """Whether the terminal shows keys and passes on whole lines, as a shell wants it."""
        flags = termios.tcgetattr(self.slave)[tty.LFLAG]
        return bool(flags & termios.ICANON) and bool(flags & termios.ECHO)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            until(lambda: (self.text(), self.process.poll())[1] is not None, "the end")
        if error is not None:
            print(self.text())
        os.close(self._master)
        os.close(self.slave)


class Listener:
    """What the bridge says."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.safety: SafetyState | None = None
        self.count = 0
        node.create_subscription(SafetyState, "safety/state", self._on_safety, qos.LATCHED)

    def _on_safety(self, message: SafetyState) -> None:
        self.safety = message
        self.count += 1

    def until(self, condition, what: str) -> None:
        spin_until(self._node, condition, what=what)

    def until_state(self, state: int) -> None:
        self.until(lambda: self.safety is not None and self.safety.state == state, f"safety state {state}")


@contextmanager
def listening() -> Iterator[Listener]:
    with ros_node("listener") as node:
        yield Listener(node)


def bridge_pid(process: subprocess.Popen) -> int:
    return next(pid for pid, command in children(process.pid) if "/bridge\0" in command)


@pytest.mark.parametrize(
    ("command", "ready"), [("up", "Ctrl-C ends it"), ("train", "TensorBoard")], ids=["up", "train"]
)
def test_the_space_bar_stops_the_robot(command: str, ready: str, tmp_path: Path) -> None:
    own = own_parameters(tmp_path / "fast.yaml", FAST)
    with (
        listening() as robot,
        Terminal(command, "dclaw_valve", "run:=r", "steps:=1000000", own, directory=tmp_path) as terminal,
    ):
        assert terminal.waits_for_lines
        until(lambda: terminal.shows(ready, "The space bar stops the robot"), "it says so")
        robot.until_state(SafetyState.ARMED)
        until(lambda: not terminal.waits_for_lines, "keys come one by one")
        terminal.type(b"stop?\n")
        heard = robot.count
        robot.until(lambda: robot.count > heard + 1, "the bridge reports")
        assert robot.safety.state == SafetyState.ARMED, "only the space bar stops it"
        terminal.type(b" ")
        robot.until(lambda: pressed(robot.safety), "stopped by safety/stop")
        until(
            lambda: terminal.shows(
                "The robot waits for you: STOPPED by operator_stop",
                "Next: `rosac stop --release`, then `rosac reset`, then `rosac arm`",
            ),
            "the way back is shown",
        )
        for arguments in (["stop", "--release"], ["reset"], ["arm"]):
            code, _, complained = rosac(*arguments, *PATIENT)
            assert (code, complained) == (0, ""), arguments
        robot.until_state(SafetyState.ARMED)
        until(lambda: terminal.shows("The robot goes on."), "it says that all is well")
        terminal.type(b"\x03")
        until(lambda: (terminal.text(), terminal.process.poll())[1] is not None, "Ctrl-C ends it")
        assert terminal.process.returncode == (0 if command == "up" else 130)
        assert terminal.waits_for_lines


def test_a_stop_is_repeated_until_a_bridge_confirms_it(tmp_path: Path) -> None:
    with listening() as robot, Terminal("up", "dclaw_valve", "run:=r", directory=tmp_path) as terminal:
        robot.until_state(SafetyState.ARMED)
        until(lambda: not terminal.waits_for_lines, "keys come one by one")
        os.kill(bridge_pid(terminal.process), signal.SIGKILL)
        terminal.type(b" ")
        until(lambda: terminal.shows("The bridge does not confirm the stop", "switch in its supply"), "it says so")
        robot.until(lambda: pressed(robot.safety), "the new bridge is stopped")
        until(lambda: terminal.shows("STOPPED by operator_stop"), "it says so")


def test_without_a_terminal_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROFILES:  # else the nodes have that of the tests
        monkeypatch.delenv(name, raising=False)
    with listening() as robot, GraphProcess("up", "run:=r", directory=tmp_path) as process:
        robot.until_state(SafetyState.ARMED)
        assert "space bar" not in process.output()
        environment = Path(f"/proc/{bridge_pid(process.process)}/environ").read_text()
        assert "dds_localhost.xml" in environment, "a stop shall find the bridge at once"


def test_what_the_robot_waits_for_is_said_with_the_command_that_answers(tmp_path: Path) -> None:
    own = own_parameters(tmp_path / "own.yaml", {**FAST, **BY_HAND, **STUCK})
    with GraphProcess("train", "run:=r", "steps:=1000000", own, directory=tmp_path) as process:
        disarmed = "The robot waits for you: disarmed. Next: hands off the robot, then `rosac arm`"
        until(lambda: disarmed in process.output(), "the robot shall be armed")
        until(lambda: rosac("arm", *PATIENT)[0] == 0, "a bridge that is active")
        asks = "the task asks: reset failed"
        until(lambda: asks in process.output(), "what the task asks for")
        assert "Next: do what the task asks for, then `rosac done`" in process.output()
        until(lambda: asks in rosac("safety", *PATIENT)[1], "it is shown")
        until(lambda: rosac("done", *PATIENT) == (0, "the reset begins\n", ""), "the answer")


def test_an_evaluation_waits_for_the_person_who_arms(tmp_path: Path) -> None:
    own = own_parameters(tmp_path / "own.yaml", {**FAST, **BY_HAND})
    with GraphProcess("up", "run:=r", own, directory=tmp_path):
        until((tmp_path / "runs" / "r" / "policy_untrained.safetensors").exists, "a policy")
    command = [*ROSAC, "eval", "r", "--untrained", "--episodes", "1"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=ros_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        namespace = f"evaluation_{process.pid}"
        asked = f"hands off the robot, then `rosac arm --namespace {namespace}`"
        assert asked in process.stderr.readline()
        until(lambda: rosac("arm", "--namespace", namespace, *PATIENT)[0] == 0, "a bridge that is active")
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert said.startswith("1 episodes: success")
