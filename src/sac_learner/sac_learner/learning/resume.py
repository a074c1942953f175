"""Takes up a run from its replay log: the transitions in order, and the bookkeeping of their numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sac_learner.learning import replay
from sac_learner.learning.intake import Intake
from sac_learner.learning.replay_log import Kind, Segment

Numbers = npt.NDArray[np.int64]


def restore(segments: Iterable[Segment], intake: Intake) -> tuple[list[replay.Array], int]:
    """Bring a fresh intake to what a log holds.

    Returns:
        Tables of rows of the replay memory, in the order of the log, and the policy version of the newest transition.
    """
    tables, newest_version = [], 0
    for segment in segments:
        records = segment.records
        stored = records[records["kind"] <= Kind.REPAIRED]
        if len(stored):
            columns = (
                stored[name] for name in ("observation", "executed_action", "next_observation", "reward", "end_reason")
            )
            tables.append(replay.rows(*columns))
            newest_version = int(stored["policy_version"][-1])
        _restore_numbers(segment.session_id, records, intake)
    return tables, newest_version


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
