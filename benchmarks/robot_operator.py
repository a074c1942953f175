"""Who stands beside the robot in a benchmark: presses stop, resets, arms, and notes when the bridge says what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sac_interfaces.msg import SafetyState
from sac_learner.monitor import Monitor
from sac_learner.supervisor import Supervisor
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from rosac_common import qos

_ANSWER_TIMEOUT_S = 10.0


class Operator:
    """A node in a thread of its own. Times are those of time.monotonic()."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        self._context.init(args=[])
        self._node = Node("operator", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.states: list[tuple[float, int]] = []  # when each state of the gate was heard, at its first report
        self.stops: list[str] = []  # causes of every stop
        self.command_s = 0.0  # when the newest command of the task was heard
        self._newest: SafetyState | None = None
        self._node.create_subscription(SafetyState, "safety/state", self._take, qos.LATCHED)
        self._node.create_subscription(JointState, "joint_command", self._note_command, qos.COMMAND)
        self._stop = self._node.create_publisher(Bool, "safety/stop", qos.EVENTS)
        self._services = {name: self._node.create_client(Trigger, f"safety/{name}") for name in ("reset", "arm")}
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

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

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdown()
        self._thread.join(5.0)
        self._node.destroy_node()
        self._context.try_shutdown()

    def _take(self, message: SafetyState) -> None:
        self._newest = message
        if message.state != self.state:
            self.states.append((time.monotonic(), message.state))
            if message.state == SafetyState.STOPPED:
                self.stops.append("; ".join(message.causes_detail))

    def _note_command(self, message: JointState) -> None:
        self.command_s = time.monotonic()


@contextmanager
def operator() -> Iterator[Operator]:
    """An operator, gone afterwards."""
    made = Operator()
    try:
        yield made
    finally:
        made.close()


def until(
    condition: Callable[[], object], supervisor: Supervisor, monitor: Monitor, what: str, timeout_s: float = 60.0
) -> None:
    """Wait in short steps.

    Raises:
        RuntimeError: not within the time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        monitor.spin(0.01)
        supervisor.check(time.monotonic())
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {timeout_s:g} s; complaints: {monitor.complaints}")
