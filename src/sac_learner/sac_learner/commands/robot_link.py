"""The operator's end of one robot's graph: its safety state, what its task asks for, the stop, and the services."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosac_common.one_bridge import is_claimed
from sac_interfaces.msg import SafetyState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from rosac_common import qos
from sac_learner.graph.dds import dds_environment

_SAFETY_TYPE = "sac_interfaces/msg/SafetyState"
# Other nodes' arrival wakes no executor: this often is looked whether they are there.
_LOOK_S = 0.01


class RobotLink:
    """A node of a context of its own that keeps the newest of everything. Only `press` may be called from a thread."""

    def __init__(
        self, namespace: str, discovery: str, name: str = "rosac_operator", services: Sequence[str] = ()
    ) -> None:
        """Args:
        namespace: of the robot's nodes, as the launch argument.
        discovery: `localhost` or `subnet`, as the launch argument. For the whole process: Fast DDS takes its settings
            from the environment, when the first node is made.
        name: of this node.
        services: what `call` may ask for: of safety/reset, safety/arm and operator/done.
        """
        self.namespace = namespace.strip("/")
        os.environ.update(dds_environment(discovery))
        self._context = rclpy.Context()
        self._context.init(args=[])  # the arguments of this process are no ROS ones
        # Nobody sets its parameters or reads its log: without them it is found sooner.
        self._node = Node(
            name,
            namespace=self.namespace,
            context=self._context,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.safety: SafetyState | None = None
        self.safety_count = 0  # messages heard
        self.safety_s = 0.0  # when the newest was heard, on the steady clock
        self.request = ""  # what the task asks of the operator; empty: nothing
        self.request_count = 0  # messages heard, the empty ones, too
        # Before the subscriptions: DDS tells of them in this order, so whoever sends us a state knows where answers go.
        self._services = {service: self._node.create_client(Trigger, service) for service in services}
        self._stop = self._node.create_publisher(Bool, "safety/stop", qos.EVENTS)
        self._robot = (
            self._node.create_subscription(SafetyState, "safety/state", self._on_safety, qos.LATCHED),
            self._node.create_subscription(String, "operator/request", self._on_request, qos.LATCHED),
        )

    def spin(self, duration_s: float) -> None:
        """Take what arrives within this time [s]."""
        end_s = time.monotonic() + duration_s
        while (left_s := end_s - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=left_s)

    def spin_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Take what arrives until the condition holds; returns whether it does within that time [s]."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end_s:
                return False
            self._executor.spin_once(timeout_sec=_LOOK_S)
        return True

    @property
    def is_heard(self) -> bool:
        """Whether a bridge listens to the stop."""
        return self._stop.get_subscription_count() > 0

    @property
    def has_bridge(self) -> bool:
        """Whether a bridge is in this namespace; at once for one on this computer, others have to be found."""
        claimed = is_claimed(self._context.get_domain_id(), self.namespace)
        return claimed or self._node.count_publishers("safety/state") > 0

    @property
    def has_task(self) -> bool:
        """Whether a task is there that may ask for something."""
        return self._node.count_publishers("operator/request") > 0

    def press(self, pressed: bool) -> None:
        """Publish safety/stop: true stops the robot, false takes that back."""
        self._stop.publish(Bool(data=pressed))

    def call(self, service: str, timeout_s: float) -> Trigger.Response | None:
        """Ask for one of `services`, once; None when nobody is there within this time [s].

        A node may offer a service before it knows of this client: Fast DDS then waits for 0.1 s and drops the answer
        ("client will not receive response"). So it is not asked before its latched state has come.

        Raises:
            TimeoutError: somebody offers it and did not answer within this time.
        """
        client = self._services[service]

        def is_there() -> bool:
            heard = self.request_count if service.startswith("operator") else self.safety_count
            return heard > 0 and client.service_is_ready()

        if not self.spin_until(is_there, timeout_s):
            return None
        future = client.call_async(Trigger.Request())
        if not self.spin_until(future.done, timeout_s):
            raise TimeoutError(f"{service} did not answer within {timeout_s:g} s: look at the log of the node")
        return future.result()

    def robots(self) -> list[str]:
        """Namespaces in which a bridge speaks."""
        end = "safety/state"
        topics = self._node.get_topic_names_and_types()
        found = {name.removesuffix(end) for name, types in topics if name.endswith(end) and _SAFETY_TYPE in types}
        own = self._node.resolve_topic_name(end).removesuffix(end)
        return sorted(name.rstrip("/") or "/" for name in found - {own})

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def __enter__(self) -> RobotLink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _on_safety(self, message: SafetyState) -> None:
        self.safety, self.safety_s = message, time.monotonic()
        self.safety_count += 1

    def _on_request(self, message: String) -> None:
        self.request = message.data
        self.request_count += 1
