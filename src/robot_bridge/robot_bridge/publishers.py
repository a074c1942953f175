"""What the bridge publishes but for the body: joints, commands in force, safety, diagnostics, health and the clock."""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode
from rosac_common.messages import stamp_from_nanoseconds
from rosgraph_msgs.msg import Clock
from sac_interfaces.msg import ExecutedCommand, JointHealth, SafetyState
from sensor_msgs.msg import JointState

from robot_bridge.backend import RobotState
from robot_bridge.gate import SafetyGate
from robot_bridge.messages import (
    diagnostic,
    fill_executed,
    fill_state,
    joint_diagnostics,
    joint_health,
    safety_state,
)
from robot_bridge.motion import Executed, MotionLoop
from robot_bridge.settings import BridgeSettings
from rosac_common import qos


class BridgePublishers:
    """Topics of docs/architecture.md.

    Args:
        node: the bridge; joints and clock are published only while it is active.
        settings: its settings.
        simulated: whether the bridge is the source of robot time.
    """

    def __init__(self, node: LifecycleNode, settings: BridgeSettings, simulated: bool) -> None:
        self._node, self._settings, self._robot = node, settings, settings.robot
        names = settings.robot.all_joint_names
        self._state_message, self._executed_message = JointState(name=names), ExecutedCommand(name=names)
        self._clock_message = Clock()
        self._states = node.create_lifecycle_publisher(JointState, "joint_states", qos.STATE)
        self.states_topic = self._states.topic_name
        self._executed = node.create_lifecycle_publisher(ExecutedCommand, "joint_command/executed", qos.STATE)
        self._clock: Any = node.create_lifecycle_publisher(Clock, "clock", qos.COMMAND) if simulated else None
        self._safety = node.create_publisher(SafetyState, "safety/state", qos.LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, "diagnostics", qos.EVENTS)
        self._health = node.create_publisher(JointHealth, "joint_health", qos.LATCHED)

    def state(self, state: RobotState) -> None:
        """A reading."""
        fill_state(self._state_message, state)
        self._states.publish(self._state_message)
        # After the state, which others wait for.
        if self._clock is not None:
            self._clock_message.clock = stamp_from_nanoseconds(state.time_ns)
            self._clock.publish(self._clock_message)

    def executed(self, executed: Executed) -> None:
        """What the motors hold."""
        fill_executed(self._executed_message, executed)
        self._executed.publish(self._executed_message)

    def safety(self, gate: SafetyGate, time_ns: int) -> None:
        """State, causes and counts of the gate."""
        self._safety.publish(safety_state(gate.report(), time_ns))

    def report(self, gate: SafetyGate, loop: MotionLoop | None) -> None:
        """Once a second: diagnostics, and the slow values of the joints if they have any."""
        report, health = gate.report(), None if loop is None else loop.health
        values: dict[str, object] = {
            "backend": self._settings.backend,
            "time_base": self._settings.time_base,
            "commands_accepted": report.accepted,
            "commands_limited": report.limited,
            "commands_refused": report.refused,
            "last_refusal_or_limit": gate.last_detail,
            **({} if loop is None else loop.figures()),
        }
        name, joints = self._node.get_name(), self._robot.all_joint_names
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [diagnostic(f"{name}: robot", self._robot.name, report, values)]
        if health is not None:
            message.status += joint_diagnostics(name, joints, health, self._robot.hottest_c, time.monotonic())
            self._health.publish(joint_health(joints, health, loop.state.time_ns))
        self._diagnostics.publish(message)
