"""The safety gate of a robot with five-bar legs: no command leads out of their workspace."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from robot_bridge.causes import Cause
from robot_bridge.gate import SafetyGate
from robot_bridge.gate_types import Command, GateState, Verdict
from robot_bridge.leg_kinematics import IDENTIFIED_LEG, motor_angles
from robot_bridge.robot import load_robot
from rosac_common.settings import SettingsError

ROBOT = load_robot(Path(__file__).parents[3] / "config" / "robots" / "minitaur.yaml")
STAND = motor_angles(np.zeros(4), np.full(4, 2.0))
STRETCHED = motor_angles(np.zeros(4), np.array([2.0, 2.0, 3.1, 2.0]))
SWUNG = motor_angles(np.array([0.0, 1.65, 0.0, 0.0]), np.full(4, 2.0))


@pytest.fixture
def armed():
    gate = SafetyGate(ROBOT, command_timeout_s=0.2, command_age_limit_s=0.15)
    assert gate.arm(STAND, now_s=0.0)[0]
    return gate


def send(gate, goals, measured=STAND):
    return gate.check(Command(ROBOT.joint_names, list(goals)), measured, 0.02, 0.0)


def test_the_robot_file_holds_the_lengths_of_the_model():
    assert ROBOT.legs == IDENTIFIED_LEG


def test_inside_it_passes(armed):
    goals = motor_angles(np.array([0.3, -0.3, 0.3, -0.3]), np.array([1.7, 2.3, 2.0, 2.0]))
    assert send(armed, goals).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("goals", "detail"),
    [(STRETCHED, "leg front_right: extension 3.100 rad"), (SWUNG, "leg back_left: swing 1.650 rad is outside")],
)
def test_a_command_that_leads_out_of_it_moves_nothing(armed, goals, detail):
    for _ in range(ROBOT.safety.bad_command_limit):
        result = send(armed, goals)
        assert result.verdict is Verdict.REFUSED
        assert result.detail.startswith(detail)
        np.testing.assert_array_equal(result.goals_rad, STAND)
    assert armed.state is GateState.HOLD
    assert armed.is_active(Cause.BAD_COMMAND)


def test_a_leg_that_is_outside_may_come_back(armed):
    measured = motor_angles(np.zeros(4), np.array([2.0, 2.0, 3.1, 2.0]))
    assert send(armed, STAND, measured).verdict is not Verdict.REFUSED


@pytest.mark.parametrize(
    ("goal", "detail"),
    [
        ([2.0, 2.0, 3.2, 2.0], "leg front_right: extension 3.200 rad"),  # further out
        ([2.0, 2.0, 3.1, 3.05], "leg back_right: extension 3.050 rad"),  # another one follows
    ],
)
def test_while_a_leg_is_outside_it_goes_no_further_and_no_other_follows(armed, goal, detail):
    measured = motor_angles(np.zeros(4), np.array([2.0, 2.0, 3.1, 2.0]))
    result = send(armed, motor_angles(np.zeros(4), np.array(goal)), measured)
    assert result.verdict is Verdict.REFUSED
    assert result.detail.startswith(detail)


@pytest.mark.parametrize("lengths", [[0.1, 0.2, 0.2], [0.1, 0.2, 0.2, 0.2, 0.2]])
def test_a_robot_file_with_other_lengths_is_refused(lengths):
    with pytest.raises(SettingsError, match="robot.five_bar_m holds . lengths for 8 joints: give 4 lengths"):
        dataclasses.replace(ROBOT, five_bar_m=lengths)


def test_clamping_leads_no_leg_out_of_its_workspace(armed):
    """Each joint is clamped alone; goals that were in order must not become others that are not."""
    rng, low, high = np.random.default_rng(0), *ROBOT.legs.extension_range_rad
    limited = 0
    for _ in range(20_000):
        swing, extension = rng.uniform(-1.7, 1.7, (2, 4)), rng.uniform(low - 0.2, high + 0.2, (2, 4))
        measured, goals = (motor_angles(swing[i], extension[i]) for i in range(2))
        result = send(armed, goals, measured)
        if result.verdict is Verdict.REFUSED:
            continue
        limited += result.verdict is Verdict.LIMITED
        assert ROBOT.legs.problem(result.goals_rad, measured) == ""
    assert limited > 1000
