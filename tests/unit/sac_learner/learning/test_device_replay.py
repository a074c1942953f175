import numpy as np
import pytest
import sac_learner.learning.device_replay as device_replay
import torch
from sac_learner.learning.device_replay import DeviceReplay
from sac_learner.learning.replay import ReplayBuffer, ReplayMemoryError

SIZES = (3, 2)
WIDTH = ReplayBuffer.row_size(*SIZES)
CPU = torch.device("cpu")


def numbered(count, start=0):
    """Rows that hold their number everywhere."""
    return np.repeat(np.arange(start, start + count, dtype=np.float32)[:, None], WIDTH, axis=1)


def drawn(memory, count=2000):
    return memory.sample(count, torch.Generator().manual_seed(0))


def test_fields_are_those_of_the_row():
    memory = DeviceReplay(10, *SIZES, CPU)
    row = np.arange(WIDTH, dtype=np.float32)
    memory.add(row)
    batch = drawn(memory, 4)
    host = ReplayBuffer(10, *SIZES)
    host.add(row)
    for got, expected in zip(batch, host.sample(4, np.random.default_rng(0)), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("pieces", [[3], [10], [4, 4, 4, 4], [25], [7, 30, 2], [1] * 23])
def test_the_newest_transitions_stay_in_the_slots_of_the_host_memory(pieces, monkeypatch):
    monkeypatch.setattr(device_replay, "_COPIED_ROWS", 3)
    memory, host = DeviceReplay(10, *SIZES, CPU), ReplayBuffer(10, *SIZES)
    start = 0
    for count in pieces:
        for each in (memory, host):
            each.extend(numbered(count, start))
        start += count
        assert (memory.total, memory.size, int(memory._size)) == (host.total, host.size, host.size)
        np.testing.assert_array_equal(memory._table[: memory.size].numpy(), host._table[: host.size])


def test_every_transition_is_equally_likely_and_none_beyond_them():
    memory = DeviceReplay(1000, *SIZES, CPU)
    memory.extend(numbered(10))
    counts = np.bincount(drawn(memory, 20_000).reward.numpy().astype(int), minlength=10)
    # Chi-squared of 9 degrees of freedom: above 27.9 once in a thousand generators; the generator is fixed.
    assert ((counts - 2000.0) ** 2 / 2000.0).sum() < 27.9
    assert counts.sum() == 20_000


def test_draws_repeat_with_the_generator_and_differ_within_it():
    memory = DeviceReplay(100, *SIZES, CPU)
    memory.extend(numbered(100))
    generator = torch.Generator().manual_seed(0)
    first, second = (memory.sample(50, generator).reward for _ in range(2))
    assert torch.equal(first, drawn(memory, 50).reward)
    assert not torch.equal(first, second)


def test_cleared_it_holds_nothing_and_starts_anew():
    memory = DeviceReplay(5, *SIZES, CPU)
    memory.extend(numbered(8))
    memory.clear()
    assert (memory.total, memory.size, int(memory._size)) == (0, 0, 0)
    memory.extend(numbered(2, start=50))
    assert set(drawn(memory).reward.tolist()) == {50.0, 51.0}


def test_memory_that_does_not_fit_is_refused_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(device_replay, "available_memory_bytes", lambda: 1_000_000)
    fits = 1_000_000 // (4 * WIDTH)
    with pytest.raises(ReplayMemoryError, match=rf"{fits + 1} transitions takes 1.0 MB, available on cpu .* {fits}$"):
        DeviceReplay(fits + 1, *SIZES, CPU)
    announced = DeviceReplay(fits, *SIZES, CPU).announcement()
    assert announced == f"replay memory: {fits} transitions, 1.0 MB on cpu, taken at once"


def test_a_gpu_is_asked_for_its_own_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 * WIDTH * 7, 10**12))
    with pytest.raises(ReplayMemoryError, match="available on cuda:0 .* at most 7$"):
        DeviceReplay(8, *SIZES, torch.device("cuda", 0))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((2, WIDTH + 1), np.float32), "rows are float32 .*expected float32"),
        (np.zeros((2, WIDTH)), "rows are float64"),
        (np.where(np.eye(2, WIDTH, 1), np.nan, 0).astype(np.float32), "row 0 holds nan in column 1: it cannot be"),
        (np.full((1, WIDTH), np.inf, np.float32), "row 0 holds inf"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused(rows, message):
    memory = DeviceReplay(10, *SIZES, CPU)
    memory.add(numbered(1)[0])
    with pytest.raises(ValueError, match=message):
        memory.extend(rows)
    assert memory.total == 1
    memory.extend(np.empty((0, 0), np.float32))  # a log without transitions
    assert memory.total == 1
