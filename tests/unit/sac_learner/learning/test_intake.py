import random

import numpy as np
import pytest
from helpers.learning import ACTION_SIZE, OBSERVATION_SIZE, make_transition
from hypothesis import given, settings
from hypothesis import strategies as st
from sac_learner.learning.intake import Intake, IntakeSettings, Range, Session, Verdict

STORED = (Verdict.ACCEPTED, Verdict.REPAIRED)
TRANSITIONS = [make_transition(i) for i in range(40)]


def make_intake(**changes):
    return Intake(
        IntakeSettings(**{"resend_period_s": 1.0, "resend_chunk": 7, **changes}), OBSERVATION_SIZE, ACTION_SIZE
    )


@settings(max_examples=150)
@given(
    count=st.integers(1, 40),
    arriving=st.lists(st.integers(0, 39), max_size=80),
    network=st.integers(0, 2**32).map(random.Random),
)
def test_any_pattern_of_loss_duplicates_and_order_ends_with_each_stored_once(count, arriving, network):
    """A task that keeps everything, a network that loses, repeats and reorders, until nothing is missing."""
    # The last one comes: the loss of a tail leaves no gap and is the probe's business.
    arriving = [n for n in arriving if n < count] + [count - 1]
    intake, stored, now_s = make_intake(), [], 0.0
    for round_number in range(200):
        stored += [n for n in arriving if intake.offer(TRANSITIONS[n]) in STORED]
        if not intake.has_gaps:
            break
        lossy = round_number < 20
        now_s += network.choice([0.0, 0.4, 1.1]) if lossy else 1.1
        arriving = []
        for request in intake.requests(now_s):
            assert request.span <= 7
            assert request.last < count
            wanted = list(range(request.first, request.last + 1))
            assert not set(wanted) & set(stored)
            arriving += [n for n in wanted if not lossy or network.random() < 0.5]
    assert sorted(stored) == list(range(count))
    session = intake.sessions["a"]
    assert session.received_count == session.next_sequence == count
    assert (intake.counters.stored, intake.counters.lost, session.unstored) == (count, 0, 0)


@settings(max_examples=100)
@given(numbers=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=25))
def test_session_keeps_the_same_books_as_a_set(numbers):
    session, settled = Session("a"), set()
    for first, extra in numbers:
        fresh = {n for low, high in session.settle(first, first + extra) for n in range(low, high + 1)}
        wanted = set(range(first, first + extra + 1))
        assert fresh == wanted - settled
        settled |= wanted
        top = max(settled) + 1
        missing = {n for low, high in session.missing for n in range(low, high + 1)}
        assert missing == set(range(top)) - settled
        assert session.next_sequence == top
        assert session.received_count == min(set(range(top + 1)) - settled)


def test_gap_is_asked_for_at_once_and_again_after_the_period():
    intake = make_intake()
    intake.offer(TRANSITIONS[0])
    assert intake.requests(0.0) == []
    intake.offer(TRANSITIONS[3])
    assert intake.requests(0.1) == [Range("a", 1, 2)]
    assert intake.requests(0.5) == []
    assert intake.requests(1.2) == [Range("a", 1, 2)]
    intake.offer(TRANSITIONS[1])
    assert intake.requests(1.3) == []  # 2 is still under way
    assert intake.requests(2.4) == [Range("a", 2, 2)]  # nothing has come for the period
    assert intake.offer(TRANSITIONS[2]) is Verdict.REPAIRED
    assert not intake.has_gaps
    assert intake.counters.repaired == 2


def test_next_gap_is_asked_for_as_soon_as_the_first_is_filled():
    intake = make_intake()
    for i in (1, 3):
        intake.offer(TRANSITIONS[i])
    assert intake.requests(0.0) == [Range("a", 0, 0)]
    intake.offer(TRANSITIONS[0])
    assert intake.requests(0.01) == [Range("a", 2, 2)]


def test_large_gap_is_asked_for_in_chunks():
    intake = make_intake()
    intake.offer(TRANSITIONS[20])
    assert intake.requests(0.0) == [Range("a", 0, 6)]
    for i in range(7):
        assert intake.requests(0.0) == []
        intake.offer(TRANSITIONS[i])
    assert intake.requests(0.0) == [Range("a", 7, 13)]


def test_a_task_that_sends_slowly_is_not_asked_again_while_it_sends():
    """1000 transitions of which one comes every 20 ms take much longer than the period."""
    intake, asked = make_intake(resend_period_s=0.5, resend_chunk=1000), []
    intake.offer(make_transition(2000))
    for i in range(1000):
        now_s = 0.02 * i
        asked += intake.requests(now_s)
        assert intake.offer(make_transition(i)) is Verdict.REPAIRED
    assert asked == [Range("a", 0, 999)]
    assert intake.requests(20.0) == [Range("a", 1000, 1999)]
    assert intake.requests(20.4) == []
    assert intake.requests(20.6) == [Range("a", 1000, 1999)], "it has fallen silent"


def test_the_session_that_lives_is_the_current_one_whatever_was_noted_last():
    """The log may end with the note that something of an earlier session is lost; the task repeats its newest."""
    intake = make_intake()
    intake.restore("old", [(0, 4)], stored=5, unstored=0)
    intake.restore("new", [(0, 9)], stored=10, unstored=0)
    intake.restore("old", [(5, 5)], stored=0, unstored=1)
    assert intake.current.session_id == "new"
    intake = make_intake()
    intake.restore("new", [(0, 9)], stored=10, unstored=0)
    intake.restore("old", [(0, 4)], stored=5, unstored=0)
    assert intake.offer(make_transition(9, "new")) is Verdict.DUPLICATE
    assert intake.current.session_id == "new"


def test_what_the_task_no_longer_has_is_lost_for_good_and_counted():
    intake = make_intake()
    intake.offer(TRANSITIONS[10])
    intake.offer(TRANSITIONS[4])
    assert intake.give_up("a", 0, 6) == [Range("a", 0, 3), Range("a", 5, 6)]
    session = intake.sessions["a"]
    assert (intake.counters.lost, session.unstored, session.received_count) == (6, 6, 7)
    assert intake.give_up("a", 0, 6) == []
    assert intake.give_up("unknown", 0, 6) == []
    # Numbers that nobody has seen cannot be lost.
    assert intake.give_up("a", 0, 10**9) == [Range("a", 7, 9)]
    assert intake.offer(TRANSITIONS[2]) is Verdict.DUPLICATE
    assert intake.sessions["a"].next_sequence == 11


def test_unusable_transitions_are_refused_counted_and_not_asked_for_again():
    intake = make_intake()
    nan = np.full(OBSERVATION_SIZE, np.nan, np.float32)
    bad = {
        "observation has 4 values": {"observation": np.zeros(4, np.float32)},
        "executed_action has 3 values": {"executed_action": np.zeros(3, np.float32)},
        "next_observation has a value that is not finite": {"next_observation": nan},
        "reward is inf": {"reward": float("inf")},
    }
    for sequence, (problem, changes) in enumerate(bad.items()):
        assert intake.offer(make_transition(sequence, **changes)) is Verdict.REJECTED
        assert problem in intake.last_problem
        assert f"transition {sequence} of session 'a'" in intake.last_problem
    assert intake.refuse("a", 4, "99 is not a valid EndReason") is Verdict.REJECTED
    assert intake.refuse("a", 4, "99 is not a valid EndReason") is Verdict.DUPLICATE
    assert (intake.counters.rejected, intake.counters.duplicate, intake.counters.stored) == (5, 1, 0)
    assert (intake.sessions["a"].received_count, intake.sessions["a"].unstored) == (5, 5)
    assert intake.requests(0.0) == []


def test_implausible_sequence_number_is_refused_and_changes_nothing():
    intake = make_intake(max_jump=100)
    intake.offer(TRANSITIONS[0])
    assert intake.offer(make_transition(102)) is Verdict.IMPLAUSIBLE
    assert "101 beyond" in intake.last_problem
    assert (intake.counters.rejected, intake.sessions["a"].next_sequence) == (1, 1)
    assert intake.offer(make_transition(101)) is Verdict.ACCEPTED


def test_sessions_are_separate_and_the_newest_is_the_current_one():
    intake = make_intake()
    intake.offer(make_transition(0, "a"))
    intake.offer(make_transition(2, "a"))
    intake.offer(make_transition(0, "b"))
    assert intake.current.session_id == "b"
    assert intake.requests(0.0) == [Range("a", 1, 1)]
    intake.offer(make_transition(1, "a"))
    assert intake.current.session_id == "b"  # a repaired transition of an old session is no new session
    assert intake.probe() == Range("b", 1, 7)
    assert make_intake().probe() is None


def test_restored_numbers_are_not_stored_twice():
    intake = make_intake()
    intake.restore("a", [(0, 4), (8, 9)], stored=6, unstored=1)
    for i in range(5):
        assert intake.offer(TRANSITIONS[i]) is Verdict.DUPLICATE
    assert intake.requests(0.0) == [Range("a", 5, 7)]
    assert intake.offer(TRANSITIONS[6]) is Verdict.REPAIRED
    assert intake.sessions["a"].stored == 7


@pytest.mark.parametrize("sequence", [0, 5])
def test_first_transition_may_have_any_number(sequence):
    intake = make_intake()
    assert intake.offer(TRANSITIONS[sequence]) is Verdict.ACCEPTED
    assert intake.has_gaps == (sequence > 0)
