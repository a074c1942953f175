"""All that surrounds the task node: bridge with robot, actor and learner, moved by the test."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from robot_bridge.robot import load_robot
from rosac_common.messages import float32_array, float64_array, nanoseconds, stamp_from_seconds
from rosac_common.settings import to_mapping
from sac_interfaces.msg import (
    Action,
    EpisodeSummary,
    ExecutedCommand,
    JointHealth,
    LearnerStatus,
    Observation,
    SafetyState,
    Transition,
)
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import String

from helpers.patience import PATIENCE_S
from helpers.ros import NodeProcess, spin_until
from rosac_common import qos

ROBOT = load_robot(Path(__file__).parents[2] / "config" / "robots" / "dclaw.yaml")
PARAMETERS = {f"robot.{name}": value for name, value in to_mapping(ROBOT).items()} | {
    "task.horizon_steps": 5,
    "wait_for_learner": False,
    # A machine that pauses ends no episode.
    "max_observation_age_s": 10.0,
    "state_timeout_s": 20.0,
    "action_timeout_s": 20.0,
    "missed_periods_limit": 1000,
}


def task(**changes: object) -> NodeProcess:
    """The task node as a process."""
    return NodeProcess("valve_task", "task", PARAMETERS | changes)


class Surroundings:
    """Bridge (a robot that goes where it is told at once), actor and learner."""

    def __init__(self, node: Node, lockstep: bool = True) -> None:
        self.node, self.lockstep = node, lockstep
        self.time_s = 1000.0
        self.position = np.append(np.zeros(9), 0.3)
        self.action: np.ndarray | None = np.full(9, 0.1)  # None: the actor is silent
        self.source = Action.SOURCE_POLICY
        self.commands: list[JointState] = []
        self.observations: list[Observation] = []
        self.transitions: list[Transition] = []
        self.episodes: list[EpisodeSummary] = []
        self.diagnostic: DiagnosticStatus | None = None
        self.complaints: set[str] = set()
        self.stuck: set[int] = set()  # joints that do not move
        self.questions: list[str] = []  # to the operator
        self._states = node.create_publisher(JointState, "joint_states", qos.STATE)
        self._executed = node.create_publisher(ExecutedCommand, "joint_command/executed", qos.STATE)
        self._gate = node.create_publisher(SafetyState, "safety/state", qos.LATCHED)
        self._actions = node.create_publisher(Action, "action", qos.COMMAND)
        self._learner = node.create_publisher(LearnerStatus, "learner/status", qos.LATCHED)
        self._health = node.create_publisher(JointHealth, "joint_health", qos.LATCHED)
        self.joy = node.create_publisher(Joy, "joy", 5)
        node.create_subscription(JointState, "joint_command", self._on_command, qos.COMMAND)
        node.create_subscription(Observation, "observation", self._on_observation, qos.COMMAND)
        node.create_subscription(Transition, "replay", self.transitions.append, qos.REPLAY)
        node.create_subscription(EpisodeSummary, "episode", self.episodes.append, qos.EPISODES)
        node.create_subscription(String, "operator/request", self._on_question, qos.LATCHED)
        node.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, qos.EVENTS)
        self._published_s = 0.0
        self._in_force: ExecutedCommand | None = None
        node.create_timer(0.02, self._tick)
        self.gate(SafetyState.ARMED)

    def until(self, predicate, what: str, timeout_s: float = PATIENCE_S) -> None:
        spin_until(self.node, predicate, timeout_s, what)

    def until_transitions(self, count: int) -> None:
        self.until(lambda: len(self.transitions) >= count, f"{count} transitions")

    def for_a_while(self, duration_s: float) -> None:
        end = time.monotonic() + duration_s
        while time.monotonic() < end:
            self.node.executor.spin_once(timeout_sec=0.02)

    def learner_allows(self, limit: int, session: str) -> None:
        self._learner.publish(
            LearnerStatus(phase=LearnerStatus.PHASE_TRAINING, session_id=session, sequence_limit=limit)
        )

    def gate(self, state: int, *causes: str) -> None:
        message = SafetyState(state=state, causes=list(causes), causes_detail=[f"detail of {c}" for c in causes])
        self._gate.publish(message)

    def heat(self, *temperature_c: float) -> None:
        """Tell the temperature of all joints, or of the first ones; the others are at 30 C."""
        values = [*temperature_c, *[30.0] * (10 - len(temperature_c))]
        self._health.publish(JointHealth(name=ROBOT.all_joint_names, temperature_c=values))

    def answer(self, observation: Observation, action: np.ndarray) -> None:
        message = Action(header=observation.header, session_id=observation.session_id, source=self.source)
        message.episode, message.step, message.policy_version = observation.episode, observation.step, 7
        message.action = float32_array(action)
        self._actions.publish(message)

    def publish_state(self) -> None:
        self._published_s = time.monotonic()
        message = JointState(name=ROBOT.all_joint_names, position=float64_array(self.position))
        message.velocity = float64_array(np.zeros(10))
        message.effort = float64_array(np.full(10, 1e-6 * self.time_s))  # no two readings are the same to the bit
        message.header.stamp = stamp_from_seconds(self.time_s)
        if self._in_force is not None:
            self._in_force.until = message.header.stamp
            self._executed.publish(self._in_force)
        self._states.publish(message)

    def _tick(self) -> None:
        if not self.lockstep:
            self.time_s += 0.02
            self.publish_state()
        elif time.monotonic() - self._published_s > 0.1:
            self.publish_state()

    def _on_command(self, message: JointState) -> None:
        self.commands.append(message)
        if self.lockstep and nanoseconds(message.header.stamp) != nanoseconds(stamp_from_seconds(self.time_s)):
            return
        goals = dict(zip(message.name, message.position, strict=True))
        torque = dict(zip(message.name, message.effort or [1.0] * len(message.name), strict=True))
        for index, name in enumerate(ROBOT.all_joint_names):
            if torque.get(name) and index not in self.stuck:
                self.position[index] = goals[name]
        self._in_force = ExecutedCommand(header=message.header, name=ROBOT.all_joint_names)
        self._in_force.position = float64_array([goals.get(name, 0.0) for name in ROBOT.all_joint_names])
        self._in_force.since = stamp_from_seconds(self.time_s + 1e-6)
        if self.lockstep:
            self.time_s = round(self.time_s + 0.1, 6)
            self.publish_state()

    def _on_observation(self, message: Observation) -> None:
        self.observations.append(message)
        if self.action is not None:
            self.answer(message, self.action)

    def _on_question(self, message: String) -> None:
        self.questions.append(message.data)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostic = message.status[0]
        self.complaints.add(self.diagnostic.message)

    def complained(self, text: str) -> bool:
        return any(text in complaint for complaint in self.complaints)
