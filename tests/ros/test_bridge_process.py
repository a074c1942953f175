"""The bridge as a process: lifecycle, signals, parameters."""

import signal
import time

import pytest
from helpers.commander import Commander, bridge, stamp
from helpers.patience import best_of
from helpers.ros import call, ros_node
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from sac_interfaces.msg import SafetyState
from std_msgs.msg import Empty

from rosac_common import qos

pytestmark = pytest.mark.ros


def change_state(commander, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return call(commander.node, ChangeState, "bridge/change_state", request).success


def state_of(commander):
    return call(commander.node, GetState, "bridge/get_state").current_state.id


def test_lifecycle_by_hand():
    with bridge(autostart=False, auto_arm=False) as process, ros_node("commander") as node:
        commander = Commander(node)
        commander.until(lambda: len(commander.safety) > 1, "the bridge has found this node")
        assert state_of(commander) == State.PRIMARY_STATE_UNCONFIGURED
        assert "not active" in commander.call("safety/arm", expect=False)
        assert change_state(commander, Transition.TRANSITION_CONFIGURE)
        assert commander.states == []
        assert change_state(commander, Transition.TRANSITION_ACTIVATE)
        commander.connect()
        commander.until_safety(SafetyState.DISARMED)
        commander.send(commander.states[-1])
        commander.until(lambda: commander.safety[-1].commands_refused == 1, "refused while disarmed")

        commander.call("safety/arm")
        commander.step()
        assert change_state(commander, Transition.TRANSITION_DEACTIVATE)
        commander.until_safety(SafetyState.DISARMED)
        last = stamp(commander.states[-1])
        refused = commander.safety[-1].commands_refused
        commander.send(commander.states[-1])
        commander.until(lambda: commander.safety[-1].commands_refused == refused + 1, "refused while inactive")
        commander.until_report()  # what was on its way has arrived
        count = len(commander.states)
        commander.until_report()
        assert len(commander.states) == count

        assert change_state(commander, Transition.TRANSITION_ACTIVATE)
        commander.until(lambda: len(commander.states) > count, "states again")
        assert stamp(commander.states[-1]) == last
        commander.call("safety/arm")
        commander.step()
        # a stop in inactive state latches too
        assert change_state(commander, Transition.TRANSITION_DEACTIVATE)
        commander.press(True)
        commander.until_safety(SafetyState.STOPPED)
        commander.press(False)
        commander.until(lambda: list(commander.safety[-1].causes_active) == [False], "cause cleared")
        commander.call("safety/reset")

        assert change_state(commander, Transition.TRANSITION_CLEANUP)
        assert change_state(commander, Transition.TRANSITION_CONFIGURE)
        assert change_state(commander, Transition.TRANSITION_ACTIVATE)
        commander.call("safety/arm")
        commander.until(lambda: stamp(commander.states[-1]) >= last, "states after clean-up")
        assert stamp(commander.step()) > last

        # who has beaten once must go on, also after the bridge was not active for a while
        beat = node.create_publisher(Empty, "safety/heartbeat", qos.EVENTS)
        commander.until(beat.get_subscription_count, "the bridge listens")
        beat.publish(Empty())
        commander.until_safety(SafetyState.STOPPED)
        assert change_state(commander, Transition.TRANSITION_DEACTIVATE)
        assert change_state(commander, Transition.TRANSITION_ACTIVATE)
        commander.until_report()
        assert "heartbeat_lost (safety/heartbeat is silent" in commander.call("safety/reset", expect=False)
        assert change_state(commander, Transition.TRANSITION_ACTIVE_SHUTDOWN)
        assert state_of(commander) == State.PRIMARY_STATE_FINALIZED
        assert "torque off, robot closed" in process.output()


@pytest.mark.parametrize(("time_base", "number"), [("lockstep", signal.SIGINT), ("realtime", signal.SIGTERM)])
def test_a_signal_ends_it_soon_with_torque_off(time_base, number):
    def end_s():
        with bridge(time_base=time_base) as process, ros_node("commander") as node:
            Commander(node).connect()
            begin_s = time.monotonic()
            process.signal(number)
            assert process.wait() == 0, process.output()
            end_s = time.monotonic()
            assert "torque off, robot closed" in process.output()
            assert "Traceback" not in process.output()
            return end_s - begin_s

    assert best_of(5, end_s, 2.0) < 2.0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"controll_period_s": 0.1}, "unknown setting 'controll_period_s'; did you mean 'control_period_s'?"),
        ({"control_period_s": 20.0}, "'control_period_s' is 20.0; it must be in 0.001 .. 10"),
        ({"time_base": "fast"}, "'time_base' is 'fast'; it must be one of lockstep, realtime"),
        ({"robot.simulation_model": "hand"}, "simulation_model is 'hand'; it must be one of dclaw"),
        ({"control_period_s": 0.0333}, "control_period_s is 0.0333"),
    ],
)
def test_a_bad_parameter_is_refused_with_exit_code_2(parameters, message):
    with bridge(**parameters) as process:
        assert process.wait() == 2
        assert message in process.output()
        assert "Traceback" not in process.output()
