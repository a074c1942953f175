"""Ctrl-C while a node is still being imported or made: it ends, in silence."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.commander import PARAMETERS
from helpers.learning import learner_settings
from helpers.patience import PATIENCE_S, until
from helpers.ros import NodeProcess
from helpers.surroundings import task
from rosac_common.environment import ros_environment
from rosac_common.settings import to_mapping

pytestmark = pytest.mark.ros


def node_process(name, directory):
    if name == "bridge":
        return NodeProcess("robot_bridge", "bridge", PARAMETERS)
    if name == "task":
        return task()
    if name == "actor":
        return NodeProcess("sac_learner", "actor", {"observation_size": 21, "action_size": 9})
    return NodeProcess("sac_learner", "learner", to_mapping(learner_settings(directory)))


# Of NumPy, of rclpy, and of the middleware, which comes when the node is made.
@pytest.mark.parametrize("library", ["multiarray", "rclpy", "rmw"])
@pytest.mark.parametrize("late_s", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("name", ["bridge", "task", "actor", "learner"])
def test_an_interrupt_while_it_starts_ends_a_node_quietly(name, library, late_s, tmp_path):
    with node_process(name, tmp_path) as node:
        maps = Path(f"/proc/{node.process.pid}/maps")
        until(lambda: node.process.poll() is not None or library in maps.read_text(), f"{library} is loaded")
        time.sleep(late_s)
        node.signal(signal.SIGINT)
        assert node.wait() == 0, node.output()
        assert "Traceback" not in node.output()


def test_an_interrupt_before_the_context_is_there_is_not_lost():
    program = (
        "import os, signal, time, rclpy\n"
        "from rosac_common.node_main import run_node\n"
        "rclpy.init = lambda args: (os.kill(os.getpid(), signal.SIGINT), time.sleep(1.0))\n"
        "run_node(lambda: print('goes on'))"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, env=ros_environment(), capture_output=True, text=True, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
