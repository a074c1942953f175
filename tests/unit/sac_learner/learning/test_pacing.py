import pytest
from hypothesis import given
from hypothesis import strategies as st
from sac_learner.learning.pacing import Pacer, PacingSettings


def make_pacer(updates_per_step=1.0, band_steps=4, start_steps=10, total_steps=0):
    settings = PacingSettings(updates_per_step=updates_per_step, band_steps=band_steps)
    return Pacer(settings, start_steps=start_steps, total_steps=total_steps)


@given(
    arrivals=st.lists(st.integers(0, 15), max_size=60),
    speed=st.integers(0, 8),
    updates_per_step=st.sampled_from([0.25, 0.5, 1.0, 4.0]),
    band_steps=st.integers(1, 12),
)
def test_updates_are_never_ahead_and_transitions_wait_at_most_a_band(arrivals, speed, updates_per_step, band_steps):
    """A robot that does not wait, and a learner that does `speed` steps between arrivals."""
    pacer, waiting = make_pacer(updates_per_step, band_steps), 0
    for arrived in arrivals:
        waiting += arrived
        for _ in range(max(1, speed)):
            taken = pacer.to_take(waiting)
            pacer.taken += taken
            waiting -= taken
            assert waiting <= band_steps
            if pacer.may_update():
                pacer.updates += 1
            assert pacer.updates <= updates_per_step * max(0, pacer.taken - 10)
    for _ in range(10_000):
        taken = pacer.to_take(waiting)
        pacer.taken, waiting = pacer.taken + taken, waiting - taken
        if pacer.may_update():
            pacer.updates += 1
        elif not taken:
            break
    assert pacer.taken == sum(arrivals)
    assert pacer.updates == int(updates_per_step * max(0, pacer.taken - 10))


@given(
    band_steps=st.integers(1, 12),
    total_steps=st.integers(1, 80),
    before=st.integers(0, 20),
    schedule=st.lists(st.booleans(), max_size=500),
)
def test_lockstep_task_stays_within_the_band_and_ends_exactly(band_steps, total_steps, before, schedule):
    """The task publishes while the limit allows; who is scheduled when makes no difference to the end."""
    pacer = make_pacer(band_steps=band_steps, start_steps=3, total_steps=total_steps + before)
    pacer.taken = before
    pacer.updates = pacer.updates_due
    published = order = 0
    turns = iter([*schedule, *[True, False] * 400])
    for task_turn in turns:
        waiting = before + published - pacer.taken
        if task_turn and published < pacer.sequence_limit(before_session=before, unstored=0):
            published += 1
        elif not task_turn:
            taken = pacer.to_take(waiting)
            assert taken <= 1
            assert not (taken and pacer.may_update())
            pacer.taken += taken
            pacer.updates += pacer.may_update()
            order += taken
        assert before + published - pacer.taken <= band_steps
    assert published == total_steps
    assert pacer.finished
    assert pacer.updates == max(0, total_steps + before - 3)


def test_initial_steps_call_for_no_updates():
    pacer = make_pacer(updates_per_step=2.0)
    pacer.taken = 10
    assert not pacer.may_update()
    assert pacer.realised_ratio == 0.0
    pacer.taken = 12
    assert pacer.updates_due == 4
    pacer.updates = 3
    assert pacer.realised_ratio == pytest.approx(1.5)


def test_fractions_of_an_update_add_up():
    pacer, due = make_pacer(updates_per_step=0.25, start_steps=0), []
    for _ in range(9):
        pacer.taken += 1
        due.append(pacer.updates_due)
    assert due == [0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_limit_counts_other_sessions_and_numbers_that_were_never_stored():
    pacer = make_pacer(band_steps=4)
    pacer.taken = 30
    # 20 of the 30 came from an earlier session; in this one 3 numbers were lost or refused.
    assert pacer.sequence_limit(before_session=20, unstored=3) == 30 - 20 + 3 + 4
    assert pacer.sequence_limit(before_session=40, unstored=0) == 0


def test_a_run_without_end_never_finishes():
    pacer = make_pacer()
    pacer.taken = pacer.updates = 10**6
    assert not pacer.finished
    assert pacer.to_take(3) == 1
