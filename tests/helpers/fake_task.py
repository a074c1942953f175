"""The task's side of the replay topic, for tests of the learner: a lockstep task over a network that one can spoil."""

from __future__ import annotations

import time

from rclpy.node import Node
from rosac_common.messages import transition_to_message
from sac_interfaces.msg import LearnerStatus, PolicyWeights, Transition
from sac_interfaces.srv import ResendTransitions

from helpers.learning import make_transition
from helpers.patience import PATIENCE_S
from helpers.ros import spin_until
from rosac_common import qos


class FakeTask:
    """Publishes numbered transitions up to the learner's limit and sends them again on request."""

    def __init__(self, node: Node, session_id: str = "a") -> None:
        self.node, self.session_id = node, session_id
        self.made = 0  # transitions 0 .. made-1 exist
        self.first_available = 0
        self.lose: set[int] = set()  # not sent the first time
        self.asked: list[tuple[int, int]] = []
        self.status: LearnerStatus | None = None
        self.policies: list[PolicyWeights] = []
        self._publisher = node.create_publisher(Transition, "replay", qos.REPLAY)
        self._parts = (
            node.create_service(ResendTransitions, "replay/resend", self._resend),
            node.create_subscription(LearnerStatus, "learner/status", self._on_status, qos.LATCHED),
            node.create_subscription(PolicyWeights, "policy", self.policies.append, qos.LATCHED),
        )

    def _on_status(self, message: LearnerStatus) -> None:
        self.status = message

    def connect(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait for a learner that speaks and listens."""
        self.status = None
        self.until(
            lambda: self.status is not None and self._publisher.get_subscription_count() > 0, "the learner", timeout_s
        )

    def until(self, predicate, what: str, timeout_s: float = PATIENCE_S) -> None:
        """Spin until the predicate holds."""
        spin_until(self.node, predicate, timeout_s, what)

    def until_stored(self, count: int, timeout_s: float = PATIENCE_S) -> LearnerStatus:
        """Wait until the learner says that this many transitions of this session are settled, without a gap."""
        self.until(
            lambda: self.status.session_id == self.session_id and self.status.received_count >= count,
            f"{count} transitions settled",
            timeout_s,
        )
        return self.status

    def publish(self, *numbers: int) -> None:
        """Send transitions as they are, whatever the limit."""
        for number in numbers:
            self._publisher.publish(transition_to_message(make_transition(number, self.session_id)))

    def publish_message(self, message: Transition) -> None:
        """Send any message."""
        self._publisher.publish(message)

    def run_to(self, count: int, timeout_s: float = 2 * PATIENCE_S) -> None:
        """Make transitions in lockstep until there are `count`; those in `lose` are not sent.

        A learner that does not know the session gets the newest transition again and again, as from the real task.
        """
        end, announced = time.monotonic() + timeout_s, 0.0
        while self.made < count:
            assert time.monotonic() < end, f"stuck at {self.made}: {self.status}"
            known = self.status.session_id == self.session_id
            if self.made and not known and time.monotonic() - announced > 0.5:
                announced = time.monotonic()
                self.publish(self.made - 1)
            if self.made < (self.status.sequence_limit if known else 1):
                if self.made not in self.lose:
                    self.publish(self.made)
                self.made += 1
                self.node.executor.spin_once(timeout_sec=0)
            else:
                self.node.executor.spin_once(timeout_sec=0.1)

    def _resend(
        self, request: ResendTransitions.Request, response: ResendTransitions.Response
    ) -> ResendTransitions.Response:
        response.accepted = request.session_id == self.session_id
        response.first_available = self.first_available
        if response.accepted:
            self.asked.append((request.first, request.last))
            self.publish(*range(max(request.first, self.first_available), min(request.last + 1, self.made)))
        else:
            response.message = f"unknown session '{request.session_id}'"
        return response
