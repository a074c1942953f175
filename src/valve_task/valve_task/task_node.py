"""The node `task`: converts messages to and from the step machine, and owns its timers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from robot_bridge.backend import RobotState
from robot_bridge.body_link import BodyJoiner, BodyWatch
from robot_bridge.body_messages import imu_reading, odometry_reading
from rosac_common.messages import float64_array, stamp_from_nanoseconds, transition_to_message
from rosac_common.node_main import run_node
from rosac_common.parameters import declare_settings
from rosac_common.priority import raise_priority
from rosac_common.transition import Transition
from sac_interfaces.msg import (
    Action,
    EpisodeSummary,
    ExecutedCommand,
    JointHealth,
    LearnerStatus,
    Observation,
    SafetyState,
)
from sac_interfaces.msg import Transition as TransitionMsg
from sac_interfaces.srv import ResendTransitions
from sensor_msgs.msg import Imu, JointState, Joy
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rosac_common import qos
from valve_task.episode import EpisodeRecord, StepObservation
from valve_task.machine import StepMachine
from valve_task.machine_io import Flags, Problem, Vector
from valve_task.messages import (
    JointStateError,
    action_from_message,
    diagnostic,
    episode_to_message,
    executed_from_message,
    gate_from_message,
    health_from_message,
    learner_from_message,
    observation_to_message,
    state_from_message,
)
from valve_task.reset_request import ResetOutcome, ResetProgress
from valve_task.reset_server import ResetServer
from valve_task.settings import TaskNodeSettings
from valve_task.simulation_request import SimulationRequest

# Lockstep: how often the machine looks for those who have fallen silent.
_WATCH_PERIOD_S = 0.1
_REPORT_PERIOD_S = 1.0
# Transitions sent again at a time, so that no control step waits for long: 50 take about 2 ms.
_RESEND_CHUNK, _RESEND_PERIOD_S = 50, 0.02


class TaskNode(Node):
    """Topics, services, action and parameters: docs/architecture.md and `TaskNodeSettings`."""

    def __init__(self) -> None:
        super().__init__("task")
        self.settings = declare_settings(self, TaskNodeSettings)
        self.machine = StepMachine(self.settings, self, time.perf_counter, uuid.uuid4().hex)
        robot = self.settings.robot
        self._names, self._all_names = robot.joint_names, robot.all_joint_names
        self._command = JointState(name=self._names)
        self._reset_command = JointState(name=self._all_names)
        self._resend: Iterator[Transition] = iter(())  # what is sent again; the learner asks for one range at a time
        robot_body = BodyWatch(robot.body, time.perf_counter())
        self._joiner = BodyJoiner(robot_body, self.settings.time_base == "lockstep")
        self._make_interfaces()
        if problem := raise_priority(self.settings.realtime_priority):
            self.get_logger().warning(problem)
        self.get_logger().info(f"task {self.machine.task.name}, {self.settings.time_base}, session {self._session_id}")
        if lost := self.machine.task.lost_symmetries:
            self.get_logger().info(lost)

    @property
    def _session_id(self) -> str:
        return self.machine.loop.session_id

    def _make_interfaces(self) -> None:
        self._observations = self.create_publisher(Observation, "observation", qos.COMMAND)
        self._commands = self.create_publisher(JointState, "joint_command", qos.COMMAND)
        self._transitions = self.create_publisher(TransitionMsg, "replay", qos.REPLAY)
        self._episodes = self.create_publisher(EpisodeSummary, "episode", qos.EPISODES)
        self._operator = self.create_publisher(String, "operator/request", qos.LATCHED)
        self.ask_operator("")  # who hears it knows that nothing is asked, and is known to this node
        self._diagnostics = self.create_publisher(DiagnosticArray, "diagnostics", qos.EVENTS)
        self.create_subscription(JointState, "joint_states", self._on_state, qos.NEWEST)
        self.create_subscription(ExecutedCommand, "joint_command/executed", self._on_executed, qos.NEWEST)
        self.create_subscription(Action, "action", self._on_action, qos.COMMAND)
        self.create_subscription(SafetyState, "safety/state", self._on_gate, qos.LATCHED)
        self.create_subscription(JointHealth, "joint_health", self._on_health, qos.LATCHED)
        self.create_subscription(LearnerStatus, "learner/status", self._on_learner, qos.LATCHED)
        self.create_subscription(Joy, "joy", self._on_joy, qos.SENSORS)
        self.create_service(ResendTransitions, "replay/resend", self._on_resend)
        self.create_service(Trigger, "operator/done", self._on_operator_done)
        self._resets = ResetServer(self, self.machine)
        self._randomise = SimulationRequest(self, "simulation/randomise", self.machine.on_randomised)
        self._put_back = SimulationRequest(self, "simulation/put_back", self._on_put_back)
        if self.machine.task.moves_about:
            # In lockstep every reading counts, and the bridge publishes them.
            sensors = qos.STATE if self.settings.time_base == "lockstep" else qos.SENSORS
            self.create_subscription(Imu, "imu/data", self._on_imu, sensors)
            self.create_subscription(Odometry, "odom", self._on_odometry, sensors)
            self.create_subscription(TwistStamped, "cmd_vel", self._on_velocity, qos.SENSORS)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        lockstep = self.settings.time_base == "lockstep"
        period_s = _WATCH_PERIOD_S if lockstep else self.machine.task.control_period_s
        self.create_timer(period_s, self.machine.tick, clock=steady)
        self.create_timer(_REPORT_PERIOD_S, self._report, clock=steady)
        self._resend_timer = self.create_timer(_RESEND_PERIOD_S, self._resend_some, clock=steady)
        self._resend_timer.cancel()

    # What comes in

    def _on_state(self, message: JointState) -> None:
        try:
            state = state_from_message(message, self._all_names)
        except JointStateError as error:
            self.machine.on_unusable_state(str(error))
            return
        if self.machine.task.moves_about:
            self._on_whole_state(self._joiner.joints(state, time.perf_counter()))
        else:
            self.machine.on_state(state)

    def _on_imu(self, message: Imu) -> None:
        now_s = time.perf_counter()
        self._on_body(self._joiner.watch.imu(imu_reading(message), now_s), now_s)

    def _on_odometry(self, message: Odometry) -> None:
        now_s = time.perf_counter()
        self._on_body(self._joiner.watch.odometry(odometry_reading(message), now_s), now_s)

    def _on_body(self, usable: bool, now_s: float) -> None:
        if not usable:
            self.machine.on_bad_body(self._joiner.watch.problem(now_s))
        elif self.settings.time_base == "lockstep":
            self._on_whole_state(self._joiner.complete())

    def _on_whole_state(self, state: RobotState | None) -> None:
        """Joints and body. None: in lockstep the rest is on its way, in real time it is missing, which is silence."""
        if state is not None:
            self.machine.on_state(state)
        elif self.settings.time_base == "realtime":
            self.machine.on_unusable_state(self._joiner.problem(time.perf_counter()))

    def _on_velocity(self, message: TwistStamped) -> None:
        problem = self.machine.on_commanded_velocity(message.twist.linear.x)
        if problem:
            self.get_logger().warning(problem, throttle_duration_sec=1.0)

    def _on_put_back(self, success: bool, message: str) -> None:
        self._joiner.watch.put_back()
        self.machine.on_put_back(success, message)

    def _on_executed(self, message: ExecutedCommand) -> None:
        try:
            executed = executed_from_message(message, self._names)
        except JointStateError as error:
            self.machine.on_unusable_state(str(error))
        else:
            self.machine.on_executed(executed)

    def _on_action(self, message: Action) -> None:
        try:
            action = action_from_message(message)
        except ValueError as error:
            self.machine.on_unusable_action(str(error))
        else:
            self.machine.on_action(action)

    def _on_gate(self, message: SafetyState) -> None:
        self.machine.on_gate(gate_from_message(message))

    def _on_health(self, message: JointHealth) -> None:
        try:
            health = health_from_message(message)
        except ValueError as error:
            self.machine.on_unusable_health(str(error))
        else:
            self.machine.on_health(health)

    def _on_learner(self, message: LearnerStatus) -> None:
        self.machine.on_learner(learner_from_message(message))

    def _on_joy(self, message: Joy) -> None:
        self.machine.on_joy(message.axes, message.buttons)

    def _on_operator_done(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self.machine.operator_done()
        return response

    def _on_resend(
        self, request: ResendTransitions.Request, response: ResendTransitions.Response
    ) -> ResendTransitions.Response:
        history = self.machine.history
        response.first_available = history.first_available
        if request.session_id != self._session_id:
            response.message = f"unknown session '{request.session_id}'; this task's session is '{self._session_id}'"
            return response
        response.accepted = True
        if request.first <= request.last:
            self._resend = history.get(request.first, request.last)
            self._resend_timer.reset()
        return response

    def _resend_some(self) -> None:
        for _ in range(_RESEND_CHUNK):
            transition = next(self._resend, None)
            if transition is None:
                self._resend_timer.cancel()
                return
            self.publish_transition(transition)

    # What goes out: `machine_io.Outputs`

    def publish_observation(self, observation: StepObservation) -> None:
        self._observations.publish(observation_to_message(observation))

    def publish_command(self, time_ns: int, goals_rad: Vector, torque_on: Flags | None) -> None:
        message = self._command
        if torque_on is not None:
            message = self._reset_command
            message.effort = float64_array(torque_on.astype(np.float64))
        message.header.stamp = stamp_from_nanoseconds(time_ns)
        message.position = float64_array(goals_rad)
        self._commands.publish(message)

    def publish_transition(self, transition: Transition) -> None:
        self._transitions.publish(transition_to_message(transition))

    def publish_episode(self, record: EpisodeRecord) -> None:
        self._episodes.publish(episode_to_message(record))

    def randomise(self) -> bool:
        return self._randomise.ask()

    def put_back(self) -> bool:
        return self._put_back.ask()

    def reset_progress(self, progress: ResetProgress) -> None:
        self._resets.tell(progress)

    def reset_ended(self, outcome: ResetOutcome) -> None:
        self._resets.end(outcome)

    def ask_operator(self, text: str) -> None:
        self._operator.publish(String(data=text))

    def problem(self, problem: Problem, text: str) -> None:
        self.get_logger().warning(f"{problem}: {text}")

    def solved(self, problem: Problem) -> None:
        self.get_logger().info(f"{problem}: in order again")

    def note(self, text: str) -> None:
        self.get_logger().info(text)

    def _report(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [diagnostic(f"{self.get_name()}: step machine", self.machine)]
        self._diagnostics.publish(message)


def main() -> int:
    """Run the task until it is told to stop; 2 when a setting is wrong."""
    return run_node(TaskNode)
