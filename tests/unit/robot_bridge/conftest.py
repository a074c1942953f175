"""The D'Claw's own robot file, for all tests of the bridge."""

from pathlib import Path

import pytest
from robot_bridge.robot import load_robot


@pytest.fixture(scope="session")
def robot_file():
    return Path(__file__).parents[3] / "config" / "robots" / "dclaw.yaml"


@pytest.fixture(scope="session")
def robot(robot_file):
    return load_robot(robot_file)
