"""The action `reset`, the operator and the thermal pause, through the real task node."""

from __future__ import annotations

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticStatus
from helpers.commander import bridge
from helpers.reset_goal import Goal, begun, client_of
from helpers.ros import call, ros_node, spin_until
from helpers.surroundings import ROBOT, Surroundings, task
from rosac_common.transition import EndReason
from sac_interfaces.msg import ExecutedCommand, JointHealth, SafetyState
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from rosac_common import qos

pytestmark = pytest.mark.ros

# Episodes, and resets of a stuck robot, that do not end by themselves.
ENDLESS = {"task.horizon_steps": 100_000, "reset.retries": 100_000}
STUCK = {"reset.retries": 0, "reset.draws": 1, "reset.pose_time_s": 1.0}
TRIES = 10


def test_with_the_simulator() -> None:
    states: list[JointState] = []
    with ros_node() as node, bridge(), task():
        node.create_subscription(JointState, "joint_states", states.append, qos.STATE)
        client = client_of(node)
        spin_until(node, lambda: states, what="the simulation runs")
        for angle in (1.5, -1.0):
            goal = begun(node, client, angle)
            goal.end()
            assert (goal.result.success, goal.result.message) == (True, "")
            assert goal.status == GoalStatus.STATUS_SUCCEEDED
            assert goal.result.name == ROBOT.all_joint_names
            assert goal.result.position_rad[9] == pytest.approx(angle, abs=np.radians(5))
            assert np.array(goal.result.position_rad[:9]) == pytest.approx([0, -1.047, 1.047] * 3, abs=np.radians(5))
            assert goal.result.attempts >= 1
            assert 0.3 < goal.result.duration_s < 60
            # A client drops the feedback that comes after the end: this takes 0.1 s, nobody can tell how much is left.
            assert {feedback.worst_joint for feedback in goal.feedback} <= {"", *ROBOT.all_joint_names}


@pytest.mark.parametrize("surroundings", [True, False], indirect=True, ids=["lockstep", "realtime"])
def test_cancelled_refused_and_interrupting(surroundings: Surroundings) -> None:
    s = surroundings
    base = "lockstep" if s.lockstep else "realtime"
    with task(time_base=base, **ENDLESS):
        client = client_of(s.node)
        s.until_transitions(2)

        refused = Goal(s.node, client, 1.0)
        assert "is running: ask again with interrupt" in refused.end().message
        assert (refused.result.success, refused.status) == (False, GoalStatus.STATUS_ABORTED)
        wrong = Goal(s.node, client, 9.0, interrupt=True)
        assert "allowed are -6.28 .. 6.28 rad" in wrong.end().message

        s.stuck = {9}
        goal = Goal(s.node, client, 1.0, interrupt=True)
        s.until(lambda: goal.feedback, "feedback")
        s.until(lambda: s.episodes, "the end of the episode")
        assert s.episodes[0].end_reason == EndReason.OPERATOR_STOP
        second = Goal(s.node, client, 0.5)
        assert "under way" in second.end().message
        assert goal.result is None
        assert goal.cancel() == 1
        assert not goal.end().success
        assert goal.status == GoalStatus.STATUS_CANCELED
        s.until(lambda: s.questions and "cancelled" in s.questions[-1], "the operator is asked")
        known = len(s.transitions)
        s.for_a_while(0.5)
        assert len(s.transitions) == known

        s.stuck = set()
        goal = Goal(s.node, client, 1.0)
        assert goal.end().success
        assert goal.status == GoalStatus.STATUS_SUCCEEDED
        s.until_transitions(known + 2)
        assert [t.sequence for t in s.transitions] == list(range(len(s.transitions)))


@pytest.mark.parametrize("surroundings", [True, False], indirect=True, ids=["lockstep", "realtime"])
def test_the_operator_is_asked_and_answers(surroundings: Surroundings) -> None:
    s = surroundings
    s.stuck = {4}
    with task(time_base="lockstep" if s.lockstep else "realtime", **STUCK):
        s.until(lambda: s.questions and s.questions[-1], "the operator is asked")
        assert "finger2_middle" in s.questions[-1]
        assert "operator/done" in s.questions[-1]
        s.until(lambda: s.diagnostic and "finger2_middle" in s.diagnostic.message, "diagnostics")
        assert s.diagnostic.level == DiagnosticStatus.ERROR
        assert {value.key: value.value for value in s.diagnostic.values}["phase"] == "waiting for the operator"
        assert not any(s.commands[-1].effort)
        assert s.transitions == []
        refused = Goal(s.node, client_of(s.node))
        assert "operator/done" in refused.end().message
        s.stuck = set()
        answer = call(s.node, Trigger, "operator/done")
        assert (answer.success, answer.message) == (True, "the reset begins")
        s.until_transitions(2)
        assert s.questions[-1] == ""
        answer = call(s.node, Trigger, "operator/done")
        assert not answer.success
        assert "nothing is asked" in answer.message


def test_a_stop_ends_a_goal_with_its_cause(surroundings: Surroundings) -> None:
    s = surroundings
    with task(**ENDLESS):
        client = client_of(s.node)
        s.until_transitions(2)
        s.stuck = {9}
        goal = Goal(s.node, client, 1.0, interrupt=True)
        s.until(lambda: goal.feedback, "feedback")
        s.gate(SafetyState.STOPPED, "operator_stop")
        assert "operator_stop" in goal.end().message
        assert goal.status == GoalStatus.STATUS_ABORTED
        assert "operator_stop" in Goal(s.node, client).end().message


@pytest.mark.parametrize("surroundings", [True, False], indirect=True, ids=["lockstep", "realtime"])
def test_a_hot_robot_rests(surroundings: Surroundings) -> None:
    s = surroundings
    s.heat(30.0, 70.0)  # latched: known before the task is there
    with task(time_base="lockstep" if s.lockstep else "realtime"):
        s.until(lambda: s.complained("finger1_middle 70 C"), "the task says why it rests")
        s.until(lambda: s.commands and not any(s.commands[-1].effort), "torque off")
        known, commands = len(s.transitions), len(s.commands)
        s.until(lambda: len(s.commands) > commands + 3, "the bridge goes on hearing from the task")
        assert not any(any(command.effort) for command in s.commands[commands:])
        assert len(s.transitions) == known
        s.heat(30.0, 49.0)
        s.until_transitions(known + 3)
        s.until(lambda: s.diagnostic.level == DiagnosticStatus.OK, "no more complaints")


def test_rest_and_hold_pass_the_gate_of_a_real_bridge() -> None:
    executed: list[ExecutedCommand] = []
    gates: list[SafetyState] = []
    with ros_node() as node, bridge(time_base="realtime"), task(time_base="realtime"):
        node.create_subscription(ExecutedCommand, "joint_command/executed", executed.append, qos.STATE)
        node.create_subscription(SafetyState, "safety/state", gates.append, qos.LATCHED)
        health = node.create_publisher(JointHealth, "joint_health", qos.LATCHED)
        client = client_of(node)
        health.publish(JointHealth(name=ROBOT.all_joint_names, temperature_c=[70.0] * 10))
        for _ in range(TRIES):
            goal = begun(node, client, 1.0)
            spin_until(node, lambda goal=goal: goal.phases, what="the reset begins")
            if goal.phases[0] == "resting: the motors cool down":
                break
            # The task has not heard yet how hot the robot is: that comes by another topic.
            goal.cancel()
            goal.end()
        assert goal.phases[0] == "resting: the motors cool down"
        spin_until(node, lambda: executed and not any(executed[-1].torque_on), what="torque off")
        assert goal.cancel() == 1
        assert goal.end().message.startswith("cancelled")

        health.publish(JointHealth(name=ROBOT.all_joint_names, temperature_c=[40.0] * 10))
        assert begun(node, client, 1.0).cancel() == 1
        spin_until(node, lambda: executed[-1].torque_on == [True] * 9 + [False], what="the robot holds, the valve free")
        known = len(executed)
        spin_until(node, lambda: len(executed) > known + 5, what="the task goes on commanding")
        assert all(list(message.position[:9]) == list(executed[-1].position[:9]) for message in executed[known:])
        goal = Goal(node, client, 1.0)
        assert goal.end().success
        assert goal.phases[:2] == ["taking the fingers off the valve", "going to the start pose"]
        assert {gate.state for gate in gates} <= {SafetyState.DISARMED, SafetyState.ARMED, SafetyState.HOLD}
        # A busy machine may answer a state too late; nothing else is a reason to refuse.
        assert not any("bad_command" in gate.causes for gate in gates)
