"""Asks the task for lost transitions again, one call at a time, never waiting for an answer."""

from __future__ import annotations

import math

from rclpy.node import Node
from rclpy.task import Future
from sac_interfaces.srv import ResendTransitions

from sac_learner.learning.intake import Range
from sac_learner.learning.trainer import Trainer

# Nothing came for this long: ask whether there is something, in case the last transitions before a wait were lost.
_SILENCE_S = 2.0
# An answer that takes this long is not waited for any more: the task may have been restarted.
_ANSWER_TIMEOUT_S = 2.0


class ResendClient:
    """Client of the task's service replay/resend."""

    def __init__(self, node: Node, trainer: Trainer) -> None:
        self._logger = node.get_logger()
        self._trainer = trainer
        self._client = node.create_client(ResendTransitions, "replay/resend")
        self._call: Future | None = None
        self._call_s = self._heard_s = -math.inf

    def heard(self, now_s: float) -> None:
        """A transition has come."""
        self._heard_s = now_s

    def ask(self, now_s: float) -> None:
        """Send the next request, if there is something to ask for and no call is under way."""
        if self._call is not None:
            if now_s - self._call_s < _ANSWER_TIMEOUT_S:
                return
            self._client.remove_pending_request(self._call)
            self._call = None
        intake = self._trainer.intake
        silent = now_s - max(self._heard_s, self._call_s) >= _SILENCE_S and not self._trainer.finished
        if not (silent or intake.has_gaps):
            self._trainer.problems.pop("resend", None)
            return
        if not self._client.service_is_ready():
            if intake.has_gaps:
                self._trainer.problems["resend"] = (
                    "transitions are missing and the task's service replay/resend is not there: start the task"
                )
            return
        self._trainer.problems.pop("resend", None)
        request = next(iter(intake.requests(now_s)), None) or (intake.probe() if silent else None)
        if request is not None:
            self._send(request, now_s)

    def _send(self, wanted: Range, now_s: float) -> None:
        request = ResendTransitions.Request(session_id=wanted.session_id, first=wanted.first, last=wanted.last)
        self._call, self._call_s = self._client.call_async(request), now_s
        self._call.add_done_callback(lambda future: self._answered(wanted, future))

    def _answered(self, wanted: Range, future: Future) -> None:
        if future is not self._call:
            return
        self._call = None
        answer = future.result()
        last = min(wanted.last, answer.first_available - 1) if answer.accepted else wanted.last
        lost = self._trainer.give_up(wanted.session_id, wanted.first, last)
        if lost:
            reason = answer.message or f"the task keeps them from number {answer.first_available} on"
            self._logger.warning(
                f"{lost} transitions of session '{wanted.session_id}' between {wanted.first} and {last} are lost for "
                f"good: {reason}"
            )
