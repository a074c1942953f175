import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from valve_task.tasks import equations
from valve_task.tasks.settings import PoseRewardSettings, TurnRewardSettings

NOMINAL = np.array([0.0, -math.pi / 3, math.pi / 3] * 3)
AT_REST = np.zeros(9)


@given(st.floats(-100.0, 100.0))
def test_wrapping_keeps_the_direction(angle):
    wrapped = equations.wrap_angle(angle)
    assert -math.pi <= wrapped <= math.pi
    assert math.cos(wrapped) == pytest.approx(math.cos(angle), abs=1e-9)
    assert math.sin(wrapped) == pytest.approx(math.sin(angle), abs=1e-9)


@pytest.mark.parametrize(
    ("angle", "wrapped"),
    [(0.0, 0.0), (3.0, 3.0), (4.0, 4.0 - 2 * math.pi), (-4.0, 2 * math.pi - 4.0), (7.0, 7.0 - 2 * math.pi)],
)
def test_wrapping_by_hand(angle, wrapped):
    assert equations.wrap_angle(angle) == pytest.approx(wrapped)


def turn_terms(error, position=NOMINAL, velocity=AT_REST):
    terms = equations.turn_reward(error, position, velocity, NOMINAL, TurnRewardSettings())
    return dict(zip(equations.TURN_TERMS, terms, strict=True))


def test_turn_reward_by_hand():
    position = NOMINAL.copy()
    position[2] += 0.3
    position[4] -= 0.4
    velocity = np.array([0.6, -0.8, 0.49, -0.49, 0, 0, 0, 0, 0])
    # distance 5 x 0.2; pose norm(0.3, 0.4) = 0.5; velocity norm(0.6, 0.8) = 1, slower joints cost nothing; 0.2 < 0.25
    assert turn_terms(-0.2, position, velocity) == pytest.approx(
        {"distance": -1.0, "pose": -0.5, "velocity": -1.0, "near_bonus": 10.0, "close_bonus": 0.0}
    )


@pytest.mark.parametrize(
    ("error", "near", "close"),
    [(0.25, 0, 0), (0.2499, 10, 0), (0.10, 10, 0), (-0.0999, 10, 50), (0.0, 10, 50), (3.1, 0, 0)],
)
def test_turn_bonuses_are_strict(error, near, close):
    terms = turn_terms(error)
    assert (terms["near_bonus"], terms["close_bonus"]) == (near, close)


def test_velocity_at_the_threshold_costs():
    velocity = np.array([0.5, 0, 0, 0, 0, 0, 0, 0, 0])
    assert turn_terms(0.0, velocity=velocity)["velocity"] == pytest.approx(-0.5)


def test_pose_reward_by_hand():
    error = np.array([0.3, 0, 0, -0.4, 0, 0, 0, 0, 0])
    velocity = np.array([3.0, -4.0, math.pi, 0, 0, 0, 0, 0, 0])
    terms = equations.pose_reward(error, velocity, PoseRewardSettings())
    # norm(0.3, 0.4) = 0.5; 3.0 < pi costs nothing, 4 and pi do
    assert terms == pytest.approx((-0.5, -0.1 * math.hypot(4.0, math.pi)))


def test_weights_are_settings():
    weights = TurnRewardSettings(distance=-2.0, near_bonus=1.0, near_rad=0.5, close_bonus=0.0)
    terms = equations.turn_reward(0.4, NOMINAL, np.zeros(9), NOMINAL, weights)
    assert terms == pytest.approx((-0.8, 0.0, 0.0, 1.0, 0.0))


def test_safety_counts_by_hand():
    low, high = np.full(9, -1.0), np.full(9, 1.0)
    position = np.array([0.92, 0.90, -0.95, -1.05, 1.2, 0, 0, 0, 0])  # within 0.087 rad of a limit: 1st, 3rd and 4th
    velocity = np.array([1.0, 1.01, -1.5, 0, 0, 0, 0, 0, 0])
    assert equations.safety_counts(position, velocity, low, high, math.radians(5), 1.0) == (3, 2)


def test_moving_pose_by_hand():
    a, b = np.array([0.0, 1.0, -1.0]), np.array([0.2, -1.0, -1.0])
    frequency = np.array([2.0, 0.5, 1.0])
    amplitude = equations.moving_pose_amplitude(a, b, frequency)
    # half ways 0.1, 1, 0; the speed limit pi/6 rad/s allows pi/12, pi/3, pi/6
    assert amplitude == pytest.approx([0.1, 1.0, 0.0])
    assert equations.moving_pose_amplitude(a, b, 4 * frequency) == pytest.approx([math.pi / 48, math.pi / 12, 0.0])
    pose = equations.moving_pose(np.array([0.1, 0.0, -1.0]), amplitude, frequency, 0.25)
    assert pose == pytest.approx([0.1 + 0.1 * math.sin(0.5), math.sin(0.125), -1.0])
