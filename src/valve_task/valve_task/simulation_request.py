"""A service of the simulated bridge that the task asks for something, one request at a time."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger


class SimulationRequest:
    """Args:
    node: asks.
    name: of the service, a Trigger.
    on_answer: takes success and message.
    """

    def __init__(self, node: Node, name: str, on_answer: Callable[[bool, str], None]) -> None:
        self._client = node.create_client(Trigger, name)
        self._on_answer = on_answer
        self._asked: Future | None = None

    def ask(self) -> bool:
        """Ask; a request that was not answered yet no longer counts. False: nobody offers that service."""
        if not self._client.service_is_ready():
            return False
        if self._asked is not None:
            self._client.remove_pending_request(self._asked)
        self._asked = self._client.call_async(Trigger.Request())
        self._asked.add_done_callback(self._on_done)
        return True

    def _on_done(self, future: Future) -> None:
        self._asked = None
        response = future.result()
        if response is not None:
            self._on_answer(response.success, response.message)
