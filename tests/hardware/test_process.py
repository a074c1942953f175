"""The bridge's process ends, dies or stands still: what the servos do, and what a new bridge finds."""

import signal
import time

import pytest
from helpers.commander import SERVO_ROBOTS
from helpers.patience import best_of
from helpers.rig import WATCHDOG_S, Rig
from helpers.ros import call
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from robot_bridge.dynamixel.settings import BusSettings
from sac_interfaces.msg import SafetyState

pytestmark = pytest.mark.ros


@pytest.fixture(params=SERVO_ROBOTS, ids=lambda robot: robot.name)
def rig(request):
    with Rig(request.param) as rig:
        rig.ready()
        yield rig


def torque(rig):
    return [servo["torque_on"] for servo in rig.emulator.status()["servos"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_with_torque_off_within_a_second(rig, number):
    def end_s():
        if rig.process.process.poll() is not None:
            rig.restart_bridge()
            rig.ready()
        since_s = rig.now_s()
        rig.process.signal(number)
        assert rig.process.wait() == 0, rig.process.output()
        assert not any(torque(rig))
        assert "torque off, robot closed" in rig.process.output()
        assert "Traceback" not in rig.process.output()
        return rig.until_safe_s(since_s)

    assert best_of(5, end_s, 1.0) < 1.0


def test_a_signal_without_a_cable_ends_too_and_says_what_is_not_known(rig):
    rig.emulator.unplug()
    rig.process.signal(signal.SIGTERM)
    assert rig.process.wait() == 0, rig.process.output()
    assert "robot closed without a connection" in rig.process.output()
    assert "Traceback" not in rig.process.output()


@pytest.mark.parametrize("silent", ["one", "all"])
def test_a_signal_with_silent_servos_ends_within_a_second_too_and_says_whose_torque_is_not_known_to_be_off(rig, silent):
    ids = rig.robot.joint_ids[: 1 if silent == "one" else None]
    rig.restart_bridge(**{"bus.reply_timeout_s": BusSettings().reply_timeout_s})

    def end_s():
        if rig.process.process.poll() is not None:
            rig.emulator.clear_faults()
            rig.restart_bridge()
        rig.ready()
        for identifier in ids:
            rig.emulator.fault("silent", id=identifier)
        since_s = time.monotonic()
        rig.process.signal(signal.SIGTERM)
        assert rig.process.wait() == 0, rig.process.output()
        assert "it is not known whether torque is off, cut the power" in rig.process.output()
        assert f"servo {ids[0]}" in rig.process.output()
        assert "Traceback" not in rig.process.output()
        return time.monotonic() - since_s

    assert best_of(5, end_s, 1.0) < 1.0
    assert not any(torque(rig)[len(ids) : len(rig.robot.joint_ids)])


def test_a_bridge_started_without_its_cable_is_started_by_reset_when_it_is_there(rig):
    rig.emulator.unplug()
    rig.restart_bridge(connect=False)
    # The last word of the old bridge, "is gone", may come after the new one was started.
    mend = "mend that, then call safety/reset"
    rig.commander.until(
        lambda: any(mend in each.causes_detail[0] for each in rig.commander.safety if each.causes), mend
    )
    assert rig.stopped
    assert list(rig.commander.safety[-1].causes) == ["connection_lost"]
    assert "torque off" not in rig.process.output()
    assert "robot closed without a connection" in rig.process.output()
    assert "no such device" in rig.commander.call("safety/reset", expect=False)
    assert "Traceback" not in rig.process.output()
    rig.emulator.replug()
    rig.commander.call("safety/reset")
    rig.commander.until_safety(SafetyState.DISARMED)
    rig.ready()


@pytest.mark.parametrize(
    ("transition", "state"),
    [
        (Transition.TRANSITION_DEACTIVATE, SafetyState.DISARMED),
        (Transition.TRANSITION_ACTIVE_SHUTDOWN, SafetyState.DISARMED),
    ],
)
def test_lifecycle_transitions_take_torque_off_within_a_second(rig, transition, state):
    def disarm_s():
        if rig.commander.safety[-1].state == state:
            rig.restart_bridge()
            rig.ready()
        since_s = rig.now_s()
        request = ChangeState.Request(transition=Transition(id=transition))
        assert call(rig.commander.node, ChangeState, "bridge/change_state", request).success
        assert not any(torque(rig))
        assert rig.commander.until_safety(state)
        return rig.until_safe_s(since_s)

    assert best_of(5, disarm_s, 1.0) < 1.0


def test_after_sigkill_the_servos_stop_by_themselves_and_a_new_bridge_stays_disarmed(rig):
    since_s = rig.now_s()
    rig.process.signal(signal.SIGKILL)
    rig.process.wait()
    assert rig.until_safe_s(since_s) < WATCHDOG_S + 0.5
    assert all(servo["bus_watchdog"] < 0 for servo in rig.emulator.status()["servos"] if servo["torque_on"])
    rig.commander.goals = rig.sway  # someone goes on commanding
    rig.restart_bridge()
    rig.commander.until_safety(SafetyState.DISARMED)
    count = len(rig.commander.states)
    rig.commander.until(lambda: len(rig.commander.states) > count + 30, "states")
    assert not any(torque(rig))
    rig.commander.call("safety/arm")
    rig.until_moving()


def test_a_bridge_that_stood_still_stops_when_it_goes_on_and_is_reset(rig):
    since_s = rig.now_s()
    rig.process.signal(signal.SIGSTOP)
    assert rig.until_safe_s(since_s) < WATCHDOG_S + 0.5
    rig.process.signal(signal.SIGCONT)
    assert "watchdog" in rig.until_stopped_by("read_failed", "robot_failed", "stale_state")
    rig.assert_stays_stopped_until_reset_and_armed()
