"""The bridge in real time: states at their rate, the age of commands, hold after two periods, stop takes torque off."""

import time

import pytest
from helpers.commander import Commander, bridge, stamp
from helpers.ros import ros_node
from sac_interfaces.msg import SafetyState

pytestmark = pytest.mark.ros

RATE_HZ = 50.0


@pytest.fixture(scope="module")
def realtime():
    with bridge(time_base="realtime", state_rate_hz=RATE_HZ, control_period_s=0.2) as _, ros_node("commander") as node:
        commander = Commander(node)
        commander.connect()
        yield commander


@pytest.fixture
def commander(realtime):
    """Armed and moving again, whatever happened before."""
    realtime.press(False)
    if realtime.safety[-1].state == SafetyState.STOPPED:
        realtime.until(lambda: not any(realtime.safety[-1].causes_active), "causes cleared")
        realtime.call("safety/reset")
    realtime.call("safety/arm")
    realtime.send(realtime.states[-1])
    realtime.until_safety(SafetyState.ARMED)
    return realtime


def test_robot_time_follows_the_clock_at_the_state_rate(commander):
    del commander.states[:]
    begin = time.monotonic()
    commander.until(lambda: len(commander.states) > 1.5 * RATE_HZ, "states of 1.5 s")
    elapsed = time.monotonic() - begin
    robot_time = (stamp(commander.states[-1]) - stamp(commander.states[0])) * 1e-9
    assert robot_time == pytest.approx(elapsed, abs=0.3)
    stamps = [stamp(state) for state in commander.states]
    assert stamps == sorted(stamps)
    assert (stamps[-1] - stamps[0]) % 2_500_000 == 0


def test_a_command_moves_the_joint_while_time_goes_on(commander):
    start = commander.states[-1].position[2]
    begin = stamp(commander.states[-1])
    while stamp(commander.states[-1]) - begin < 0.5e9:
        state = commander.states[-1]
        commander.send(state, position=[*state.position[:2], state.position[2] - 0.2, *state.position[3:9]])
        count = len(commander.states)
        commander.until(lambda count=count: len(commander.states) > count + 2, "the next states")
    assert commander.states[-1].position[2] < start - 0.2


def test_hold_after_two_periods_keeps_torque_and_ends_with_the_next_command(commander):
    safety = commander.until_safety(SafetyState.HOLD)
    assert safety.causes == ["command_timeout"]
    assert "limit 0.4 s" in safety.causes_detail[0]
    commander.until(lambda: any(commander.states[-1].effort[:9]), "torque")
    commander.send(commander.states[-1])
    commander.until_safety(SafetyState.ARMED)


def test_a_command_that_answers_an_old_state_is_refused_and_what_is_in_force_told(commander):
    old = commander.states[-1]
    commander.until_safety(SafetyState.HOLD)
    refused = commander.safety[-1].commands_refused
    del commander.executed[:]
    commander.send(old, position=[0.0] * 9)
    commander.until(lambda: commander.executed, "what is in force")
    assert stamp(commander.executed[-1]) == stamp(old)
    assert list(commander.executed[-1].position[:9]) != [0.0] * 9
    commander.until(lambda: commander.safety[-1].commands_refused == refused + 1, "refused counted")
    assert commander.safety[-1].state == SafetyState.HOLD


def test_stop_takes_torque_off_while_time_goes_on(commander):
    commander.press(True)
    commander.until_safety(SafetyState.STOPPED)
    stopped_at = stamp(commander.states[-1])
    commander.until(lambda: stamp(commander.states[-1]) > stopped_at + 0.2e9, "time goes on")
    assert not any(commander.states[-1].effort)
    del commander.executed[:]
    commander.send(commander.states[-1])
    commander.until(lambda: commander.executed, "what is in force")
    assert list(commander.executed[-1].effort) == [0.0] * 10
    assert not any(commander.states[-1].effort)


def test_diagnostics_show_the_jitter_of_the_period(commander):
    del commander.diagnostics[:]
    commander.until(lambda: len(commander.diagnostics) > 1, "diagnostics")
    values = {value.key: value.value for value in commander.diagnostics[-1].status[0].values}
    assert float(values["period_mean_ms"]) == pytest.approx(1e3 / RATE_HZ, rel=0.3)
    assert float(values["simulated_time_skipped_s"]) == 0.0
