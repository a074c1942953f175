import numpy as np
import pytest
import sac_learner.replay as replay_module
from helpers.learning import ACTION_SIZE, OBSERVATION_SIZE, make_transition
from rosac_common.transition import EndReason
from sac_learner.replay import Batch, ReplayBuffer, ReplayMemoryError, available_memory_bytes, row, rows

SIZES = (OBSERVATION_SIZE, ACTION_SIZE)


def test_row_holds_the_executed_action_and_not_the_requested_one():
    transition = make_transition(3)
    buffer = ReplayBuffer(10, *SIZES)
    buffer.add(row(transition))
    batch = buffer.sample(2, np.random.default_rng(0))
    batch.check(*SIZES)
    for i in range(2):
        np.testing.assert_array_equal(batch.observation[i], transition.observation)
        np.testing.assert_array_equal(batch.action[i], transition.executed_action)
        np.testing.assert_array_equal(batch.next_observation[i], transition.next_observation)
        assert batch.reward[i] == np.float32(transition.reward)


@pytest.mark.parametrize("end_reason", list(EndReason))
def test_only_terminated_cuts_the_bootstrap(end_reason):
    bootstrap = row(make_transition(0, end_reason=end_reason))[-1]
    assert bootstrap == (0.0 if end_reason is EndReason.TERMINATED else 1.0)


def test_rows_of_a_log_equal_rows_of_transitions():
    transitions = [make_transition(i, end_reason=EndReason(i % 7)) for i in range(14)]
    columns = (
        np.stack([t.observation for t in transitions]),
        np.stack([t.executed_action for t in transitions]),
        np.stack([t.next_observation for t in transitions]),
        np.array([t.reward for t in transitions], dtype=np.float32),
        np.array([t.end_reason for t in transitions], dtype=np.uint8),
    )
    np.testing.assert_array_equal(rows(*columns), np.stack([row(t) for t in transitions]))


@pytest.mark.parametrize("total", [0, 3, 7, 8, 20, 35])
def test_extend_equals_add_one_by_one_also_around_the_ring(total):
    width = ReplayBuffer.row_size(*SIZES)
    table = np.arange(total * width, dtype=np.float32).reshape(total, width)
    one, many = ReplayBuffer(7, *SIZES), ReplayBuffer(7, *SIZES)
    for entry in table:
        one.add(entry)
    many.extend(table[: total // 2])
    many.extend(table[total // 2 :])
    assert one.total == many.total == total
    assert one.size == many.size == min(total, 7)
    if total:
        drawn = [buffer.sample(50, np.random.default_rng(1)) for buffer in (one, many)]
        for first, second in zip(*drawn, strict=True):
            np.testing.assert_array_equal(first, second)


def test_sampling_is_uniform_over_what_is_stored():
    buffer = ReplayBuffer(100, *SIZES)
    table = np.zeros((10, ReplayBuffer.row_size(*SIZES)), dtype=np.float32)
    table[:, -2] = np.arange(10)
    buffer.extend(table)
    counts = np.bincount(buffer.sample(20_000, np.random.default_rng(0)).reward.astype(int), minlength=10)
    assert len(counts) == 10
    # 2000 expected, standard deviation 42.
    assert np.abs(counts - 2000).max() < 250


def test_a_batch_is_a_copy():
    buffer = ReplayBuffer(1, *SIZES)
    buffer.add(row(make_transition(0)))
    batch = buffer.sample(1, np.random.default_rng(0))
    before = batch.reward.copy()
    buffer.add(row(make_transition(1)))
    np.testing.assert_array_equal(batch.reward, before)


def test_empty_buffer_cannot_be_sampled():
    with pytest.raises(ValueError, match="empty"):
        ReplayBuffer(10, *SIZES).sample(1, np.random.default_rng(0))


def test_memory_is_announced_and_refused_when_it_does_not_fit(monkeypatch):
    monkeypatch.setattr(replay_module, "available_memory_bytes", lambda: 1_000_000)
    width = 4 * ReplayBuffer.row_size(*SIZES)
    fits = 1_000_000 // width
    with pytest.raises(ReplayMemoryError, match=rf"1000000 transitions .* sac.replay_capacity to at most {fits}\b"):
        ReplayBuffer(1_000_000, *SIZES)
    assert f"{fits} transitions" in ReplayBuffer(fits, *SIZES).announcement()


def test_memory_limit_of_the_control_group_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(replay_module, "_CGROUP", tmp_path)
    free = available_memory_bytes()
    assert 10_000_000 < free < 2**63
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    assert available_memory_bytes() == 3_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory_bytes() > 10_000_000


def test_a_large_empty_buffer_takes_no_memory():
    def resident_bytes():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    before = resident_bytes()
    buffer = ReplayBuffer(1_000_000, 21, 9)
    assert resident_bytes() - before < 20_000_000
    assert buffer.size == 0


def test_batch_names_the_wrong_field():
    good = ReplayBuffer(1, *SIZES)
    good.add(row(make_transition(0)))
    batch = good.sample(4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="next_observation"):
        Batch(batch.observation, batch.action, batch.reward, batch.action, batch.bootstrap).check(*SIZES)
