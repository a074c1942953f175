"""Bookkeeping of sequence numbers: every transition of a session is stored once, and each missing one is accounted for.

Pure: transitions, times and answers come in as arguments; what to ask for again comes out.
"""

from __future__ import annotations

import bisect
import dataclasses
import enum
import math
from collections.abc import Iterable

from rosac_common.settings import setting
from rosac_common.transition import Transition


@dataclasses.dataclass(frozen=True)
class IntakeSettings:
    """How missing transitions are asked for again."""

    resend_period_s: float = setting(
        0.5,
        "A missing transition is asked for again when it has not come after this time [s]. Source: own choice, 250 "
        "times the 2 ms that a message takes between two processes.",
        minimum=0.001,
        maximum=600.0,
    )
    resend_chunk: int = setting(
        1000,
        "Transitions asked for in one call. Source: own choice, a fifth of the depth of the replay topic.",
        minimum=1,
        maximum=1_000_000,
    )
    max_jump: int = setting(
        10_000_000,
        "A sequence number further than this beyond the expected one is refused as nonsense. Source: own choice, 55 "
        "hours at 50 Hz.",
        minimum=1,
    )


class Verdict(enum.Enum):
    """What became of a transition that was offered."""

    ACCEPTED = enum.auto()  # store it
    REPAIRED = enum.auto()  # store it: it had been missing
    DUPLICATE = enum.auto()  # stored before: drop it
    REJECTED = enum.auto()  # unusable; its sequence number counts as settled
    IMPLAUSIBLE = enum.auto()  # the sequence number itself is nonsense; nothing is settled


@dataclasses.dataclass(frozen=True)
class Range:
    """Sequence numbers first .. last (inclusive) of a session."""

    session_id: str
    first: int
    last: int

    @property
    def span(self) -> int:
        """How many numbers it covers."""
        return self.last - self.first + 1


@dataclasses.dataclass
class Counters:
    """Transitions over all sessions, as in LearnerStatus.msg."""

    stored: int = 0
    lost: int = 0
    repaired: int = 0
    duplicate: int = 0
    rejected: int = 0


class Session:
    """The sequence numbers of one life of the task: which are settled (stored, lost or refused), which are missing."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.next_sequence = 0  # one above the highest that is known
        self.stored = 0
        self.unstored = 0  # settled without being stored: lost or refused
        self._missing: list[tuple[int, int]] = []  # disjoint, ascending, inclusive
        # The latest request: what it asked for, and when it was made or something of it came last.
        self._asked_first, self._asked_last, self._asked_s = -1, -1, -math.inf

    @property
    def received_count(self) -> int:
        """Numbers 0 .. received_count-1 are settled."""
        return self._missing[0][0] if self._missing else self.next_sequence

    @property
    def missing(self) -> list[tuple[int, int]]:
        """The gaps, inclusive, ascending."""
        return list(self._missing)

    def settle(self, first: int, last: int) -> list[tuple[int, int]]:
        """Mark numbers first .. last as settled; returns the part of them that was not settled before."""
        fresh: list[tuple[int, int]] = []
        if first < self.next_sequence:
            fresh = self._take_missing(first, min(last, self.next_sequence - 1))
        elif first > self.next_sequence:
            self._missing.append((self.next_sequence, first - 1))
        if last >= self.next_sequence:
            fresh.append((max(first, self.next_sequence), last))
            self.next_sequence = last + 1
        return fresh

    def _take_missing(self, first: int, last: int) -> list[tuple[int, int]]:
        start = bisect.bisect_left(self._missing, first, key=lambda gap: gap[1])
        stop = bisect.bisect_right(self._missing, last, key=lambda gap: gap[0])
        taken, kept = [], []
        for low, high in self._missing[start:stop]:
            taken.append((max(low, first), min(high, last)))
            kept += [(low, first - 1)] if low < first else []
            kept += [(last + 1, high)] if high > last else []
        self._missing[start:stop] = kept
        return taken

    def due(self, now_s: float, period_s: float, chunk: int) -> Range | None:
        """The first gap, at most a chunk of it, unless it has been asked for and something of it came within the
        period: a slow task must not be asked for more and more.

        One request at a time: the next gap's turn comes when this one is filled or given up.
        """
        if not self._missing:
            return None
        first, last = self._missing[0]
        if self._asked_first < first <= self._asked_last:
            self._asked_first, self._asked_s = first, now_s
        if first <= self._asked_last and now_s - self._asked_s < period_s:
            return None
        self._asked_first, self._asked_last, self._asked_s = first, min(last, first + chunk - 1), now_s
        return Range(self.session_id, first, self._asked_last)


class Intake:
    """Judges every transition offered to the learner and keeps the counters."""

    def __init__(self, settings: IntakeSettings, observation_size: int, action_size: int) -> None:
        self._settings = settings
        self._sizes = (observation_size, action_size)
        self.counters = Counters()
        self.sessions: dict[str, Session] = {}
        self.current: Session | None = None  # of the newest transition
        self.last_problem = ""  # why the latest refused transition was refused

    def offer(self, transition: Transition) -> Verdict:
        """Judge one transition and count it. Store it if the verdict is ACCEPTED or REPAIRED."""
        session = self._session(transition.session_id)
        repaired = transition.sequence < session.next_sequence
        verdict = self._settle(session, transition.sequence)
        if verdict is not Verdict.ACCEPTED:
            return verdict
        problem = transition.problem(*self._sizes)
        if problem:
            return self._refuse(session, transition.sequence, problem)
        self.counters.stored += 1
        session.stored += 1
        if repaired:
            self.counters.repaired += 1
            return Verdict.REPAIRED
        self.current = session
        return Verdict.ACCEPTED

    def refuse(self, session_id: str, sequence: int, problem: str) -> Verdict:
        """Settle and count a transition that cannot even be read as one."""
        session = self._session(session_id)
        verdict = self._settle(session, sequence)
        return self._refuse(session, sequence, problem) if verdict is Verdict.ACCEPTED else verdict

    def _settle(self, session: Session, sequence: int) -> Verdict:
        ahead = sequence - session.next_sequence
        if ahead > self._settings.max_jump:
            self.counters.rejected += 1
            self.last_problem = (
                f"sequence number {sequence} of session '{session.session_id}' is {ahead} beyond the expected one, "
                f"more than intake.max_jump ({self._settings.max_jump})"
            )
            return Verdict.IMPLAUSIBLE
        if not session.settle(sequence, sequence):
            self.counters.duplicate += 1
            if sequence == session.next_sequence - 1:  # a task that waits repeats its newest: it is the one that lives
                self.current = session
            return Verdict.DUPLICATE
        return Verdict.ACCEPTED

    def _refuse(self, session: Session, sequence: int, problem: str) -> Verdict:
        session.unstored += 1
        self.counters.rejected += 1
        self.last_problem = f"transition {sequence} of session '{session.session_id}' refused: {problem}"
        return Verdict.REJECTED

    def requests(self, now_s: float) -> list[Range]:
        """Ranges to ask the task for again now: at most one a session and resend period, or when it is filled."""
        due = (
            session.due(now_s, self._settings.resend_period_s, self._settings.resend_chunk)
            for session in self.sessions.values()
        )
        return [request for request in due if request is not None]

    @property
    def has_gaps(self) -> bool:
        """Whether any transition is known to be missing."""
        return any(session.received_count < session.next_sequence for session in self.sessions.values())

    def probe(self) -> Range | None:
        """What to ask for when nothing comes: whatever lies beyond the highest known number of the current session.

        The loss of the last transitions before a wait leaves no gap behind.
        """
        if self.current is None:
            return None
        first = self.current.next_sequence
        return Range(self.current.session_id, first, first + self._settings.resend_chunk - 1)

    def give_up(self, session_id: str, first: int, last: int) -> list[Range]:
        """Count what is still missing of first .. last as lost for good; returns those ranges."""
        session = self.sessions.get(session_id)
        if session is None:
            return []
        lost = [Range(session_id, *gap) for gap in session.settle(first, min(last, session.next_sequence - 1))]
        count = sum(gap.span for gap in lost)
        session.unstored += count
        self.counters.lost += count
        return lost

    def restore(self, session_id: str, settled: Iterable[tuple[int, int]], *, stored: int, unstored: int) -> None:
        """Take up what a log holds of a session: settled ranges (inclusive) and how many of those are stored or not.

        Parts of sessions are restored in the order in which they came; the last with anything stored is the current
        one, as what was lost is noted long after the session.
        """
        session = self._session(session_id)
        for first, last in settled:
            session.settle(first, last)
        session.stored += stored
        session.unstored += unstored
        self.current = session if stored else self.current

    def _session(self, session_id: str) -> Session:
        session = self.sessions.get(session_id)
        if session is None:
            session = self.sessions[session_id] = Session(session_id)
            self.current = self.current or session
        return session
