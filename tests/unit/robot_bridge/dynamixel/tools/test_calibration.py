"""Offsets from a known pose."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from robot_bridge.backend import BackendError
from robot_bridge.dynamixel.models import MODELS
from robot_bridge.dynamixel.tools import calibration
from robot_bridge.dynamixel.tools.findings import RefusedError
from robot_bridge.dynamixel.units import Units
from robot_bridge.robot import load_robot

from .conftest import LEGS

REGISTERS = MODELS["XM430-W210"].registers
ROBOT = load_robot(LEGS)


@given(st.lists(st.integers(1000, 3000), min_size=8, max_size=8), st.floats(1.0, 2.0))
def test_the_robot_stands_where_it_was_said_to_stand_to_the_tick(ticks, pose_rad):
    pose = dict.fromkeys(ROBOT.all_joint_names, pose_rad)
    found = calibration.offsets(ROBOT, dict(zip(ROBOT.all_joint_ids, ticks, strict=True)), pose)
    robot = dataclasses.replace(ROBOT, position_offset_rad=[joint.new_rad for joint in found])
    assert Units(robot).ticks([pose_rad] * 8).tolist() == ticks
    for joint, old_rad in zip(found, ROBOT.position_offset_rad, strict=True):
        assert joint.change_ticks == round((joint.new_rad - old_rad) * 4096 / math.tau)


def test_only_joints_that_have_moved_change():
    ticks = {1: 2048, 2: 2148}  # a level link is the centre of the servo: nothing to change for joint 1
    found = calibration.offsets(ROBOT, ticks, calibration.parse_pose([f"{math.pi / 2}"], ROBOT))
    assert [joint.change_ticks for joint in found] == [0, 100]
    robot = calibration.calibrated(ROBOT, found)
    assert robot.position_offset_rad == [ROBOT.position_offset_rad[0], found[1].new_rad, *ROBOT.position_offset_rad[2:]]


@pytest.mark.parametrize("tick", [100, 850])
def test_a_pose_that_puts_the_range_beyond_the_servos_turn_or_close_to_its_end_is_refused(tick):
    found = calibration.offsets(ROBOT, {2: tick}, calibration.parse_pose(["1.57"], ROBOT))
    with pytest.raises(RefusedError, match="front_left_2.*limit 163 .. 3932.*turn the horn"):
        calibration.calibrated(ROBOT, found)


def test_poses():
    pose = calibration.parse_pose(["1.5", "front_left_1=-0.5"], ROBOT)
    assert (pose["front_left_1"], pose["back_left_1"]) == (-0.5, 1.5)
    for word, message in (("knee=1", "no joint 'knee'"), ("front_left_1=x", "is no pose"), ("", "is no pose")):
        with pytest.raises(RefusedError, match=message):
            calibration.parse_pose([word], ROBOT)
    with pytest.raises(RefusedError, match="no joint 'knee'"):
        calibration.servos_to_calibrate(ROBOT, ["knee"])


def test_on_the_bus(emulated, legs, commands):
    emulator, bus = emulated
    servos = calibration.servos_to_calibrate(legs, ["front_left_2", "back_right_1"])
    assert [servo.identifier for servo in servos] == [2, 7]
    bus.write(2, REGISTERS["torque_enable"], 1)
    calibration.release(bus, servos)
    assert bus.read(2, REGISTERS["torque_enable"]) == 0
    calibration.require_plain_counting(bus, servos, commands)
    expected = {i: bus.read(i, REGISTERS["present_position"]) for i in (2, 7)}
    assert calibration.read_still(bus, servos) == expected
    bus.write(7, REGISTERS["homing_offset"], 500)
    with pytest.raises(RefusedError, match=r"servo 7 \(back_right_1\): homing_offset is 500.*check --port P --fix"):
        calibration.require_plain_counting(bus, servos, commands)


def test_a_joint_that_moves_is_no_measure(emulated, legs, monkeypatch):
    _, bus = emulated
    places = iter(range(2000, 3000, 3))
    monkeypatch.setattr(bus, "read", lambda identifier, register: next(places))
    with pytest.raises(BackendError, match=r"servo 2 \(front_left_2\) moves: 2000 to 2012 ticks in 5 looks"):
        calibration.read_still(bus, calibration.servos_to_calibrate(legs, ["front_left_2"]))
