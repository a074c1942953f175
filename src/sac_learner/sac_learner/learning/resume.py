"""Takes up a run from its replay log: the transitions in order, and the bookkeeping of their numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sac_learner.learning import replay
from sac_learner.learning.intake import Intake
from sac_learner.learning.replay_log import Kind, Segment

Numbers = npt.NDArray[np.int64]
# Transitions that are read at once: 1 MB of Minitaur's.
_AT_ONCE = 1000


class ReplayTable(Protocol):
    """A replay memory, on the CPU or on a GPU."""

    def extend(self, rows: replay.Array) -> None:
        """Store many transitions, oldest first."""


def restore(segments: Iterable[Segment], intake: Intake) -> int:
    """Bring a fresh intake to what a log holds; returns the policy version of the newest transition."""
    newest_version = 0
    for segment in segments:
        records = segment.records
        stored = records["kind"] <= Kind.REPAIRED
        if stored.any():
            newest_version = int(records["policy_version"][stored][-1])
        _restore_numbers(segment.session_id, records, intake)
    return newest_version


def _tables(segments: Iterable[Segment]) -> Iterator[tuple[replay.Array, npt.NDArray[np.float64]]]:
    """The transitions of a log in its order, as rows [n, row_size] with robot times [s]; a few at a time, so that
    nothing but the replay memory takes much memory."""
    names = ("observation", "executed_action", "next_observation", "reward", "end_reason")
    for segment in segments:
        records = segment.records
        for begin in range(0, segment.count, _AT_ONCE):
            part = records[begin : begin + _AT_ONCE]
            part = part[part["kind"] <= Kind.REPAIRED]
            yield replay.rows(*(part[name] for name in names)), part["stamp_s"]


def fill(memory: ReplayTable, segments: Iterable[Segment], taken: int) -> tuple[deque[replay.Array], deque[float]]:
    """The first `taken` transitions of a log into the replay memory; the rows of the others, and their times [s]."""
    waiting, stamps_s = deque[replay.Array](), deque[float]()
    for rows, times_s in _tables(segments):
        now = max(0, min(taken, len(rows)))
        taken -= now
        memory.extend(rows[:now])
        waiting.extend(row.copy() for row in rows[now:])
        stamps_s.extend(times_s[now:].tolist())
    return waiting, stamps_s


def _restore_numbers(session_id: str, records: npt.NDArray[np.void], intake: Intake) -> None:
    kinds, first, span = records["kind"], records["sequence"].astype(np.int64), records["span"].astype(np.int64)
    stored = int((kinds <= Kind.REPAIRED).sum())
    lost, rejected = int(span[kinds == Kind.LOST].sum()), int((kinds == Kind.REJECTED).sum())
    intake.restore(session_id, merged(first, span), stored=stored, unstored=lost + rejected)
    counters = intake.counters
    counters.stored += stored
    counters.repaired += int((kinds == Kind.REPAIRED).sum())
    counters.lost += lost
    counters.rejected += rejected


def merged(first: Numbers, span: Numbers) -> list[tuple[int, int]]:
    """Ranges (inclusive, ascending) that cover first .. first+span-1 of every record, neighbours joined."""
    if not len(first):
        return []
    order = np.argsort(first, kind="stable")
    begin, end = first[order], (first + span)[order]
    starts = np.concatenate(([True], begin[1:] != end[:-1]))
    lasts = np.concatenate((starts[1:], [True]))
    return list(zip(begin[starts].tolist(), (end[lasts] - 1).tolist(), strict=True))
