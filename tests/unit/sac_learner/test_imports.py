"""PyTorch takes seconds and hundreds of MB to load: only what computes updates may load it."""

import subprocess
import sys

import pytest
from rosac_common.environment import ros_environment

MODULES = (
    "robot_bridge.bridge_node",
    "valve_task.task_node",
    "sac_learner.actor_node",
    "sac_learner.commands.train",
    "sac_learner.gym.command",
)


@pytest.mark.parametrize("module", MODULES)
def test_it_loads_no_pytorch(module: str) -> None:
    program = f"import sys, {module}; print('torch' in sys.modules)"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=ros_environment(), capture_output=True, text=True, check=False)
    assert result.stdout == "False\n", result.stderr
