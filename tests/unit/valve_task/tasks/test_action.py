import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robot_bridge.robot import load_robot
from rosac_common.settings import SettingsError
from valve_task.tasks import ActionError, TaskSettings, make_task

from .. import conftest

ROBOT = load_robot(conftest.ROBOT_FILE)
PERIOD_S = 0.1
MAP = make_task(TaskSettings(), ROBOT).actions
HALF = np.array([0.48, math.pi / 3, math.pi / 2] * 3)
MAX_MOVE = 2 * math.pi / 3 * PERIOD_S

vectors = st.lists(st.floats(-1.0, 1.0, width=32), min_size=9, max_size=9).map(lambda x: np.array(x, dtype=np.float32))
poses = st.lists(st.floats(-2.0, 2.0), min_size=9, max_size=9).map(np.array)


def test_goals_by_hand():
    action = np.array([0.1, 0.1, 0.1, 0, 0, 0, -0.1, -0.1, -0.1], dtype=np.float32)
    goals = MAP.goals(action, np.zeros(9))
    expected = [0.048, math.pi / 30, math.pi / 20, 0, 0, 0, -0.048, -math.pi / 30, -math.pi / 20]
    assert goals == pytest.approx(expected, abs=1e-7)


def test_speed_clip_by_hand():
    # 2 pi / 3 rad/s over 0.1 s is 0.2094 rad from where the joint is
    position = np.array([0.2, 0.5, -0.5, 0, 0, 0, 0, 0, 0])
    goals = MAP.goals(np.array([1, 1, 1, -1, -1, -1, 0, 0, 0], dtype=np.float32), position)
    expected = [0.2 + MAX_MOVE, 0.5 + MAX_MOVE, -0.5 + MAX_MOVE, -MAX_MOVE, -MAX_MOVE, -MAX_MOVE, 0, 0, 0]
    assert goals == pytest.approx(expected)
    assert pytest.approx(0.2094, abs=1e-4) == MAX_MOVE


def test_range_clip_is_the_narrower_of_action_and_robot_range():
    # pi/2 is beyond the gate's 1.57
    position = np.array([0.48, 1.04, 1.56] * 3)
    assert MAP.goals(np.ones(9, dtype=np.float32), position) == pytest.approx([0.48, math.pi / 3, 1.57] * 3)


@given(vectors, poses)
def test_goals_obey_range_and_speed(action, position):
    goals = MAP.goals(action, position)
    least, most = np.array(ROBOT.position_min_rad), np.array(ROBOT.position_max_rad)
    assert ((goals >= least) & (goals <= most)).all()
    outside = np.maximum(np.maximum(least - position, position - most), 0.0)
    assert (np.abs(goals - position) <= np.maximum(MAX_MOVE, outside) + 1e-12).all()
    inside = (position >= MAP.low_rad) & (position <= MAP.high_rad)
    assert (goals[inside] >= MAP.low_rad[inside]).all()
    assert (goals[inside] <= MAP.high_rad[inside]).all()


@given(vectors)
def test_inverse_of_unclipped_goals_is_the_action(action):
    action = action * np.float32(0.99)  # bottom joints saturate just below 1
    assert MAP.action(action * HALF) == pytest.approx(action, abs=1e-6)


@given(poses)
def test_inverse_lies_in_the_box(goals):
    action = MAP.action(goals)
    assert action.dtype == np.float32
    assert (np.abs(action) <= 1).all()


@given(vectors, poses)
@settings(max_examples=50)
def test_executed_action_is_the_requested_one_when_its_goals_were_executed(action, position):
    goals = MAP.goals(action, position)
    assert MAP.executed_action(action, goals, goals + 9e-6) is action
    elsewhere = goals.copy()
    elsewhere[3] += 1e-3
    executed = MAP.executed_action(action, goals, elsewhere)
    assert executed == pytest.approx(np.clip(elsewhere / HALF, -1, 1), abs=1e-6)


@given(vectors, poses)
def test_an_action_asks_for_its_own_goals_and_no_others(action, position):
    goals = MAP.goals(action, position)
    assert MAP.asks_for(action, position, goals + 9e-6)
    assert not MAP.asks_for(action, position, goals + np.eye(9)[3] * 2e-5)


@given(vectors, poses)
def test_goals_within_reach_are_asked_for_by_their_inverse_image(action, position):
    position = np.minimum(np.maximum(position, MAP.low_rad), MAP.high_rad)
    goals = MAP.goals(action, position)
    assert MAP.asks_for(MAP.action(goals), position, goals)
    beyond = position + np.where(position > 0, -1.1, 1.1) * MAX_MOVE
    assert not MAP.asks_for(MAP.action(beyond), position, beyond)


@pytest.mark.parametrize("bad", [np.zeros(8), np.zeros(10), np.zeros((1, 9)), [math.nan] * 9, [math.inf] + [0.0] * 8])
def test_bad_actions_are_refused(bad):
    with pytest.raises(ActionError, match="shape|not finite"):
        MAP.checked(bad)


def test_actions_outside_the_box_are_clipped_and_told():
    action, outside = MAP.checked([1.5, -2.0, 0.5, 0, 0, 0, 0, 0, 0])
    assert outside
    assert action.tolist() == [1.0, -1.0, 0.5, 0, 0, 0, 0, 0, 0]
    rounded, outside = MAP.checked([1.00001, 0, 0, 0, 0, 0, 0, 0, 0])
    assert not outside
    assert rounded[0] == 1.0


def test_checked_is_a_copy():
    values = np.zeros(9, dtype=np.float32)
    action, _ = MAP.checked(values)
    values[0] = 1.0
    assert action[0] == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_half_range_rad": [0.1] * 3}, "has 3 values"),
        ({"action_half_range_rad": [0.0] * 9}, "above 0"),
        ({"action_centre_rad": [3.0] * 9, "action_half_range_rad": [0.1] * 9}, "finger1_top.*outside"),
        ({"action_half_range_rad": [float("inf")] * 9}, "above 0 and finite"),
        ({"reset_pose_rad": [0.0]}, "reset_pose_rad has 1 values"),
        (
            {"reset_pose_rad": [0.0] * 8 + [-5.0]},
            "outside the robot's range.*finger3_bottom -5, range .* to 1.57",
        ),
    ],
)
def test_settings_that_do_not_fit_the_robot(changes, message):
    with pytest.raises(SettingsError, match=message):
        make_task(TaskSettings(**changes), ROBOT)
