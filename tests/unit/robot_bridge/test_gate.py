"""The safety gate: its states, and what it does to commands."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from robot_bridge.causes import Cause
from robot_bridge.gate import SafetyGate
from robot_bridge.gate_types import Command, GateState, Verdict

PERIOD_S = 0.1
MOVE = 2 * math.pi / 3 * PERIOD_S
START = np.array([0.0, -1.0, 1.0] * 3 + [0.5])


def make_gate(robot, **limits):
    robot = dataclasses.replace(robot, safety=dataclasses.replace(robot.safety, **limits))
    return SafetyGate(robot, command_timeout_s=0.2, command_age_limit_s=0.15)


@pytest.fixture
def gate(robot):
    return make_gate(robot)


@pytest.fixture
def armed(gate):
    assert gate.arm(START, now_s=0.0)[0]
    return gate


def send(gate, robot, goals=None, now_s=0.0, measured=START, **fields):
    goals = measured[:9] if goals is None else goals
    return gate.check(Command(robot.joint_names, list(goals), **fields), measured, PERIOD_S, now_s)


class TestStates:
    def test_starts_disarmed_without_torque_and_refuses(self, gate, robot):
        assert gate.state is GateState.DISARMED
        result = send(gate, robot)
        assert result.verdict is Verdict.REFUSED
        assert "safety/arm" in result.detail
        assert not result.torque_on.any()

    def test_arming_holds_the_present_position_and_leaves_the_auxiliary_joint_free(self, armed):
        assert armed.state is GateState.ARMED
        np.testing.assert_array_equal(armed.goals_rad, START)
        assert armed.torque_on.tolist() == [True] * 9 + [False]

    def test_arming_twice_changes_nothing(self, armed):
        revision = armed.revision
        assert armed.arm(START + 1, now_s=1.0) == (True, "already armed")
        np.testing.assert_array_equal(armed.goals_rad, START)
        assert armed.revision == revision

    def test_a_robot_whose_position_is_unknown_is_not_armed(self, gate):
        armed, message = gate.arm(np.full(10, np.nan), now_s=0.0)
        assert not armed
        assert "not finite" in message
        assert gate.state is GateState.DISARMED

    @pytest.mark.parametrize("before", ["disarmed", "armed", "hold"])
    def test_stop_latches_from_every_state(self, gate, before):
        if before != "disarmed":
            gate.arm(START, now_s=0.0)
        if before == "hold":
            gate.tick(1.0)
            assert gate.state is GateState.HOLD
        gate.stop(Cause.OPERATOR_STOP, True, "pressed")
        assert gate.state is GateState.STOPPED
        assert not gate.torque_on.any()
        gate.stop(Cause.OPERATOR_STOP, False, "")
        gate.tick(2.0)
        assert gate.state is GateState.STOPPED
        assert [(cause.cause, cause.active) for cause in gate.report().causes] == [(Cause.OPERATOR_STOP, False)]

    def test_stop_refuses_commands_and_arming(self, armed, robot):
        armed.stop(Cause.OPERATOR_STOP, True, "pressed")
        result = send(armed, robot)
        assert result.verdict is Verdict.REFUSED
        assert not result.torque_on.any()
        ok, message = armed.arm(START, now_s=0.0)
        assert not ok
        assert "operator_stop" in message
        assert "safety/reset" in message

    def test_reset_needs_every_cause_cleared_and_leaves_it_disarmed(self, armed, robot):
        armed.stop(Cause.OPERATOR_STOP, True, "pressed")
        armed.stop(Cause.READ_FAILED, True, "no answer of id 11")
        armed.stop(Cause.OPERATOR_STOP, False, "")
        ok, message = armed.reset()
        assert not ok
        assert "read_failed (no answer of id 11)" in message
        assert armed.state is GateState.STOPPED
        armed.stop(Cause.READ_FAILED, False, "")
        assert armed.reset()[0]
        assert armed.state is GateState.DISARMED
        assert not armed.torque_on.any()
        assert send(armed, robot).verdict is Verdict.REFUSED
        assert armed.arm(START, now_s=0.0)[0]
        assert send(armed, robot).verdict is Verdict.ACCEPTED

    def test_a_cause_that_comes_back_is_active_again(self, armed):
        armed.stop(Cause.OPERATOR_STOP, True, "pressed")
        armed.stop(Cause.OPERATOR_STOP, False, "")
        armed.stop(Cause.OPERATOR_STOP, True, "pressed")
        assert not armed.reset()[0]

    @pytest.mark.parametrize("state", ["disarmed", "armed"])
    def test_reset_without_a_stop_is_refused_and_changes_nothing(self, gate, state):
        if state == "armed":
            gate.arm(START, now_s=0.0)
        ok, message = gate.reset()
        assert not ok
        assert state in message
        assert gate.state is GateState[state.upper()]

    def test_disarm_takes_torque_off_but_keeps_a_stop_latched(self, armed):
        armed.disarm()
        assert armed.state is GateState.DISARMED
        assert not armed.torque_on.any()
        armed.stop(Cause.OPERATOR_STOP, True, "pressed")
        armed.disarm()
        assert armed.state is GateState.STOPPED

    def test_clearing_a_cause_that_never_was_does_nothing(self, armed):
        revision = armed.revision
        armed.stop(Cause.OPERATOR_STOP, False, "")
        assert (armed.state, armed.revision) == (GateState.ARMED, revision)


class TestHold:
    def test_commands_that_cease_lead_to_hold_after_the_limit(self, armed, robot):
        send(armed, robot, now_s=1.0)
        armed.tick(1.2)
        assert armed.state is GateState.ARMED
        armed.tick(1.21)
        assert armed.state is GateState.HOLD
        (cause,) = armed.report().causes
        assert cause.cause is Cause.COMMAND_TIMEOUT
        assert cause.active
        assert "0.210 s, limit 0.2 s" in cause.detail

    def test_hold_keeps_goals_and_torque_and_ends_with_the_next_good_command(self, armed, robot):
        goals = START[:9] + 0.05
        send(armed, robot, goals)
        armed.tick(1.0)
        np.testing.assert_array_equal(armed.goals_rad[:9], goals)
        assert armed.torque_on[:9].all()
        assert send(armed, robot, [math.nan] * 9, now_s=1.1).verdict is Verdict.REFUSED
        assert armed.state is GateState.HOLD
        assert send(armed, robot, now_s=1.2).verdict is Verdict.ACCEPTED
        assert armed.state is GateState.ARMED
        assert armed.report().causes == ()

    def test_bad_commands_in_a_row_lead_to_hold(self, robot):
        gate = make_gate(robot, bad_command_limit=3)
        gate.arm(START, now_s=0.0)
        bad = [math.inf] * 9
        for _ in range(2):
            send(gate, robot, bad)
        send(gate, robot)
        for _ in range(2):
            send(gate, robot, bad)
        assert gate.state is GateState.ARMED
        send(gate, robot, bad)
        assert gate.state is GateState.HOLD
        (cause,) = gate.report().causes
        assert cause.cause is Cause.BAD_COMMAND
        assert "3 commands in a row refused" in cause.detail
        assert "not finite" in cause.detail

    def test_stale_commands_are_refused_and_named(self, armed, robot):
        assert send(armed, robot, age_s=0.15).verdict is Verdict.ACCEPTED
        for _ in range(3):
            result = send(armed, robot, age_s=0.16)
            assert result.verdict is Verdict.REFUSED
            assert "0.160 s old, limit 0.15 s" in result.detail
        assert armed.report().causes[0].cause is Cause.STALE_COMMAND


class TestRefusal:
    @pytest.mark.parametrize(
        ("names", "position", "effort", "message"),
        [
            (
                lambda names: [*names[:8], "toe"],
                [0.0] * 9,
                [],
                "unknown joints ['toe'], missing joints ['finger3_bottom']",
            ),
            (lambda names: names[:8], [0.0] * 8, [], "missing joints ['finger3_bottom']"),
            (lambda names: [*names, "finger1_top"], [0.0] * 10, [], "unknown joints []"),
            (lambda names: [], [], [], "missing joints"),
            (lambda names: names, [0.0] * 8, [], "8 positions for 9 names"),
            (lambda names: names, [0.0] * 8 + [math.nan], [], "not finite"),
            (lambda names: names, [0.0] * 8 + [-math.inf], [], "not finite"),
            (lambda names: names, [0.0] * 9, [1.0] * 8, "8 efforts for 9 names"),
            (lambda names: names, [0.0] * 9, [0.5] * 9, "neither 1.0"),
            (lambda names: names, [0.0] * 9, [math.nan] * 9, "neither 1.0"),
        ],
    )
    def test_malformed_commands_are_refused_counted_and_keep_the_goals_before(
        self, armed, robot, names, position, effort, message
    ):
        goals = START[:9] + 0.1
        send(armed, robot, goals)
        result = armed.check(Command(names(robot.joint_names), position, effort), START, PERIOD_S, 0.0)
        assert result.verdict is Verdict.REFUSED
        assert message in result.detail
        assert message in armed.last_detail
        np.testing.assert_array_equal(result.goals_rad[:9], goals)
        assert result.torque_on[:9].all()
        assert (armed.report().accepted, armed.report().refused) == (1, 1)

    def test_a_bad_command_does_not_spoil_the_next_good_one(self, armed, robot):
        armed.check(Command([*robot.joint_names[:8], "toe"], [0.0] * 9), START, PERIOD_S, 0.0)
        assert send(armed, robot).verdict is Verdict.ACCEPTED


class TestGoals:
    def test_names_may_come_in_any_order(self, armed, robot):
        order = [4, 0, 8, 2, 1, 3, 7, 6, 5]
        goals = START[:9] + np.arange(9) * 0.01
        names = [robot.joint_names[i] for i in order]
        result = armed.check(Command(names, goals[order].tolist()), START, PERIOD_S, 0.0)
        assert result.verdict is Verdict.ACCEPTED
        np.testing.assert_array_equal(result.goals_rad[:9], goals)

    def test_an_auxiliary_joint_is_driven_only_while_named(self, armed, robot):
        names = [*robot.joint_names, "valve"]
        result = armed.check(Command(names, [*START[:9], 0.6]), START, PERIOD_S, 0.0)
        assert result.torque_on.all()
        assert result.goals_rad[9] == 0.6
        result = send(armed, robot)
        assert result.torque_on.tolist() == [True] * 9 + [False]
        assert result.goals_rad[9] == START[9]

    def test_effort_switches_torque_per_joint(self, armed, robot):
        effort = [0.0, 1.0, 0.0] * 3
        result = send(armed, robot, START[:9] + 0.1, effort=effort)
        assert result.torque_on.tolist() == [bool(value) for value in effort] + [False]
        np.testing.assert_array_equal(result.goals_rad[:3], [START[0], START[1] + 0.1, START[2]])
        assert send(armed, robot).torque_on[:9].all()

    def test_a_goal_of_a_joint_without_torque_is_not_limited(self, armed, robot):
        goals = START[:9].copy()
        goals[0] = 5.0
        result = send(armed, robot, goals, effort=[0.0] + [1.0] * 8)
        assert result.verdict is Verdict.ACCEPTED
        assert result.goals_rad[0] == START[0]

    def test_a_joint_without_torque_may_be_out_of_range(self, armed, robot):
        measured = START.copy()
        measured[9] = 7.0  # a valve turned by hand
        assert send(armed, robot, measured=measured).verdict is Verdict.ACCEPTED

    def test_out_of_range_is_clamped_and_named(self, armed, robot):
        measured = START.copy()
        measured[0] = 0.45
        goals = measured[:9].copy()
        goals[0] = 0.6
        result = send(armed, robot, goals, measured=measured)
        assert result.verdict is Verdict.LIMITED
        assert result.goals_rad[0] == 0.48
        np.testing.assert_array_equal(result.goals_rad[1:9], goals[1:])
        assert "joint 'finger1_top' from 0.4500 to 0.6000 rad became 0.4800" in result.detail
        assert armed.report().limited == 1

    @pytest.mark.parametrize("sign", [-1, 1])
    def test_too_fast_is_clamped_to_the_speed_limit(self, armed, robot, sign):
        goals = START[:9].copy()
        goals[3] += sign * 0.4
        result = send(armed, robot, goals)
        assert result.verdict is Verdict.LIMITED
        assert result.goals_rad[3] == pytest.approx(START[3] + sign * MOVE, abs=1e-12)

    @pytest.mark.parametrize(("at_rad", "goal_rad"), [(0.6, 0.6 - MOVE), (0.8, 0.48)])
    def test_a_joint_out_of_range_comes_back_at_limited_speed_but_gets_no_goal_out_of_range(
        self, armed, robot, at_rad, goal_rad
    ):
        """A servo refuses such a goal: what is told as executed would not be what it holds."""
        measured = START.copy()
        measured[0] = at_rad
        goals = measured[:9].copy()
        goals[0] = 0.0
        result = send(armed, robot, goals, measured=measured)
        assert result.goals_rad[0] == pytest.approx(goal_rad)

    @given(
        measured=st.lists(st.floats(-0.48, 0.48), min_size=9, max_size=9),
        action=st.lists(st.floats(-1, 1, width=32), min_size=9, max_size=9),
    )
    def test_what_a_task_has_clipped_to_the_limits_passes_unchanged(self, robot, measured, action):
        """Also when it computes in float32, whose rounding exceeds the limits by a little."""
        gate = make_gate(robot)
        measured = np.array([*measured, 0.0])
        gate.arm(measured, now_s=0.0)
        limit = np.float32([0.48, 1.57, 1.57] * 3)
        wanted = np.float32(action) * limit
        near = measured[:9].astype(np.float32)
        goals = np.clip(np.clip(wanted, -limit, limit), near - np.float32(MOVE), near + np.float32(MOVE))
        result = send(gate, robot, goals.tolist(), measured=measured)
        assert result.verdict is Verdict.ACCEPTED, result.detail
        np.testing.assert_array_equal(result.goals_rad[:9], goals)

    @given(
        measured=st.lists(st.floats(-3, 3), min_size=10, max_size=10),
        goals=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=10, max_size=10),
    )
    def test_nothing_leaves_the_gate_out_of_limits(self, robot, measured, goals):
        gate = make_gate(robot)
        measured = np.array(measured)
        gate.arm(measured, now_s=0.0)
        result = gate.check(Command(robot.all_joint_names, goals), measured, PERIOD_S, 0.0)
        low = np.array([*robot.position_min_rad, *robot.auxiliary_position_min_rad])
        high = np.array([*robot.position_max_rad, *robot.auxiliary_position_max_rad])
        move = np.array([*robot.speed_limit_rad_s, *robot.auxiliary_speed_limit_rad_s]) * PERIOD_S
        assert ((result.goals_rad >= low - 2e-6) & (result.goals_rad <= high + 2e-6)).all()
        outside = np.maximum(measured - high, low - measured)
        assert (np.abs(result.goals_rad - measured) <= np.maximum(move, outside) + 2e-6).all()


class TestSwitchingOn:
    """A servo goes no further than its range: switched on outside of it, it would pull its joint back at once."""

    OUTSIDE = np.array([0.48 + 0.26, *START[1:]])

    def off(self, armed, robot):
        """The first joint without torque."""
        result = send(armed, robot, effort=[0.0, *[1.0] * 8])
        assert result.verdict is Verdict.ACCEPTED and not result.torque_on[0]

    def test_a_joint_outside_its_range_stops_the_robot(self, armed, robot):
        self.off(armed, robot)
        goals = armed.goals_rad.copy()
        result = send(armed, robot, measured=self.OUTSIDE - 0.05 * (np.arange(10) > 0), now_s=1.0)
        assert result.verdict is Verdict.REFUSED
        np.testing.assert_array_equal(armed.goals_rad, goals, "the state that it answers is no place to hold any more")
        assert not result.torque_on[0]
        assert armed.state is GateState.STOPPED and armed.is_active(Cause.JOINT_RANGE)
        (cause,) = armed.report().causes
        assert "'finger1_top' is to be switched on at 0.740 rad, 0.260 outside its range" in cause.detail
        armed.tick(2.0)
        assert not armed.torque_on.any(), "a controlled stop ends without torque"

    def test_a_joint_a_little_outside_or_one_that_has_torque_passes(self, armed, robot):
        assert send(armed, robot, measured=self.OUTSIDE).verdict is not Verdict.REFUSED
        self.off(armed, robot)
        assert send(armed, robot, measured=self.OUTSIDE, effort=[0.0, *[1.0] * 8]).verdict is not Verdict.REFUSED
        assert send(armed, robot, measured=self.OUTSIDE - 0.02).verdict is not Verdict.REFUSED

    def test_an_auxiliary_joint_may_have_turned_on_and_on(self, armed, robot):
        turned = np.array([*START[:9], 9.0])
        result = armed.check(Command(robot.all_joint_names, list(turned)), turned, PERIOD_S, 0.0)
        assert result.torque_on[9]


OPERATIONS = ("arm", "disarm", "reset", "good", "bad", "tick", "press", "release", "fail", "mend")


@given(operations=st.lists(st.sampled_from(OPERATIONS), max_size=30))
def test_torque_only_when_armed_and_a_stop_ends_only_by_reset(robot, operations):
    gate = make_gate(robot, bad_command_limit=2)
    pressed = failed = False
    for number, operation in enumerate(operations):
        before, now = gate.state, float(number)
        if operation == "arm":
            gate.arm(START, now)
        elif operation == "disarm":
            gate.disarm()
        elif operation == "reset":
            gate.reset()
        elif operation == "good":
            send(gate, robot, now_s=now)
        elif operation == "bad":
            send(gate, robot, [math.nan] * 9, now_s=now)
        elif operation == "tick":
            gate.tick(now)
        elif operation in ("press", "release"):
            pressed = operation == "press"
            gate.stop(Cause.OPERATOR_STOP, pressed, "button")
        else:
            failed = operation == "fail"
            gate.stop(Cause.BACKEND_FAILED, failed, "broken")
        if gate.state in (GateState.DISARMED, GateState.STOPPED):
            assert not gate.torque_on.any()
        if pressed or failed:
            assert gate.state is GateState.STOPPED
        if before is GateState.STOPPED and gate.state is not GateState.STOPPED:
            assert operation == "reset"
            assert gate.state is GateState.DISARMED
        if before is GateState.DISARMED and gate.state in (GateState.ARMED, GateState.HOLD):
            assert operation == "arm"
        assert bool(gate.report().causes) == (gate.state in (GateState.HOLD, GateState.STOPPED))


def test_a_first_command_without_names_is_refused(robot):
    gate = make_gate(robot)
    gate.arm(START, now_s=0.0)
    result = gate.check(Command([], []), START, PERIOD_S, 0.0)
    assert result.verdict is Verdict.REFUSED
    assert "missing joints" in result.detail


@pytest.mark.parametrize("turned_rad", [20.0, -20.0, 9.0, 6.5])
def test_an_auxiliary_joint_that_was_turned_far_by_hand_comes_back_no_faster_than_others_move(robot, turned_rad):
    gate = make_gate(robot)
    measured = np.append(START[:9], turned_rad)
    gate.arm(measured, now_s=0.0)
    names, most_rad = robot.all_joint_names, robot.auxiliary_speed_limit_rad_s[0] * PERIOD_S
    for goal_rad in (turned_rad, 0.0, 2 * turned_rad):
        result = gate.check(Command(names, [*START[:9], goal_rad]), measured, PERIOD_S, 0.0)
        assert result.verdict is not Verdict.REFUSED
        assert abs(result.goals_rad[9] - turned_rad) <= most_rad + 1e-9
        assert abs(result.goals_rad[9]) <= max(abs(turned_rad) - most_rad, 6.28) + 1e-9, "not further out"
