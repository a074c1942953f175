"""Buses of emulated servos: inside the test for rules, in a process of their own for dynamixel-sdk."""

import pytest
from helpers.emulated_bus import Host, SdkHost, make_robot
from robot_bridge.emulator import EmulatorProcess


@pytest.fixture
def host():
    return Host(make_robot())


@pytest.fixture(scope="module")
def emulator():
    """Three free joints in real time; shared, so every test leaves it in order."""
    with EmulatorProcess(make_robot()) as process:
        yield process


@pytest.fixture
def sdk(emulator):
    emulator.clear_faults()
    host = SdkHost(emulator)
    yield host
    host.write1ByteTxRx(1, 98, 0)
    for identifier in (1, 2, 3):
        host.write1ByteTxRx(identifier, 64, 0)
    host.close()


@pytest.fixture
def lockstep_hand(robot):
    with EmulatorProcess(robot, lockstep=True) as process:
        yield process
