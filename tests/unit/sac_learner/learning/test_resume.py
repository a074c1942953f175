"""What a log says of sequence numbers, to the number."""

import numpy as np
import pytest
from helpers.learning import ACTION_SIZE, OBSERVATION_SIZE, make_transition
from sac_learner.learning.intake import Intake, IntakeSettings, Verdict
from sac_learner.learning.replay_log import Kind, ReplayLog
from sac_learner.learning.resume import merged, restore


@pytest.mark.parametrize(
    ("first", "span", "expected"),
    [
        ([], [], []),
        ([0, 1, 2], [1, 1, 1], [(0, 2)]),
        ([0, 2], [1, 1], [(0, 0), (2, 2)]),  # one number is missing
        ([3, 0, 10], [1, 3, 5], [(0, 3), (10, 14)]),
        ([0, 5], [5, 1], [(0, 5)]),
    ],
)
def test_neighbours_are_joined_and_gaps_of_one_stay(first, span, expected):
    assert merged(np.array(first, dtype=np.int64), np.array(span, dtype=np.int64)) == expected


def test_everything_that_a_log_notes_counts(tmp_path):
    identity = {"task_name": "DClawTest", "observation_size": OBSERVATION_SIZE, "action_size": ACTION_SIZE}
    log = ReplayLog(tmp_path, **identity, sync_period_s=0.0)
    for sequence, kind in ((0, Kind.RECEIVED), (1, Kind.RECEIVED), (4, Kind.RECEIVED), (3, Kind.REPAIRED)):
        log.append(make_transition(sequence), kind)
    log.append_gap("a", 5, 3, Kind.LOST)
    log.append_gap("a", 8, 1, Kind.REJECTED)
    log.close()
    intake = Intake(IntakeSettings(), OBSERVATION_SIZE, ACTION_SIZE)
    restore(ReplayLog(tmp_path, **identity, sync_period_s=0.0).segments, intake)
    session, counters = intake.sessions["a"], intake.counters
    assert session.missing == [(2, 2)], "a single loss is not forgotten"
    assert (session.stored, session.unstored, session.next_sequence) == (4, 3 + 1, 9)
    assert (counters.stored, counters.repaired, counters.lost, counters.rejected) == (4, 1, 3, 1)
    assert intake.offer(make_transition(2)) is Verdict.REPAIRED
