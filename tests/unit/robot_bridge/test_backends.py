"""Which robot the settings of the bridge make."""

import dataclasses
import time

import pytest
from robot_bridge.backend import SimulatedBackend
from robot_bridge.backends import make_backend
from robot_bridge.dynamixel.emulated import EmulatedRobot, LockstepEmulatedRobot
from robot_bridge.dynamixel.robot import DynamixelRobot
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.servos import ServoSettings
from robot_bridge.settings import BridgeSettings
from robot_bridge.simulation.mujoco_robot import MujocoRobot
from robot_bridge.simulation.settings import SimulationSettings
from rosac_common.settings import SettingsError


def made(robot, port="", **changes):
    blocks = (robot, SimulationSettings(), BusSettings(port=port))
    return make_backend(BridgeSettings(*blocks, **changes), time.monotonic, epoch_ns=7)


def test_each_backend_is_made(robot):
    assert isinstance(made(robot), MujocoRobot)
    plain = made(robot, "/dev/ttyUSB0", backend="dynamixel", time_base="realtime")
    assert type(plain) is DynamixelRobot
    assert not isinstance(plain, SimulatedBackend)


@pytest.mark.parametrize(("time_base", "kind"), [("realtime", EmulatedRobot), ("lockstep", LockstepEmulatedRobot)])
def test_an_emulated_robot_brings_its_emulator(robot, time_base, kind):
    robot = dataclasses.replace(robot, simulation_model="")
    backend = made(robot, "emulator", backend="dynamixel", time_base=time_base)
    try:
        assert type(backend) is kind
        assert isinstance(backend, SimulatedBackend) == (time_base == "lockstep")
    finally:
        backend.emulator.close()


def test_a_robot_file_without_servos_cannot_be_driven(robot):
    bare = dataclasses.replace(robot, servos=ServoSettings())
    with pytest.raises(SettingsError, match="robot 'dclaw' has no block robot.servos"):
        made(bare, "/dev/ttyUSB0", backend="dynamixel", time_base="realtime")
