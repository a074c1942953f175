"""A bridge as a process, and what stands in for the task before it."""

import array
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from robot_bridge.gate_types import GateState
from robot_bridge.robot import load_robot
from rosac_common.messages import nanoseconds
from rosac_common.settings import to_mapping
from rosgraph_msgs.msg import Clock
from sac_interfaces.msg import SafetyState
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from helpers.ros import NodeProcess, call, spin_until
from rosac_common import qos

ROBOT = load_robot(Path(__file__).parents[2] / "config" / "robots" / "dclaw.yaml")
PARAMETERS = {f"robot.{name}": value for name, value in to_mapping(ROBOT).items()}


def bridge(**parameters):
    return NodeProcess("robot_bridge", "bridge", {**PARAMETERS, "auto_arm": True, **parameters})


class Commander:
    """Stands in for the task: hears all the bridge says and commands its joints."""

    def __init__(self, node):
        self.node = node
        self.states, self.executed, self.safety, self.clocks, self.diagnostics = [], [], [], [], []
        node.create_subscription(JointState, "joint_states", self.states.append, qos.STATE)
        node.create_subscription(JointState, "joint_command/executed", self.executed.append, qos.STATE)
        node.create_subscription(SafetyState, "safety/state", self.safety.append, qos.LATCHED)
        node.create_subscription(Clock, "clock", self.clocks.append, qos.COMMAND)
        node.create_subscription(DiagnosticArray, "diagnostics", self.diagnostics.append, qos.EVENTS)
        self._command = node.create_publisher(JointState, "joint_command", qos.COMMAND)
        self._stop = node.create_publisher(Bool, "safety/stop", qos.EVENTS)

    def connect(self):
        connected = (self._command.get_subscription_count, self._stop.get_subscription_count)
        spin_until(self.node, lambda: all(count() for count in connected), 30, "the bridge listens")
        spin_until(self.node, lambda: self.states and self.safety and self.clocks, 30, "the bridge speaks")

    def send(self, state, names=None, position=None, effort=()):
        """Answer a state; by default hold the position that it shows."""
        message = JointState(name=state.name[:9] if names is None else names)
        message.header.stamp = state.header.stamp
        message.position = array.array("d", state.position[:9] if position is None else position)
        message.effort = array.array("d", effort)
        self._command.publish(message)

    def step(self, **fields):
        """Answer the newest state and wait for the next one."""
        before = self.states[-1]
        self.send(before, **fields)
        self.until_answered(before)
        return self.states[-1]

    def until_answered(self, state):
        """Wait until the command that answers this state is executed and the next state is there."""
        self.until(lambda: stamp(self.states[-1]) > stamp(state), "the next state")
        self.until(lambda: self.executed and stamp(self.executed[-1]) >= stamp(state), "what was executed")

    def until(self, predicate, what, timeout_s=20.0):
        spin_until(self.node, predicate, timeout_s, what)

    def press(self, pressed):
        self._stop.publish(Bool(data=pressed))

    def call(self, name, expect=True):
        response = call(self.node, Trigger, name)
        assert response.success is expect, response.message
        return response.message

    def until_safety(self, state):
        self.until(lambda: self.safety[-1].state == state, f"safety state {GateState(state).name}")
        return self.safety[-1]

    def ready(self):
        """Whatever happened before: armed, and a fresh state to answer."""
        self.press(False)
        if self.safety[-1].state == SafetyState.STOPPED:
            self.until(lambda: not any(self.safety[-1].causes_active), "causes cleared")
            self.call("safety/reset")
        self.call("safety/arm")
        self.step()
        self.until_safety(SafetyState.ARMED)


def stamp(message):
    return nanoseconds(message.header.stamp)
