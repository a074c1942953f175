"""The bridge in real time: states at their rate, the age of commands, hold after two periods, stop takes torque off."""

import itertools
import signal
import time

import pytest
from helpers.commander import Commander, bridge, stamp
from helpers.patience import PATIENCE_S
from helpers.ros import ros_node
from robot_bridge.loop import LONGEST_CATCH_UP_S
from sac_interfaces.msg import SafetyState

pytestmark = pytest.mark.ros

RATE_HZ = 50.0
# Long, so that commands are in time on a machine that stands still for a moment.
PERIOD_S = 0.5


@pytest.fixture(scope="module")
def realtime():
    parameters = {"time_base": "realtime", "state_rate_hz": RATE_HZ, "control_period_s": PERIOD_S}
    with bridge(**parameters) as process, ros_node("commander") as node:
        commander = Commander(node)
        commander.connect()
        commander.process = process
        yield commander


@pytest.fixture
def commander(realtime):
    """Armed and moving again, whatever happened before."""
    realtime.goals = None
    realtime.press(False)
    if realtime.safety[-1].state == SafetyState.STOPPED:
        realtime.until(lambda: not any(realtime.safety[-1].causes_active), "causes cleared")
        realtime.call("safety/reset")
    realtime.call("safety/arm")
    realtime.until_armed()
    return realtime


def lag_s(commander):
    """By how much the clock is ahead of robot time, by the promptest of the states of half a second."""
    lags = []
    for _ in range(round(0.5 * RATE_HZ)):
        count = len(commander.states)
        commander.until(lambda count=count: len(commander.states) > count, "the next state")
        lags.append(time.monotonic() - 1e-9 * stamp(commander.states[-1]))
    return min(lags)


def skipped_s(commander):
    """What the next diagnostics say was left out so far."""
    del commander.diagnostics[:]
    commander.until(lambda: commander.diagnostics, "diagnostics")
    return float(values(commander)["simulated_time_skipped_s"])


def values(commander):
    return {value.key: value.value for value in commander.diagnostics[-1].status[0].values}


def test_robot_time_follows_the_clock(commander):
    """To a twentieth, over a second in which the machine did not pause. It never runs ahead."""
    del commander.states[:]
    end_s = time.monotonic() + PATIENCE_S
    drift = 1.0
    while abs(drift) > 0.05:
        assert time.monotonic() < end_s, f"the clock gains {drift:.3f} s a second on robot time"
        begin_s, before_s = time.monotonic(), lag_s(commander)
        count = len(commander.states)
        commander.until(lambda count=count: len(commander.states) > count + RATE_HZ / 2, "states of half a second")
        gained_s = lag_s(commander) - before_s
        assert gained_s > -0.25, "robot time ran ahead of the clock"
        drift = gained_s / (time.monotonic() - begin_s - 0.5)
    stamps = [stamp(state) for state in commander.states]
    assert stamps == sorted(stamps)
    assert (stamps[-1] - stamps[0]) % 2_500_000 == 0


def test_a_pause_of_the_machine_is_left_out_and_told(commander):
    """Best of several: the machine may make a pause of its own while this is measured."""
    for trial in itertools.count():
        before_s, lag_before_s = skipped_s(commander), lag_s(commander)
        commander.process.signal(signal.SIGSTOP)
        time.sleep(2 * LONGEST_CATCH_UP_S)
        commander.process.signal(signal.SIGCONT)
        lost_s = lag_s(commander) - lag_before_s
        told_s = skipped_s(commander) - before_s
        assert told_s > 0.9 * LONGEST_CATCH_UP_S
        if abs(lost_s - told_s) < 0.1:
            return
        assert trial < 10, f"robot time lost {lost_s:.3f} s, told are {told_s:.3f} s"


def test_a_command_moves_the_joint_while_time_goes_on(commander):
    start = commander.states[-1].position[2]
    commander.goals = lambda state: [*state.position[:2], state.position[2] - 0.2, *state.position[3:9]]
    commander.until(lambda: commander.states[-1].position[2] < start - 0.2, "the joint moves")
    commander.goals = None


def test_hold_after_two_periods_keeps_torque_and_ends_with_the_next_command(commander):
    safety = commander.until_safety(SafetyState.HOLD)
    assert safety.causes == ["command_timeout"]
    assert f"limit {2 * PERIOD_S:g} s" in safety.causes_detail[0]
    commander.until(lambda: any(commander.states[-1].effort[:9]), "torque")
    commander.until_armed()


def test_a_command_that_answers_an_old_state_is_refused_and_what_is_in_force_told(commander):
    old = commander.states[-1]
    commander.until_safety(SafetyState.HOLD)
    refused = commander.safety[-1].commands_refused
    commander.send(old, position=[0.0] * 9)
    commander.until(lambda: stamp(commander.executed[-1]) == stamp(old), "what is in force")
    assert list(commander.executed[-1].position[:9]) != [0.0] * 9
    commander.until(lambda: commander.safety[-1].commands_refused == refused + 1, "refused counted")
    assert commander.safety[-1].state == SafetyState.HOLD


def test_stop_takes_torque_off_while_time_goes_on(commander):
    commander.press(True)
    stopped_at = stamp(commander.until_safety(SafetyState.STOPPED))
    commander.until(lambda: stamp(commander.states[-1]) > stopped_at + 0.2e9, "time goes on")
    assert not any(commander.states[-1].effort)
    del commander.executed[:]
    refused = commander.safety[-1].commands_refused
    commander.send(commander.states[-1])
    commander.until(lambda: commander.safety[-1].commands_refused == refused + 1, "refused")
    assert commander.executed == [], "nothing is in force"
    assert not any(commander.states[-1].effort)


def test_diagnostics_show_the_jitter_of_the_period(commander):
    """Of some second; a busy machine is late in others."""
    del commander.diagnostics[:]

    def on_time():
        return commander.diagnostics and float(values(commander)["period_mean_ms"]) == pytest.approx(
            1e3 / RATE_HZ, rel=0.3
        )

    commander.until(on_time, "a second of states at their rate")
    assert float(values(commander)["period_longest_ms"]) >= float(values(commander)["period_mean_ms"])
