"""The whole graph as a user runs it: stop, takeover, the death of any node, Ctrl-C and resume."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from helpers.graph import SMALL_LEARNER, GraphProcess, own_parameters
from helpers.patience import PATIENCE_S
from helpers.ros import call, ros_node, spin_until
from rclpy.node import Node
from rosac_common.messages import seconds
from rosac_common.transition import EndReason, Source
from sac_interfaces.msg import EpisodeSummary, LearnerStatus, SafetyState, Transition
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from rosac_common import qos

pytestmark = pytest.mark.ros

# Short time-outs, to see faults soon.
FAST = {
    "learner": SMALL_LEARNER,
    "bridge": {"robot.safety.lockstep_command_timeout_s": 1.0},
    "task": {"action_timeout_s": 1.0, "state_timeout_s": 1.0},
}


class Listener:
    """Everything that the graph publishes, kept."""

    def __init__(self, node: Node, graph: GraphProcess) -> None:
        self.node, self._graph = node, graph
        self.transitions: list[Transition] = []
        self.episodes: list[EpisodeSummary] = []
        self.safety: SafetyState | None = None
        self.status: LearnerStatus | None = None
        self.complaints: list[str] = []
        node.create_subscription(Transition, "replay", self.transitions.append, qos.REPLAY)
        node.create_subscription(EpisodeSummary, "episode", self.episodes.append, qos.EPISODES)
        node.create_subscription(SafetyState, "safety/state", self._safety, qos.LATCHED)
        node.create_subscription(LearnerStatus, "learner/status", self._status, qos.LATCHED)
        node.create_subscription(DiagnosticArray, "diagnostics", self._diagnostics, qos.EVENTS)

    def _safety(self, message: SafetyState) -> None:
        self.safety = message

    def _status(self, message: LearnerStatus) -> None:
        self.status = message

    def _diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.level != DiagnosticStatus.OK:
                self.complaints.append(f"{status.name}: {status.message}")

    def until_more_transitions(self, count: int = 100, timeout_s: float = 3 * PATIENCE_S) -> None:
        goal = len(self.transitions) + count

        def are_there() -> bool:
            assert self._graph.process.poll() is None, f"the graph has ended:\n{self._graph.output()}"
            return len(self.transitions) >= goal

        spin_until(self.node, are_there, timeout_s, f"{count} more transitions")

    def until_state(self, state: int) -> None:
        spin_until(self.node, lambda: self.safety and self.safety.state == state, what=f"safety state {state}")


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[GraphProcess]:
    own = own_parameters(tmp_path / "fast.yaml", FAST)
    with GraphProcess("up", "run:=r", "steps:=0", own, directory=tmp_path) as process:
        yield process


@pytest.fixture
def listener(graph: GraphProcess) -> Iterator[Listener]:
    with ros_node() as node:
        yield Listener(node, graph)


def test_stop_latches_until_reset_and_arm(graph: GraphProcess, listener: Listener) -> None:
    node = listener.node
    listener.until_more_transitions()
    stop = node.create_publisher(Bool, "safety/stop", qos.EVENTS)
    spin_until(node, lambda: stop.get_subscription_count() == 1, what="bridge hears stop")
    stop.publish(Bool(data=True))
    listener.until_state(SafetyState.STOPPED)
    assert "operator_stop" in listener.safety.causes
    spin_until(
        node,
        lambda: listener.episodes and listener.episodes[-1].end_reason == EndReason.OPERATOR_STOP,
        what="episode ends as operator stop",
    )
    refused = call(node, Trigger, "safety/reset")
    assert not refused.success and "operator_stop" in refused.message
    assert not call(node, Trigger, "safety/arm").success
    stop.publish(Bool(data=False))
    spin_until(node, lambda: call(node, Trigger, "safety/reset").success, what="reset succeeds")
    listener.until_state(SafetyState.DISARMED)
    accepted, stopped_s = listener.safety.commands_accepted, seconds(listener.safety.header.stamp)
    # Two more reports of the gate, one a second, without a command let through.
    for _ in range(2):
        listener.safety = None
        listener.until_state(SafetyState.DISARMED)
    assert listener.safety.commands_accepted == accepted
    # Robot time stands still while nothing is commanded; the last transition from before the stop may come late.
    assert seconds(listener.safety.header.stamp) == stopped_s, "moved before it was armed"
    assert max(seconds(t.header.stamp) for t in listener.transitions) < stopped_s + 1e-3
    assert call(node, Trigger, "safety/arm").success
    listener.until_more_transitions()
    listener.until_state(SafetyState.ARMED)


def test_human_takes_over_with_the_dead_man_button(graph: GraphProcess, listener: Listener) -> None:
    node = listener.node
    listener.until_more_transitions(50)
    joy = node.create_publisher(Joy, "joy", 10)
    spin_until(node, lambda: joy.get_subscription_count() == 1, what="task hears joy")

    def human_step_seen() -> bool:
        message = Joy(axes=[0.5] * 6, buttons=[1] * 12)
        message.header.stamp = node.get_clock().now().to_msg()
        joy.publish(message)
        # The policy's own answer may come after the human's step is over: then nothing else was requested.
        steps = [t for t in listener.transitions if t.source == Source.HUMAN]
        return any(list(step.executed_action) != list(step.requested_action) for step in steps)

    spin_until(node, human_step_seen, what="a step by a human that the policy would have done differently")
    released = len(listener.transitions)
    spin_until(
        node,
        lambda: any(t.source != Source.HUMAN for t in listener.transitions[released:]),
        what="the policy acts again after the joystick was released",
    )


@pytest.mark.parametrize("name", ["bridge", "task", "actor", "learner"])
def test_any_node_may_die_and_come_back(name: str, graph: GraphProcess, listener: Listener) -> None:
    listener.until_more_transitions(150)
    listener.complaints.clear()
    first = graph.node_pid(name)
    graph.pause_supervision()  # it would bring the node back before anybody misses it
    graph.kill_node(name)
    if name != "bridge":  # the robot itself is gone with its simulation
        listener.until_state(SafetyState.HOLD)
    spin_until(
        listener.node,
        lambda: any(f"start the {name}" in complaint for complaint in listener.complaints),
        what=f"somebody says that the {name} is missing and what to do",
    )
    graph.resume_supervision()
    spin_until(listener.node, lambda: graph.node_pid(name) not in (None, first), what=f"{name} is started again")
    listener.until_more_transitions(150)
    listener.until_state(SafetyState.ARMED)
    by_session: dict[str, list[int]] = {}
    for transition in listener.transitions:
        by_session.setdefault(transition.session_id, []).append(transition.sequence)
    for numbers in by_session.values():
        assert sorted(set(numbers)) == list(range(min(numbers), max(numbers) + 1)), "a sequence number is missing"
    assert len(by_session) == (2 if name == "task" else 1)
