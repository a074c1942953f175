"""The bridge as a real process in lockstep: commands good and bad, stop, hold."""

import time

import pytest
from helpers.commander import ROBOT, Commander, bridge, stamp
from helpers.ros import call, ros_node
from rcl_interfaces.srv import DescribeParameters
from robot_bridge.gate_types import GateState
from rosac_common.messages import nanoseconds
from sac_interfaces.msg import SafetyState
from sensor_msgs.msg import JointState

pytestmark = pytest.mark.ros

PERIOD_NS = 100_000_000
# Long, so that a machine that stands still for a moment does not make the bridge hold.
TIMEOUT_S = 3.0


@pytest.fixture(scope="module")
def lockstep():
    with bridge(**{"robot.safety.lockstep_command_timeout_s": TIMEOUT_S}) as process, ros_node("commander") as node:
        commander = Commander(node)
        commander.connect()
        commander.process = process
        yield commander


@pytest.fixture
def commander(lockstep):
    lockstep.ready()
    return lockstep


def test_gate_states_are_those_of_the_message():
    for state in GateState:
        assert getattr(SafetyState, state.name) == state


class TestLockstep:
    def test_state_names_all_joints_and_the_valve(self, commander):
        state = commander.states[-1]
        assert list(state.name) == ROBOT.all_joint_names
        assert len(state.position) == len(state.velocity) == len(state.effort) == 10

    def test_each_command_is_executed_once_and_moves_time_by_one_period(self, commander):
        first = commander.states[-1]
        del commander.executed[:]
        goals = [position + 0.05 for position in first.position[:9]]
        commander.send(first, position=goals)
        commander.until_answered(first)
        assert stamp(commander.states[-1]) == stamp(first) + PERIOD_NS
        assert stamp(commander.executed[-1]) == stamp(first)
        assert list(commander.executed[-1].position)[:9] == goals
        assert commander.executed[-1].torque_on == [True] * 9 + [False]

    def test_the_same_command_again_is_not_executed_again(self, commander):
        first = commander.states[-1]
        for _ in range(3):
            commander.send(first)
        commander.until(lambda: stamp(commander.states[-1]) > stamp(first), "the next state")
        # what had to be said about the copies has been said when the bridge repeats itself
        count = len(commander.states)
        commander.until(lambda: len(commander.states) > count + 1, "repeated states")
        assert stamp(commander.states[-1]) == stamp(first) + PERIOD_NS

    def test_a_command_of_another_stamp_is_not_executed(self, commander):
        before = commander.step()
        for offset in (-1, 1):
            wrong = JointState(name=before.name, position=before.position)
            nanosec = before.header.stamp.nanosec + offset
            wrong.header.stamp.sec, wrong.header.stamp.nanosec = before.header.stamp.sec, nanosec
            commander.send(wrong)
        count = len(commander.states)
        commander.until(lambda: len(commander.states) > count + 1, "repeated states")
        assert stamp(commander.states[-1]) == stamp(before)
        commander.step()

    def test_silence_repeats_the_same_executed_and_state(self, commander):
        commander.step()
        del commander.executed[:], commander.states[:-1]
        begin = time.monotonic()
        commander.until(lambda: len(commander.states) > 10 and len(commander.executed) >= 10, "repetitions")
        # Ten are a second apart; a test that did not get to run finds up to five waiting.
        assert time.monotonic() - begin > 0.4
        assert len({stamp(message) for message in commander.states}) == 1
        assert len({tuple(message.position) for message in commander.states}) == 1
        assert len({stamp(message) for message in commander.executed}) == 1

    def test_clock_never_goes_back(self, commander):
        for _ in range(20):
            commander.step()
        times = [clock.clock.sec * 10**9 + clock.clock.nanosec for clock in commander.clocks]
        assert times == sorted(times)
        commander.until(
            lambda: nanoseconds(commander.clocks[-1].clock) == stamp(commander.states[-1]), "the clock of the state"
        )

    def test_the_valve_turns_only_while_it_is_named(self, commander):
        names = ROBOT.all_joint_names
        for _ in range(5):
            position = list(commander.states[-1].position)
            commander.step(names=names, position=[*position[:9], position[9] + 0.3])
        turned = commander.states[-1].position[9]
        assert turned > 0.5
        for _ in range(5):
            position = list(commander.states[-1].position)
            commander.step()
            assert commander.states[-1].effort[9] == 0.0
        assert commander.states[-1].position[9] == pytest.approx(turned, abs=0.2)

    def test_randomise_draws_dynamics_anew_and_keeps_time(self, commander):
        before = stamp(commander.states[-1])
        assert "anew" in commander.call("simulation/randomise")
        state = commander.step()
        assert stamp(state) == before + PERIOD_NS

    def test_diagnostics_show_state_counts_and_backend(self, commander):
        del commander.diagnostics[:]
        commander.step()
        commander.until(lambda: commander.diagnostics, "diagnostics")
        (status,) = commander.diagnostics[-1].status
        values = {value.key: value.value for value in status.values}
        assert status.hardware_id == "dclaw"
        assert values["backend"] == "mujoco"
        assert int(values["commands_accepted"]) > 0
        assert {"period_mean_ms", "period_longest_ms", "commands_refused"} <= set(values)

    def test_parameters_carry_description_and_range(self, commander):
        request = DescribeParameters.Request(names=["control_period_s", "robot.joint_names"])
        response = call(commander.node, DescribeParameters, "bridge/describe_parameters", request)
        period, names = response.descriptors
        assert "[s]" in period.description
        assert period.floating_point_range[0].from_value == 0.001
        assert period.read_only
        assert names.description


class TestBadCommands:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"names": [*ROBOT.joint_names[:8], "toe"]}, "unknown joints ['toe']"),
            ({"names": ROBOT.joint_names[:8], "position": [0.0] * 8}, "missing joints ['finger3_bottom']"),
            ({"position": [0.0] * 7}, "7 positions for 9 names"),
            ({"position": [float("nan")] + [0.0] * 8}, "not finite"),
            ({"position": [float("inf")] + [0.0] * 8}, "not finite"),
            ({"effort": [0.5] * 9}, "neither 1.0"),
        ],
    )
    def test_is_refused_named_counted_and_three_of_them_hold(self, commander, fields, expected):
        before = commander.states[-1]
        refused = commander.safety[-1].commands_refused
        del commander.safety[:-1]

        def held():
            commander.send(before, **fields)  # again and again: a depth of 1 may lose some
            return any(safety.state == SafetyState.HOLD for safety in commander.safety)

        commander.until(held, "hold")
        safety = next(safety for safety in commander.safety if safety.state == SafetyState.HOLD)
        assert safety.causes == ["bad_command"]
        assert expected in safety.causes_detail[0]
        assert "3 commands in a row refused" in safety.causes_detail[0]
        assert safety.commands_refused >= refused + 3  # more, when this node was slow to hear of it
        assert stamp(commander.states[-1]) == stamp(before)
        commander.step()
        assert commander.until_safety(SafetyState.ARMED).causes == []

    @pytest.mark.parametrize("change", [0.5, -0.5])
    def test_too_fast_is_limited_and_counted(self, commander, change):
        limited = commander.safety[-1].commands_limited
        before = commander.states[-1]
        goals = list(before.position[:9])
        goals[4] += change
        commander.step(position=goals)
        executed = commander.executed[-1].position
        assert executed[4] - before.position[4] == pytest.approx(0.2094395 * (1 if change > 0 else -1), abs=1e-6)
        assert list(executed[:4]) == goals[:4]
        commander.until(lambda: commander.safety[-1].commands_limited == limited + 1, "limited counted")
        commander.until(
            lambda: any("finger2_middle" in value.value for value in commander.diagnostics[-1].status[0].values),
            "the limited joint in diagnostics",
        )

    def test_out_of_range_is_limited(self, commander):
        for _ in range(5):
            goals = list(commander.states[-1].position[:9])
            goals[0] = goals[0] + 0.2
            commander.step(position=goals)
        assert commander.executed[-1].position[0] == 0.48


class TestStop:
    def test_latches_until_cleared_reset_and_armed(self, commander):
        commander.press(True)
        safety = commander.until_safety(SafetyState.STOPPED)
        assert list(safety.causes) == ["operator_stop"]
        assert list(safety.causes_active) == [True]
        assert "publish false" in safety.causes_detail[0]
        before = stamp(commander.states[-1])
        commander.send(commander.states[-1])

        assert "operator_stop" in commander.call("safety/reset", expect=False)
        assert "safety/reset" in commander.call("safety/arm", expect=False)
        commander.press(False)
        commander.until(lambda: list(commander.safety[-1].causes_active) == [False], "cause cleared")
        assert commander.safety[-1].state == SafetyState.STOPPED
        assert "safety/reset" in commander.call("safety/arm", expect=False)

        assert "safety/arm" in commander.call("safety/reset")
        assert commander.until_safety(SafetyState.DISARMED).causes == []
        commander.send(commander.states[-1])
        count = len(commander.states)
        commander.until(lambda: len(commander.states) > count + 2, "repeated states")
        assert stamp(commander.states[-1]) == before

        commander.call("safety/arm")
        commander.until_safety(SafetyState.ARMED)
        assert stamp(commander.step()) == before + PERIOD_NS

    def test_reset_without_a_stop_is_refused(self, commander):
        assert "not stopped" in commander.call("safety/reset", expect=False)
        assert commander.until_safety(SafetyState.ARMED)


def test_hold_after_commands_cease_and_goes_on_with_the_next(lockstep):
    lockstep.ready()
    safety = lockstep.until_safety(SafetyState.HOLD)
    assert safety.causes == ["command_timeout"]
    assert f"limit {TIMEOUT_S:g} s" in safety.causes_detail[0]
    lockstep.step()
    assert lockstep.until_safety(SafetyState.ARMED).causes == []
