"""Who stands beside the robot in a benchmark: presses stop, resets, arms, and notes when the bridge says what."""

from __future__ import annotations

import threading
import time

from listener import Listener
from sac_interfaces.msg import SafetyState
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from rosac_common import qos

_ANSWER_TIMEOUT_S = 10.0


class Operator(Listener):
    """Times are those of time.monotonic()."""

    def __init__(self) -> None:
        super().__init__("operator")
        self.states: list[tuple[float, int]] = []  # when each state of the gate was heard, at its first report
        self.stops: list[str] = []  # causes of every stop
        self.command_s = 0.0  # when the newest command of the task was heard
        self._newest: SafetyState | None = None
        self.node.create_subscription(SafetyState, "safety/state", self._take, qos.LATCHED)
        self.node.create_subscription(JointState, "joint_command", self._note_command, qos.COMMAND)
        self._stop = self.node.create_publisher(Bool, "safety/stop", qos.EVENTS)
        self._services = {name: self.node.create_client(Trigger, f"safety/{name}") for name in ("reset", "arm")}
        self.begin()

    @property
    def state(self) -> int | None:
        """State of the gate, None before it was heard."""
        return self.states[-1][1] if self.states else None

    @property
    def causes(self) -> list[str]:
        """Why the gate holds or has stopped."""
        return [] if self._newest is None else list(self._newest.causes)

    def press(self, pressed: bool) -> float:
        """Publish on safety/stop; returns when."""
        now_s = time.monotonic()
        self._stop.publish(Bool(data=pressed))
        return now_s

    def call(self, name: str) -> bool:
        """Ask for `reset` or `arm`; whether it was done."""
        client = self._services[name]
        if not client.wait_for_service(_ANSWER_TIMEOUT_S):
            return False
        done = threading.Event()
        future = client.call_async(Trigger.Request())
        future.add_done_callback(lambda _: done.set())
        return done.wait(_ANSWER_TIMEOUT_S) and future.result().success

    def restore(self) -> bool:
        """One attempt to bring the robot from wherever it is to armed; whether it is."""
        if self.state == SafetyState.STOPPED:
            self.press(False)
            self.call("reset")
        elif self.state == SafetyState.DISARMED:
            self.call("arm")
        return self.state in (SafetyState.ARMED, SafetyState.HOLD)

    def _take(self, message: SafetyState) -> None:
        self._newest = message
        if message.state != self.state:
            self.states.append((time.monotonic(), message.state))
            if message.state == SafetyState.STOPPED:
                self.stops.append("; ".join(message.causes_detail))

    def _note_command(self, message: JointState) -> None:
        self.command_s = time.monotonic()
