"""Transitions on their way to the learner: sent in order, kept for resending, held back while the learner is behind, or
until it is known that they hold what was measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from robot_bridge.backend import RobotState
from rosac_common.transition import Transition

from valve_task.confirmation import Confirmation
from valve_task.machine_io import LearnerView
from valve_task.replay_history import ReplayHistory

_ASK_AGAIN_S = 1.0


class TransitionSender:
    """Publishes transitions. With backpressure at most one waits until the learner's limit has grown; with a
    confirmation they wait for that, some tenths of a second at most.

    A learner that does not know this session yet gives it no limit. It gets the first transition, so that it learns of
    the session; one that was started later gets the newest transition once more, and asks for those before it.

    Args:
        history: keeps what was sent.
        publish: puts a transition on the replay topic.
        backpressure: whether the learner's limit counts.
        confirmation: of readings; None: they are right.
    """

    def __init__(
        self,
        history: ReplayHistory,
        publish: Callable[[Transition], None],
        backpressure: bool,
        confirmation: Confirmation | None = None,
    ) -> None:
        self._history, self._publish, self._backpressure = history, publish, backpressure
        self._confirmation = confirmation
        self._unconfirmed: deque[Transition] = deque()
        self.voided = 0  # transitions that were never sent, for what they hold was not measured
        self._waiting: Transition | None = None
        self._announced_s = float("-inf")
        self._session_id = ""
        self._learner: LearnerView | None = None

    @property
    def blocked(self) -> bool:
        """Whether a transition waits for the learner."""
        return self._waiting is not None

    def send(self, transition: Transition) -> None:
        """Publish a transition now, or keep it until the learner lets it pass.

        Raises:
            RuntimeError: one is waiting already; sending another would break the order.
        """
        if self._waiting is not None:
            raise RuntimeError(f"transition {transition.sequence} made while {self._waiting.sequence} still waits")
        if self._confirmation is not None:
            self._unconfirmed.append(transition)
            self._send_confirmed()
        elif self.admits(transition):
            self._pass(transition)
        else:
            self._waiting = transition

    def read(self, state: RobotState) -> None:
        """The joints show something: what waited for that is sent."""
        if self._confirmation is not None:
            self._confirmation.read(state)
            self._send_confirmed()

    @property
    def blind(self) -> bool:
        """Whether it has turned out that what waits was not measured, see `Confirmation`."""
        return self._confirmation is not None and self._confirmation.blind

    @property
    def stopped(self) -> bool:
        """Whether what waits does so for readings of a robot that was stopped."""
        return self._confirmation is not None and self._confirmation.stopped

    def robot_stopped(self) -> None:
        """From now until `void` nothing is confirmed by the time that passes."""
        if self._confirmation is not None:
            self._confirmation.stopped = True

    def void(self) -> int:
        """Forget what is not confirmed. Returns how many transitions that is; the next one takes the sequence number of
        the first of them."""
        if self._confirmation is not None:
            self._confirmation.stopped = False
        count = len(self._unconfirmed)
        self._unconfirmed.clear()
        self.voided += count
        return count

    def _send_confirmed(self) -> None:
        while self._unconfirmed and self._confirmation.counts(self._unconfirmed[0].stamp_s):
            self._pass(self._unconfirmed.popleft())

    def admits(self, transition: Transition) -> bool:
        """Whether a transition may be published at once."""
        self._session_id = transition.session_id
        return not self._backpressure or transition.sequence < self._limit()

    def learner_says(self, learner: LearnerView, now_s: float) -> None:
        """A new status of the learner: what waits may pass now."""
        self._learner = learner
        if self._waiting is None:
            return
        if self._waiting.sequence < self._limit():
            transition, self._waiting = self._waiting, None
            self._pass(transition)
        elif learner.session_id != self._session_id and now_s - self._announced_s >= _ASK_AGAIN_S:
            self._announced_s = now_s
            for newest in self._history.get(self._history.added - 1, self._history.added - 1):
                self._publish(newest)

    def _limit(self) -> int:
        if self._learner is None:
            return 0
        return self._learner.sequence_limit if self._learner.session_id == self._session_id else 1

    def _pass(self, transition: Transition) -> None:
        self._history.add(transition)
        self._publish(transition)
