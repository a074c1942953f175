"""A bridge as a process, and what stands in for the task before it."""

import array
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from robot_bridge.gate_types import GateState
from robot_bridge.robot import load_robot
from rosac_common.messages import nanoseconds
from rosac_common.settings import to_mapping
from rosgraph_msgs.msg import Clock
from sac_interfaces.msg import ExecutedCommand, SafetyState
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from helpers.patience import PATIENCE_S
from helpers.ros import NodeProcess, call, spin_until
from rosac_common import qos

_ROBOTS = Path(__file__).parents[2] / "config" / "robots"
ROBOT = load_robot(_ROBOTS / "dclaw.yaml")
LEGS = load_robot(_ROBOTS / "legs.yaml")
# tests/hardware tries every fault on each of them. minitaur_servos.yaml has the servos of legs.yaml, and needs the
# sensors of its body besides: test_walking_over_the_bus.py.
SERVO_ROBOTS = (ROBOT, LEGS)
MINITAUR = load_robot(_ROBOTS / "minitaur.yaml")


def robot_parameters(robot):
    """A robot file as parameters; rcl cannot read empty lists."""
    return {f"robot.{name}": value for name, value in to_mapping(robot).items() if value != []}


PARAMETERS = robot_parameters(ROBOT)


def bridge(robot=ROBOT, program=None, **parameters):
    parameters = {**robot_parameters(robot), "auto_arm": True, **parameters}
    return NodeProcess("robot_bridge", "bridge", parameters, program=program)


def hardware_bridge(robot, port, **parameters):
    """A bridge as it runs on servos, armed by hand: 20 Hz control, 100 Hz states."""
    settings = {"backend": "dynamixel", "bus.port": port, "time_base": "realtime", "control_period_s": 0.05}
    return bridge(robot, **{"auto_arm": False, **settings, **parameters})


class Commander:
    """Stands in for the task: hears all the bridge says and commands its joints.

    `goals`: while it is set, every new state is answered at once with the positions that it makes of the state.
    `commands`: whether it may; beside a real task it may only listen and stop.
    """

    def __init__(self, node, robot=ROBOT, commands=True):
        self.node, self.robot = node, robot
        self.goals = None
        self.states, self.executed, self.safety, self.clocks, self.diagnostics = [], [], [], [], []
        node.create_subscription(JointState, "joint_states", self._on_state, qos.STATE)
        node.create_subscription(ExecutedCommand, "joint_command/executed", self.executed.append, qos.STATE)
        node.create_subscription(SafetyState, "safety/state", self.safety.append, qos.LATCHED)
        node.create_subscription(Clock, "clock", self.clocks.append, qos.COMMAND)
        node.create_subscription(DiagnosticArray, "diagnostics", self.diagnostics.append, qos.EVENTS)
        self.command = node.create_publisher(JointState, "joint_command", qos.COMMAND) if commands else None
        self._stop = node.create_publisher(Bool, "safety/stop", qos.EVENTS)

    def _on_state(self, message):
        self.states.append(message)
        if self.goals is not None:
            self.send(message, position=self.goals(message))

    def connect(self, simulated=True):
        publishers = [self._stop, *([self.command] if self.command else [])]
        spin_until(self.node, lambda: all(p.get_subscription_count() for p in publishers), what="the bridge listens")
        heard = (self.states, self.safety, *([self.clocks] if simulated else []))
        spin_until(self.node, lambda: all(heard), what="the bridge speaks")

    def send(self, state, names=None, position=None, effort=()):
        """Answer a state; by default hold the position that it shows."""
        own = len(self.robot.joint_names)
        message = JointState(name=state.name[:own] if names is None else names)
        message.header.stamp = state.header.stamp
        message.position = array.array("d", state.position[:own] if position is None else position)
        message.effort = array.array("d", effort)
        self.command.publish(message)

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

    def until(self, predicate, what, timeout_s=PATIENCE_S):
        spin_until(self.node, predicate, timeout_s, what)

    def until_report(self):
        """Until the next diagnostics, about a second."""
        count = len(self.diagnostics)
        self.until(lambda: len(self.diagnostics) > count, "diagnostics")

    def press(self, pressed):
        self._stop.publish(Bool(data=pressed))

    def try_call(self, name):
        return call(self.node, Trigger, name)

    def call(self, name, expect=True):
        response = self.try_call(name)
        assert response.success is expect, (response.message, list(self.safety[-1].causes_detail))
        return response.message

    def until_safety(self, state):
        self.until(lambda: self.safety[-1].state == state, f"safety state {GateState(state).name}")
        return self.safety[-1]

    def until_armed(self):
        """Hold where the robot stands: again and again, since a machine that pauses makes an answer come too late."""

        def armed():
            self.send(self.states[-1])
            return self.safety[-1].state == SafetyState.ARMED

        self.until(armed, "safety state ARMED")

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
