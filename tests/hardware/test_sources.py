"""Who may stop the robot: people and nodes that fall silent or say so, through the real bridge on emulated servos."""

import contextlib
import threading

import pytest
from helpers.commander import SERVO_ROBOTS, hardware_bridge
from helpers.patience import PATIENCE_S
from helpers.rig import Rig
from helpers.ros import ros_node
from sac_interfaces.msg import SafetyState
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Empty

from rosac_common import qos

pytestmark = pytest.mark.ros

BEAT_S = 0.05


class Beating:
    """Publishes in a thread of its own on the topics of those who must beat, for as long as each is wanted."""

    def __init__(self):
        self._node = ros_node("beating")
        node = self._node.__enter__()
        self._publishers = {
            "heartbeat": (node.create_publisher(Empty, "safety/heartbeat", qos.EVENTS), Empty()),
            "manager": (node.create_publisher(Empty, "safety/manager", qos.EVENTS), Empty()),
            "dead_man": (node.create_publisher(Bool, "safety/dead_man", qos.EVENTS), Bool(data=True)),
        }
        self.begin()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._end.wait(BEAT_S):
            for name in tuple(self.alive):
                publisher, message = self._publishers[name]
                publisher.publish(message)

    def begin(self):
        """All beat."""
        self.alive = set(self._publishers)

    def release(self):
        publisher, _ = self._publishers["dead_man"]
        self.alive.discard("dead_man")
        publisher.publish(Bool(data=False))

    def close(self):
        self._end.set()
        self._thread.join()
        self._node.__exit__(None, None, None)


@pytest.fixture(scope="module", params=SERVO_ROBOTS, ids=lambda robot: robot.name)
def beaten(request):
    required = {f"robot.safety.{name}_required": True for name in ("heartbeat", "manager", "dead_man")}
    # A machine that pauses is no reason to stop.
    times = {f"robot.safety.{name}_timeout_s": 1.5 for name in ("heartbeat", "manager", "dead_man")}
    times |= {"control_period_s": 0.5, "robot.safety.task_timeout_s": 2.0}
    with Rig(request.param, **required, **times) as rig:
        rig.commander.connect(simulated=False)
        assert "safety/heartbeat is required and was never heard" in rig.commander.call("safety/arm", expect=False)
        rig.beating = Beating()
        rig.commander.until(lambda: rig.commander.try_call("safety/arm").success, "the bridge hears the beats")
        yield rig
        rig.beating.close()


@pytest.fixture
def rig(beaten):
    beaten.beating.begin()
    beaten.ready()
    return beaten


@pytest.mark.parametrize(
    ("name", "cause"),
    [("heartbeat", "heartbeat_lost"), ("manager", "manager_lost"), ("dead_man", "dead_man_released")],
)
def test_a_beat_that_ceases_stops_the_robot(rig, name, cause):
    detail = rig.assert_stops(3.0, lambda: rig.beating.alive.discard(name), cause, mend=rig.beating.begin)
    assert f"safety/{name} is silent for" in detail
    assert cause in rig.commander.call("safety/reset", expect=False)
    rig.beating.alive.add(name)
    rig.assert_stays_stopped_until_reset_and_armed()


def test_letting_go_of_the_dead_man_stops_the_robot(rig):
    assert "is false" in rig.assert_stops(1.0, rig.beating.release, "dead_man_released", mend=rig.beating.begin)
    rig.beating.alive.add("dead_man")
    rig.assert_stays_stopped_until_reset_and_armed()


def test_the_stop_topic_stops_the_robot(rig):
    rig.assert_stops(1.0, lambda: rig.commander.press(True), "operator_stop")
    assert "operator_stop" in rig.commander.call("safety/reset", expect=False)
    rig.commander.press(False)
    rig.assert_stays_stopped_until_reset_and_armed()


def test_malformed_commands_hold_the_robot(rig):
    commander, own = rig.commander, len(rig.robot.joint_names)
    commander.goals = None

    def held():
        commander.send(commander.states[-1], position=[float("nan")] * own)
        return commander.safety[-1].state == SafetyState.HOLD

    for _ in range(5):
        commander.until(held, "hold")
        assert all(servo["torque_on"] for servo in rig.emulator.status()["servos"][:own])
        named = list(commander.safety[-1].causes)
        commander.until_armed()
        if named == ["bad_command"]:
            return
        assert named == ["command_timeout"]  # a machine that pauses
    raise AssertionError("commands ceased each time")


def test_without_commands_it_holds_and_without_a_task_it_stops(rig):
    rig.commander.goals = None
    safety = rig.commander.until_safety(SafetyState.HOLD)
    assert list(safety.causes) == ["command_timeout"]
    own = len(rig.robot.joint_names)
    assert all(servo["torque_on"] for servo in rig.emulator.status()["servos"][:own])
    since_s = rig.now_s()
    rig.until_stopped_by("task_lost")
    assert rig.until_safe_s(since_s) < 5.0
    rig.commander.goals = rig.sway
    rig.assert_stays_stopped_until_reset_and_armed()


def test_a_robot_that_two_programs_would_command_is_not_armed(rig):
    """Two graphs in one namespace: each would command the other's robot."""
    commander = rig.commander

    def refused():
        commander.press(True)
        commander.until_safety(SafetyState.STOPPED)
        commander.press(False)
        commander.until(rig.restored, "disarmed after a reset")
        return not commander.try_call("safety/arm").success  # the bridge may not have found the other one yet

    with ros_node("task") as other:
        other.create_publisher(JointState, "joint_command", qos.COMMAND)
        commander.until(refused, "it is not armed")
        detail = rig.until_stopped_by("second_graph")
        assert "2 nodes publish /joint_command" in detail and "/commander" in detail and "namespace:=NAME" in detail
        assert "second_graph" in commander.call("safety/reset", expect=False)
        assert not any(servo["torque_on"] for servo in rig.emulator.status()["servos"])
    commander.until(lambda: not any(commander.safety[-1].causes_active), "it is gone")
    rig.assert_stays_stopped_until_reset_and_armed()


def test_a_second_bridge_on_this_computer_does_not_start(rig):
    with hardware_bridge(rig.robot, "none", autostart=False) as refused:
        assert refused.wait() == 2
        assert "another bridge is up in namespace '/'" in refused.output()
        assert "namespace:=NAME" in refused.output()


def test_a_second_bridge_on_another_computer_stops_the_robot(rig):
    """The task would take the states of both."""
    with contextlib.ExitStack() as second:

        def start():
            second.enter_context(ros_node("bridge")).create_publisher(JointState, "joint_states", qos.STATE)

        detail = rig.assert_stops(PATIENCE_S, start, "second_graph", mend=second.close)
        assert "2 nodes publish /joint_states" in detail and "/bridge" in detail
    rig.commander.until(lambda: not any(rig.commander.safety[-1].causes_active), "it is gone")
    rig.assert_stays_stopped_until_reset_and_armed()
