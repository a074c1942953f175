"""`rosac stop`, `reset`, `arm`, `done` and `safety` against real bridges, for those without the ros2 command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.commander import PARAMETERS, Commander, bridge
from helpers.graph import ROSAC
from helpers.in_process import rosac
from helpers.patience import PATIENCE_S
from helpers.ros import NodeProcess, ros_node, spin_until
from rclpy.node import Node
from rosac_common.environment import ros_environment
from sac_interfaces.msg import SafetyState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from rosac_common import qos

pytestmark = pytest.mark.ros

PATIENT = ("--timeout-s", str(PATIENCE_S))
PRESSED = """\
STOPPED
  operator_stop, present: safety/stop is true; publish false there to clear it
next: `rosac stop --release`, then `rosac reset`, then `rosac arm`
"""


@contextmanager
def spun(node: Node) -> Iterator[None]:
    """The node answers while the test does something else."""
    end = threading.Event()

    def spin() -> None:
        while not end.is_set():
            node.executor.spin_once(timeout_sec=0.02)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_stop_release_reset_arm() -> None:
    with bridge(auto_arm=False), ros_node("commander") as node:
        commander = Commander(node)
        assert rosac("safety", *PATIENT) == (0, "disarmed\nnext: hands off the robot, then `rosac arm`\n", "")
        assert rosac("arm", *PATIENT) == (0, "armed: commands move the robot\n", "")
        commander.connect()
        commander.until_safety(SafetyState.ARMED)
        assert rosac("safety", *PATIENT) == (0, "armed\n", "")

        assert rosac("stop", *PATIENT) == (0, PRESSED, "")
        commander.until_safety(SafetyState.STOPPED)
        assert rosac("safety", *PATIENT) == (0, PRESSED, "")
        assert rosac("stop", *PATIENT) == (0, PRESSED, ""), "again does no harm"
        for command in ("reset", "arm"):
            code, said, complained = rosac(command, *PATIENT)
            assert (code, said) == (1, "")
            assert complained.startswith(f"rosac {command}: refused: ")
            assert "operator_stop" in complained and "`rosac safety`" in complained
        commander.until_safety(SafetyState.STOPPED)

        code, said, _ = rosac("stop", "--release", *PATIENT)
        assert code == 0
        assert "operator_stop, cleared" in said and "next: `rosac reset`, then `rosac arm`" in said
        assert rosac("reset", *PATIENT) == (0, "disarmed: call safety/arm to move again\n", "")
        commander.until_safety(SafetyState.DISARMED)
        assert rosac("arm", *PATIENT)[0] == 0
        commander.until_safety(SafetyState.ARMED)


def test_the_documentation_shows_what_they_print() -> None:
    page = (Path(__file__).parents[2] / "docs" / "safety.md").read_text()
    console = re.search(r"^```console\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)[1]
    parts = re.split(r"^\$ rosac (.*)\n", console, flags=re.MULTILINE)[1:]
    with bridge() as process, ros_node("commander") as node:
        commander = Commander(node)
        commander.until(lambda: commander.safety and commander.safety[-1].state == SafetyState.ARMED, "armed")
        for command, shown in zip(parts[::2], parts[1::2], strict=True):
            code, printed, complained = rosac(*command.split(), *PATIENT)
            assert (code, printed, complained) == (0, shown, ""), f"rosac {command}\n{process.output()}"


def test_a_stop_loads_nothing_that_training_needs() -> None:
    program = (
        "import sys; from sac_learner.cli import main; code = main(sys.argv[1:]);"
        "print(sorted({'torch', 'mujoco', 'matplotlib', 'rich', 'dynamixel_sdk'} & set(sys.modules)));"
        "sys.exit(code)"
    )
    with bridge():
        result = subprocess.run(
            [sys.executable, "-c", program, "stop", *PATIENT], env=ros_environment(), capture_output=True, text=True
        )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == PRESSED + "[]\n"


@pytest.mark.parametrize("command", ["stop", "reset", "arm", "done", "safety"])
def test_nobody_there(command: str) -> None:
    code, said, complained = rosac(command, "--timeout-s", "0.1", "--namespace", "/second/", "--discovery", "subnet")
    assert (code, said) == (1, "")
    who = "task" if command == "done" else "bridge"
    assert complained.startswith(f"rosac {command}: no {who} answers within 0.1 s")
    for part in ("namespace '/second'", f"ROS_DOMAIN_ID {os.environ['ROS_DOMAIN_ID']}", "discovery subnet"):
        assert part in complained
    assert ("use the switch in its supply" in complained) == (command == "stop")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["arm", "--namespace", "a b"], "--namespace a b"),
        (["arm", "--timeout-s", "0"], "--timeout-s: 0: must be a finite number above 0"),
        (["arm", "--timeout-s", "x"], "--timeout-s: x: must be a finite number above 0"),
        (["arm", "--discovery", "moon"], "invalid choice"),
        (["stop", "now"], "unrecognized arguments: now"),
    ],
)
def test_nonsense_is_refused(arguments: list[str], expected: str) -> None:
    code, _, complained = rosac(*arguments)
    assert code == 2
    assert expected in complained
    assert "Traceback" not in complained


def test_each_robot_is_stopped_in_its_own_namespace() -> None:
    second = NodeProcess("robot_bridge", "bridge", {**PARAMETERS, "auto_arm": True}, ("-r", "__ns:=/second"))
    with bridge(), second, ros_node("commander") as node:
        first = Commander(node)
        first.until(lambda: first.safety and first.safety[-1].state == SafetyState.ARMED, "the first robot is armed")
        code, said, _ = rosac("stop", "--namespace", "second", *PATIENT)
        assert (code, said.count("--namespace second`")) == (0, 3)
        count = len(first.diagnostics)
        first.until(lambda: len(first.diagnostics) > count + 1, "the first robot reports")
        assert first.safety[-1].state == SafetyState.ARMED

        def named() -> bool:
            code, _, complained = rosac("stop", "--namespace", "third", "--timeout-s", "1")
            assert code == 1
            return "There are robots in other namespaces: /, /second." in complained

        first.until(named, "both are named to somebody who looks for a third")
        assert first.safety[-1].state == SafetyState.ARMED


def test_a_stop_that_nobody_confirms_is_a_failure() -> None:
    pressed: list[bool] = []
    with ros_node() as node:
        node.create_subscription(Bool, "safety/stop", lambda message: pressed.append(message.data), qos.EVENTS)
        code, said, complained = rosac("stop", "--timeout-s", "3")
        assert (code, said) == (1, "")
        spin_until(node, lambda: len(pressed) > 1, what="it was pressed more than once")
        assert all(pressed)
    assert "did not confirm it within 3 s" in complained or "no bridge answers" in complained
    assert "use the switch in its supply" in complained


def test_what_the_task_asks_for_is_shown_and_answered() -> None:
    with bridge(), ros_node("task") as node:
        requests = node.create_publisher(String, "operator/request", qos.LATCHED)
        requests.publish(String(data=""))

        def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = asked, "the reset begins" if asked else "nothing is asked"
            return response

        asked = False
        node.create_service(Trigger, "operator/done", answer)
        with spun(node):
            assert rosac("done", *PATIENT) == (
                1,
                "",
                "rosac done: refused: nothing is asked\n`rosac safety` shows what to do next\n",
            )
            asked = True
            requests.publish(String(data="Free the robot by hand"))

            def shown() -> bool:
                return rosac("safety", *PATIENT)[1] == (
                    "armed\nthe task asks: Free the robot by hand\nnext: do what the task asks for, then `rosac done`\n"
                )

            assert any(shown() for _ in range(10))
            assert rosac("done", *PATIENT) == (0, "the reset begins\n", "")


@pytest.mark.parametrize("command", ["reset", "arm", "done"])
def test_nothing_is_asked_of_a_node_that_may_not_know_where_to_answer(command: str) -> None:
    """Fast DDS drops the answer then, and the robot would be armed without the operator knowing."""
    service, topic, message = {
        "reset": ("safety/reset", "safety/state", SafetyState()),
        "arm": ("safety/arm", "safety/state", SafetyState()),
        "done": ("operator/done", "operator/request", String()),
    }[command]
    calls: list[bool] = []

    def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        calls.append(True)
        response.success, response.message = True, "as you like"
        return response

    with ros_node("node") as node:
        latched = node.create_publisher(type(message), topic, qos.LATCHED)
        node.create_service(Trigger, service, answer)
        with spun(node):
            code, said, complained = rosac(command, "--timeout-s", "4")
            assert (code, said, calls) == (1, "", []), complained
            latched.publish(message)
            assert rosac(command, *PATIENT) == (0, "as you like\n", "")
    assert len(calls) == 1


def test_watch_shows_changes_and_the_end_of_the_bridge() -> None:
    with bridge(auto_arm=False) as process, ros_node("commander") as node:
        commander = Commander(node)
        commander.connect()
        watch = subprocess.Popen(
            [*ROSAC, "safety", "--watch", *PATIENT],
            env=ros_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watch.stdout.readline() == "disarmed\n"
        assert watch.stdout.readline() == "next: hands off the robot, then `rosac arm`\n"
        commander.call("safety/arm")
        assert watch.stdout.readline() == "armed\n"
        commander.press(True)
        assert "".join(watch.stdout.readline() for _ in range(3)) == PRESSED
        process.signal(signal.SIGKILL)
        said, complained = watch.communicate(timeout=PATIENCE_S)
        assert (watch.returncode, said) == (1, "")
        assert "the bridge has been silent for 5 s" in complained


def test_ctrl_c_ends_a_watch() -> None:
    with bridge(auto_arm=False):
        command = [*ROSAC, "safety", "--watch", *PATIENT]
        watch = subprocess.Popen(command, env=ros_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert watch.stdout.readline() == b"disarmed\n"
        assert b"rosac arm" in watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        assert watch.communicate(timeout=PATIENCE_S) == (b"", b"")
        assert watch.returncode == 130
