import dataclasses

import numpy as np
import pytest
from rosac_common.transition import EndReason, Source, Transition
from valve_task.replay_history import ReplayHistory


def transition(sequence):
    rng = np.random.default_rng(sequence)
    vector = lambda size: rng.normal(size=size).astype(np.float32)  # noqa: E731
    return Transition(
        "session", sequence, 3, sequence % 80, 2**40, Source.HUMAN, EndReason.STALE_SENSOR,
        vector(21), vector(9), vector(9), float(rng.normal()), vector(21), vector(1), 1.7e9 + sequence, 0.001,
    )  # fmt: skip


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(dataclasses.astuple(a), dataclasses.astuple(b), strict=True))


def test_what_comes_out_equals_what_went_in():
    history = ReplayHistory(100, 21, 9, 1)
    for sequence in range(10):
        history.add(transition(sequence))
    out = list(history.get(2, 5))
    assert [one.sequence for one in out] == [2, 3, 4, 5]
    assert all(same(one, transition(one.sequence)) for one in out)
    assert isinstance(out[0].source, Source)
    assert isinstance(out[0].end_reason, EndReason)
    assert out[0].observation.dtype == np.float32


def test_the_oldest_are_forgotten():
    history = ReplayHistory(4, 21, 9, 1)
    for sequence in range(10):
        history.add(transition(sequence))
    assert (history.first_available, history.added) == (6, 10)
    assert [one.sequence for one in history.get(0, 100)] == [6, 7, 8, 9]
    assert same(next(history.get(7, 7)), transition(7))


def test_nothing_is_overwritten_while_it_is_sent_again():
    history = ReplayHistory(4, 21, 9, 1)
    for sequence in range(4):
        history.add(transition(sequence))
    resend = history.get(0, 3)
    assert next(resend).sequence == 0
    history.add(transition(4))
    history.add(transition(5))  # 1 is gone now
    assert [one.sequence for one in resend] == [2, 3]


def test_an_empty_history():
    history = ReplayHistory(4, 21, 9, 1)
    assert (history.first_available, list(history.get(0, 9))) == (0, [])
    assert list(history.get(-1, -1)) == []


def test_a_gap_is_refused():
    history = ReplayHistory(4, 21, 9, 1)
    with pytest.raises(ValueError, match="transition 1 added to a history that expects 0"):
        history.add(transition(1))
