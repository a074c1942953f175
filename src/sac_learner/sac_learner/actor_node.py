"""Node `actor`: observation in, action out, with the newest accepted policy. It never waits for the learner."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rosac_common.messages import float32_array
from rosac_common.node_main import run_node
from rosac_common.parameters import declare_settings
from rosac_common.priority import raise_priority
from rosac_common.settings import SettingsError
from sac_interfaces.msg import Action, Observation, PolicyWeights

from rosac_common import qos
from sac_learner.actor import Actor
from sac_learner.policy import PolicyError
from sac_learner.policy_messages import policy_from_message
from sac_learner.settings import ActorSettings

_DIAGNOSTICS_PERIOD_S = 1.0


class ActorNode(Node):
    """Shell around an `Actor`: parameters, messages, diagnostics."""

    def __init__(self) -> None:
        super().__init__("actor")
        settings = declare_settings(self, ActorSettings)
        try:
            self.actor = Actor(settings)
        except (OSError, ValueError) as error:
            raise SettingsError(f"'policy_file': {error}") from error
        self._logged = ""
        self._action_publisher = self.create_publisher(Action, "action", qos.COMMAND)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "diagnostics", qos.EVENTS)
        self.create_subscription(Observation, "observation", self._on_observation, qos.COMMAND)
        if not settings.policy_file:
            self.create_subscription(PolicyWeights, "policy", self._on_policy, qos.LATCHED)
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self._diagnose)
        if problem := raise_priority(settings.realtime_priority):
            self.get_logger().warning(problem)

    def _on_observation(self, message: Observation) -> None:
        answer = self.actor.answer(np.frombuffer(message.observation, dtype=np.float32))
        if answer is None:
            self._log_problem()
            return
        action, source = answer
        reply = Action()
        reply.header.stamp = message.header.stamp
        reply.session_id, reply.episode, reply.step = message.session_id, message.episode, message.step
        reply.policy_version = self.actor.policy.version
        reply.source = int(source)
        reply.action = float32_array(action)
        self._action_publisher.publish(reply)

    def _on_policy(self, message: PolicyWeights) -> None:
        try:
            weights = policy_from_message(message)
        except PolicyError as error:
            self.actor.refuse_policy(str(error))
        else:
            self.actor.take_policy(weights)
        self._log_problem()

    def _log_problem(self) -> None:
        """Log a problem once, when it appears, and its end."""
        problem = self.actor.problem
        if problem and problem != self._logged:
            self.get_logger().warning(problem)
        elif self._logged and not problem:
            self.get_logger().info(f"well again; policy version {self.actor.policy.version}")
        self._logged = problem

    def _diagnose(self) -> None:
        self._log_problem()
        policy = self.actor.policy
        problem = self.actor.problem
        status = DiagnosticStatus(name="actor", hardware_id=policy.run if policy else "")
        status.level = DiagnosticStatus.WARN if problem else DiagnosticStatus.OK
        status.message = problem
        values = {"policy_version": policy.version if policy else "none", **vars(self.actor.counters)}
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the actor until it is told to stop; 2 when a setting is wrong."""
    return run_node(ActorNode, arguments)
