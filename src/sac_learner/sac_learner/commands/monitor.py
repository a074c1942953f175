"""Listens to a running graph: learner status, episodes, safety state and diagnostics; what the progress shows."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sac_interfaces.msg import EpisodeSummary, LearnerStatus
from valve_task.machine_io import Phase

from rosac_common import qos
from sac_learner.commands.robot_link import RobotLink

# Episodes that the success rate and mean return of the display are taken over.
WINDOW = 50
# The task tells its phase once a second; own figure: 5 messages.
_PHASE_KNOWN_S = 5.0


class Monitor(RobotLink):
    """The operator's end of the graph, and all that a training shows beside."""

    def __init__(
        self, namespace: str, discovery: str, on_episode: Callable[[EpisodeSummary], None] | None = None
    ) -> None:
        super().__init__(namespace, discovery, name="rosac")
        self._on_episode = on_episode
        self._seen: set[tuple[str, int]] = set()
        self.status: LearnerStatus | None = None
        self._failed_in_a_row = 0  # statuses
        self.episodes: deque[EpisodeSummary] = deque(maxlen=WINDOW)
        self.episode_count = 0
        self.robot_time_s = 0.0
        self.missed_periods = 0
        self.steps = 0
        self.complaints: dict[str, str] = {}
        self._rested_s = -math.inf  # when the task last said that the robot rests
        node = self._node
        self._subscriptions = (
            node.create_subscription(LearnerStatus, "learner/status", self._status, qos.LATCHED),
            node.create_subscription(EpisodeSummary, "episode", self._episode, qos.EPISODES),
            node.create_subscription(DiagnosticArray, "diagnostics", self._diagnostics, qos.EVENTS),
        )

    @property
    def success_rate(self) -> float:
        """Share of successes over the last WINDOW episodes; NaN before the first."""
        return sum(e.success for e in self.episodes) / len(self.episodes) if self.episodes else float("nan")

    @property
    def mean_return(self) -> float:
        """Mean return over the last WINDOW episodes; NaN before the first."""
        return sum(e.episode_return for e in self.episodes) / len(self.episodes) if self.episodes else float("nan")

    @property
    def rests(self) -> bool:
        """Whether the robot lets its motors cool down. A task that says nothing any more does not rest."""
        return time.monotonic() - self._rested_s < _PHASE_KNOWN_S

    @property
    def learner_failure(self) -> str:
        """Why the learner lives on without learning, which it does until somebody ends it; empty: it does not. One that
        dies of an error says so once, as its last word, and goes on once it is started again."""
        return self.status.message if self.status is not None and self._failed_in_a_row > 1 else ""

    def _status(self, message: LearnerStatus) -> None:
        self.status = message
        self._failed_in_a_row = self._failed_in_a_row + 1 if message.phase == LearnerStatus.PHASE_FAILED else 0

    def _episode(self, message: EpisodeSummary) -> None:
        key = (message.session_id, message.episode)
        if key in self._seen:
            return
        self._seen.add(key)
        self.episodes.append(message)
        self.episode_count += 1
        self.missed_periods += message.missed_periods
        self.steps += message.steps
        self.robot_time_s += message.duration_s + message.reset_duration_s
        if self._on_episode:
            self._on_episode(message)

    def _diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            phases = [value.value for value in status.values if value.key == "phase"]
            if phases:
                self._rested_s = time.monotonic() if phases == [Phase.RESTING.value] else -math.inf
            if status.level == DiagnosticStatus.OK:
                self.complaints.pop(status.name, None)
            else:
                self.complaints[status.name] = status.message
