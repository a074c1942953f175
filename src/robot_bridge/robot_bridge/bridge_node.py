"""The node `bridge`: the robot on ROS 2 topics. A lifecycle node; the work is in gate, loop and backend."""

from __future__ import annotations

import contextlib
import functools
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rosac_common.messages import nanoseconds
from rosac_common.node_main import run_node
from rosac_common.one_bridge import claim_namespace
from rosac_common.parameters import declare_settings
from rosac_common.priority import raise_priority
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Empty
from std_srvs.srv import Trigger

from robot_bridge.arming import Arming
from robot_bridge.backend import BackendError, ConnectionLostError, MovableBackend, RobotState, SimulatedBackend
from robot_bridge.backends import make_backend
from robot_bridge.body_topics import BodyTopics
from robot_bridge.causes import Cause
from robot_bridge.company import Company
from robot_bridge.gate_types import Command, GateState
from robot_bridge.loop import LockstepLoop, RealtimeLoop, check_period, make_gate
from robot_bridge.monitor import Beats
from robot_bridge.motion import OF_THE_ROBOT, MotionLoop
from robot_bridge.publishers import BridgePublishers
from robot_bridge.revival import Revival
from robot_bridge.robot_clock import wall_epoch_ns
from robot_bridge.settings import BridgeSettings
from robot_bridge.torque_off import TorqueOff
from rosac_common import qos

# Lockstep: how often wall time is looked at (time-out of commands, repeated states).
_LOCKSTEP_TICK_S = 0.02
_REPORT_PERIOD_S = 1.0
_SOON_S = 0.001
# A robot that was never read has no time.
_NO_TIME_NS = 0
# Without a loop; a try takes as long as several missing answers, and the services want to be heard in between.
_TELL_AGAIN_S = 0.5
# Of a robot that was not there, or not as it should be, when the bridge started.
_NOT_STARTED = (Cause.CONNECTION_LOST, Cause.BACKEND_FAILED)


def _guarded(callback: Callable[..., Any]) -> Callable[..., Any]:
    """An error nobody foresaw stops the robot and is reported; it neither vanishes nor ends the process."""

    @functools.wraps(callback)
    def guarded(self: BridgeNode, *arguments: Any) -> Any:
        try:
            return callback(self, *arguments)
        except Exception as error:
            if not self.context.ok():
                return None  # a signal took the context away while publishing; close() is what comes next
            self.fail(error)
            answer = arguments[-1] if arguments else None
            if isinstance(answer, Trigger.Response):
                answer.success, answer.message = False, f"{type(error).__name__}: {error}"
            return answer

    return guarded


class BridgeNode(LifecycleNode):
    """Topics, services and parameters: docs/architecture.md and `BridgeSettings`.

    Lifecycle: configure opens the robot, activate starts the motion loop, deactivate and everything after it turn the
    torque off. The stop topic and the reset service work in every state.
    """

    def __init__(self) -> None:
        self._claim: socket.socket | None = None  # first: a node that is refused is destroyed, too (Kilted)
        super().__init__("bridge")
        self.settings = declare_settings(self, BridgeSettings)
        self._claim = claim_namespace(self.context.get_domain_id(), self.get_namespace())
        self._gate = make_gate(self.settings)
        # Not the loop's: who has beaten must go on, also when the bridge was not active meanwhile.
        self._beats = Beats(self.settings.robot)
        self._backend = make_backend(self.settings, time.monotonic, wall_epoch_ns(time.monotonic, time.time_ns))
        check_period(self.settings, self._backend)
        # Not the seed itself: the backend's noise draws from that.
        self._rng = np.random.default_rng([self.settings.seed, 1])
        self._revival = Revival(self._gate) if self.settings.auto_arm else None
        joints = len(self.settings.robot.all_joint_names)
        self._torque_off = TorqueOff(self, self._backend, self._gate, joints)
        self._tick_timer: Any = None
        self._published_revision = -1
        self._body: BodyTopics | None = None
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._make_interfaces()
        if problem := raise_priority(self.settings.realtime_priority):
            self.get_logger().warning(problem)
        if self.settings.autostart:
            # Not here: what a half-made node has opened nobody would close.
            self._start_timer: Any = self.create_timer(_SOON_S, self._autostart, clock=self._steady)

    @property
    def _loop(self) -> MotionLoop | None:
        """While the bridge is active."""
        return self._arming.loop

    def _make_interfaces(self) -> None:
        simulated = isinstance(self._backend, SimulatedBackend)
        self._topics = BridgePublishers(self, self.settings, simulated)
        commands = self.create_subscription(JointState, "joint_command", self._on_command, qos.COMMAND)
        company = Company(self, commands.topic_name, self._topics.states_topic)
        self._arming = Arming(self.settings.robot, self._gate, self._backend, company)
        self.create_subscription(Bool, "safety/stop", self._on_stop, qos.EVENTS)
        self.create_subscription(Empty, "safety/heartbeat", self._on_heartbeat, qos.EVENTS)
        self.create_subscription(Empty, "safety/manager", self._on_manager, qos.EVENTS)
        self.create_subscription(Bool, "safety/dead_man", self._on_dead_man, qos.EVENTS)
        self.create_service(Trigger, "safety/reset", self._on_reset)
        self.create_service(Trigger, "safety/arm", self._on_arm)
        if simulated:
            self.create_service(Trigger, "simulation/randomise", self._on_randomise)
        moves_about = isinstance(self._backend, MovableBackend)
        if moves_about:
            self.create_service(Trigger, "simulation/put_back", self._on_put_back)
        if self.settings.robot.body.sensed:
            self._body = BodyTopics(self, moves_about, lambda: None if self._loop is None else self._loop.body)
        self.create_timer(_REPORT_PERIOD_S, self._on_report, clock=self._steady)
        self.create_timer(_TELL_AGAIN_S, self._on_unheard, clock=self._steady)

    @_guarded
    def _autostart(self) -> None:
        if self._start_timer is None:
            return  # it had gone off once more before it was destroyed
        self.destroy_timer(self._start_timer)
        self._start_timer = None
        self._start()

    def _start(self) -> None:
        if self.trigger_configure() is TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # lifecycle: rclpy drops what these raise, so that each of them must speak for itself

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the robot, torque off."""
        return self._transition(self._configure, super().on_configure, state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the motion loop; arm, if the settings say so."""
        return self._transition(self._activate, super().on_activate, state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the motion loop, torque off."""
        return self._transition(self._deactivate, super().on_deactivate, state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the robot."""
        return self._transition(self._backend.close, super().on_cleanup, state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Torque off and close."""
        return self._transition(self.close, super().on_shutdown, state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Torque off and close; the node can be configured again."""
        self._torque_off.opened = False
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def _transition(
        self,
        action: Callable[[], None],
        managed: Callable[[LifecycleState], TransitionCallbackReturn],
        state: LifecycleState,
    ) -> TransitionCallbackReturn:
        try:
            managed(state)
            action()
        except Exception as error:
            if self.context.ok():
                self.fail(error, starting=action in (self._configure, self._activate))
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self._backend.open()
        self._torque_off.robot_opened()
        for cause in (Cause.BACKEND_FAILED, *OF_THE_ROBOT):
            self._gate.stop(cause, False, "")
        self._publish_safety()

    def _activate(self) -> None:
        lockstep = self.settings.lockstep
        kind = LockstepLoop if lockstep else RealtimeLoop
        loop = kind(self.settings, self._backend, self._gate, self._beats, self._topics.executed, self._publish_state)
        self._arming.loop = loop
        self._torque_off.loop_begins(loop)
        loop.start(time.monotonic())
        period_s = _LOCKSTEP_TICK_S if lockstep else 1.0 / self.settings.state_rate_hz
        self._tick_timer = self.create_timer(period_s, self._on_tick, clock=self._steady)
        message = "call safety/arm to move the robot"
        if self.settings.auto_arm:
            armed, message = self._arming.arm(time.monotonic())
            if not armed:
                self._revival.begin()
        self.get_logger().info(f"active, {self.settings.time_base}, {self.settings.backend}; {message}")
        self._publish_safety()

    def _deactivate(self) -> None:
        if self._tick_timer is not None:
            self.destroy_timer(self._tick_timer)
            self._tick_timer = None
        loop, self._arming.loop = self._loop, None
        if loop is not None:
            self._torque_off.loop_ends(loop)
        if self.context.ok():
            self._publish_safety()

    def close(self) -> None:
        """Torque off, robot closed. The last thing to happen, whatever happened before."""
        try:
            self._deactivate()
        finally:
            self._torque_off.close()

    def destroy_node(self) -> None:
        """Leave the namespace to others."""
        super().destroy_node()
        if self._claim is not None:
            self._claim.close()

    def fail(self, error: Exception, starting: bool = False) -> None:
        """Something unforeseen: torque off, stop latched until the bridge is configured again; a robot that is not
        there while the bridge starts is nothing to look for in the program."""
        if isinstance(error, BackendError) and starting:
            self.get_logger().error(f"the robot cannot be opened: {error}")
            remedy = "mend that, then call safety/reset" if self.settings.autostart else "mend that, configure again"
            for before in _NOT_STARTED:  # what an earlier start lacked may be there now
                self._gate.stop(before, False, "")
            lost = isinstance(error, ConnectionLostError)
            cause, problem = Cause.CONNECTION_LOST if lost else Cause.BACKEND_FAILED, f"{error}"
        else:
            self.get_logger().error("".join(traceback.format_exception(error)))
            remedy = "deactivate, clean up, configure and activate the bridge, or restart it"
            cause, problem = Cause.BACKEND_FAILED, f"{type(error).__name__}: {error}"
        self._gate.stop(cause, True, f"{problem}; {remedy}")
        try:
            self._deactivate()
        except Exception as second:
            self.get_logger().fatal(f"torque could not be switched off, cut the power: {second!r}")

    # topics

    @_guarded
    def _on_command(self, message: JointState) -> None:
        command = Command(message.name, message.position, message.effort)
        if self._loop is None:
            self._gate.refuse(None, "the bridge is not active: configure and activate it")
            return
        self._loop.command(nanoseconds(message.header.stamp), command, time.monotonic())
        self._publish_safety_on_change()

    @_guarded
    def _on_stop(self, message: Bool) -> None:
        self._gate.stop(Cause.OPERATOR_STOP, message.data, "safety/stop is true; publish false there to clear it")
        if message.data and self._loop is not None:
            self._loop.enforce()
        elif message.data:
            with contextlib.suppress(BackendError):  # said when the loop ended, or the robot was not opened
                self._torque_off.now()
        self._publish_safety_on_change()

    @_guarded
    def _on_heartbeat(self, message: Empty) -> None:
        self._beats.heartbeat.beat(time.monotonic())

    @_guarded
    def _on_manager(self, message: Empty) -> None:
        self._beats.manager.beat(time.monotonic())

    @_guarded
    def _on_dead_man(self, message: Bool) -> None:
        self._beats.dead_man.beat(time.monotonic(), message.data)
        if self._loop is not None:
            self._loop.watch(time.monotonic())  # letting go must not wait for the next tick
            self._publish_safety_on_change()

    @_guarded
    def _on_tick(self) -> None:
        if self._loop is not None:
            self._loop.tick(time.monotonic())
            self._publish_safety_on_change()
            if self._revival is not None and self._revival.due(time.monotonic()):
                done = self._arming.revive(time.monotonic())
                self.get_logger().warning(f"simulated robot set up again: {done}")
                self._publish_safety_on_change()

    def _on_unheard(self) -> None:
        if self._loop is None:
            self._torque_off.try_again()

    @_guarded
    def _on_report(self) -> None:
        self._arming.look_for_others(time.monotonic())
        self._publish_safety()
        self._topics.report(self._gate, self._loop)

    # services

    @_guarded
    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.settings.autostart and not self._torque_off.opened and any(map(self._gate.is_active, _NOT_STARTED)):
            self._start()  # what was missing at the start may be there now
        response.success, response.message = self._arming.reset(time.monotonic())
        self._publish_safety_on_change()
        return response

    @_guarded
    def _on_arm(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._arming.arm(time.monotonic())
        self._publish_safety_on_change()
        return response

    @_guarded
    def _on_randomise(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._backend.randomise(self._rng)
        response.success, response.message = True, "dynamics drawn anew"
        return response

    @_guarded
    def _on_put_back(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._arming.put_back()
        response.success, response.message = True, "the robot stands on its mark"
        return response

    # publishing

    def _publish_state(self, state: RobotState) -> None:
        if self._body is not None:
            self._body.publish(state.body)
        self._topics.state(state)

    def _publish_safety_on_change(self) -> None:
        if self._gate.revision != self._published_revision:
            self._publish_safety()
            if self._gate.state in (GateState.HOLD, GateState.STOPPED):
                causes = "; ".join(
                    f"{cause.cause}{'' if cause.active else ', which has cleared'}: {cause.detail}"
                    for cause in self._gate.report().causes
                )
                self.get_logger().warning(f"{self._gate.state.name.lower()}: {causes}")

    def _publish_safety(self) -> None:
        self._published_revision = self._gate.revision
        self._topics.safety(self._gate, _NO_TIME_NS if self._loop is None else self._loop.state.time_ns)


def main() -> int:
    """Run the bridge until it is told to stop; 2 when it is refused."""
    return run_node(BridgeNode)
