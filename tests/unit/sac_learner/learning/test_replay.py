import threading

import numpy as np
import pytest
import sac_learner.learning.replay as replay_module
from helpers.learning import ACTION_SIZE, OBSERVATION_SIZE, make_transition
from rosac_common.transition import EndReason
from sac_learner.learning.replay import ReplayBuffer, ReplayMemoryError, row, rows

SIZES = (OBSERVATION_SIZE, ACTION_SIZE)
WIDTH = ReplayBuffer.row_size(*SIZES)
IMAGE_SHAPE = (4, 5, 3)


def make_images(numbers):
    """One image for each number, all of whose values are that number."""
    return np.broadcast_to(np.asarray(numbers, dtype=np.uint8)[:, None, None, None], (len(numbers), *IMAGE_SHAPE))


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


def test_a_large_empty_buffer_takes_no_memory():
    def resident_bytes():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    before = resident_bytes()
    buffer = ReplayBuffer(1_000_000, 21, 9)
    assert resident_bytes() - before < 20_000_000
    assert buffer.size == 0


def test_memory_that_cannot_be_reserved_is_refused(monkeypatch):
    monkeypatch.setattr(replay_module, "available_memory_bytes", lambda: 2**63)
    with pytest.raises(ReplayMemoryError, match="cannot be reserved"):
        ReplayBuffer(10**15, *SIZES)


def test_images_count_for_the_memory(monkeypatch):
    bytes_each = 4 * WIDTH + 2 * 4 * 5 * 3
    monkeypatch.setattr(replay_module, "available_memory_bytes", lambda: 100 * bytes_each)
    with pytest.raises(ReplayMemoryError, match=r"101 transitions takes .* to at most 100\b"):
        ReplayBuffer(101, *SIZES, IMAGE_SHAPE)
    assert "images of 4 x 5 x 3" in ReplayBuffer(100, *SIZES, IMAGE_SHAPE).announcement()


@pytest.mark.parametrize(
    "arguments", [(0, 3, 2), (10, 0, 2), (10, 3, -1), (10, 3, 2, (4, 5)), (10, 3, 2, (4, 0, 3))], ids=str
)
def test_impossible_sizes_are_refused(arguments):
    with pytest.raises(ValueError, match="replay memory: "):
        ReplayBuffer(*arguments)


@pytest.mark.parametrize(
    "bad",
    [np.zeros(WIDTH + 1, np.float32), np.zeros((1, WIDTH), np.float32), np.float32(0.0), np.zeros(WIDTH)],
    ids=["longer", "two axes", "scalar", "float64"],
)
def test_wrong_row_is_refused_and_nothing_stored(bad):
    buffer = ReplayBuffer(10, *SIZES)
    with pytest.raises(ValueError, match=rf"row is .*, expected float32 \({WIDTH},\)"):
        buffer.add(bad)
    assert buffer.total == 0


@pytest.mark.parametrize("bad", [np.zeros((3, WIDTH - 1), np.float32), np.zeros((3, WIDTH))], ids=["shape", "dtype"])
def test_wrong_rows_are_refused_and_nothing_stored(bad):
    buffer = ReplayBuffer(10, *SIZES)
    with pytest.raises(ValueError, match=rf"rows are .*, expected float32 \(3, {WIDTH}\)"):
        buffer.extend(bad)
    assert buffer.total == 0


def test_every_field_of_a_sample_is_contiguous():
    buffer = ReplayBuffer(1, *SIZES)
    buffer.add(row(make_transition(0)))
    batch = buffer.sample(8, np.random.default_rng(0))
    assert all(field.flags.c_contiguous for field in batch)


# --- images -------------------------------------------------------------------------------------------------------


def numbered_row(number):
    return np.full(WIDTH, number, dtype=np.float32)


@pytest.mark.parametrize("total", [3, 7, 16])
def test_images_belong_to_their_transition_also_around_the_ring_and_at_the_end_of_an_episode(total):
    # Episodes of 3 steps: transition n leads from picture n + n // 3 to the next one, which after an episode's last
    # step is another than the one that the next transition starts with.
    numbers = np.arange(total)
    pictures = numbers + numbers // 3
    one, many = ReplayBuffer(7, *SIZES, IMAGE_SHAPE), ReplayBuffer(7, *SIZES, IMAGE_SHAPE)
    for number, picture in zip(numbers, pictures, strict=True):
        one.add(numbered_row(number), make_images([picture])[0], make_images([picture + 1])[0])
    table = np.stack([numbered_row(number) for number in numbers])
    half = total // 2
    for part in (slice(0, half), slice(half, total)):
        many.extend(table[part], make_images(pictures[part]), make_images(pictures[part] + 1))
    for buffer in (one, many):
        batch = buffer.sample(100, np.random.default_rng(0))
        batch.check(*SIZES, IMAGE_SHAPE)
        drawn = batch.reward.astype(int)
        assert set(drawn) == set(range(max(0, total - 7), total))
        np.testing.assert_array_equal(batch.image, make_images(drawn + drawn // 3))
        np.testing.assert_array_equal(batch.next_image, make_images(drawn + drawn // 3 + 1))


@pytest.mark.parametrize(
    ("image", "next_image", "named"),
    [
        (np.zeros((5, 4, 3), np.uint8), np.zeros(IMAGE_SHAPE, np.uint8), "^image is uint8"),
        (np.zeros(IMAGE_SHAPE, np.uint8), np.zeros(IMAGE_SHAPE, np.float32), "^next_image is float32"),
        (np.zeros(IMAGE_SHAPE, np.uint8), None, "^next_image is missing"),
        (None, None, "^image is missing"),
    ],
)
def test_wrong_image_is_refused_and_nothing_stored(image, next_image, named):
    buffer = ReplayBuffer(10, *SIZES, IMAGE_SHAPE)
    with pytest.raises(ValueError, match=named):
        buffer.add(numbered_row(0), image, next_image)
    with pytest.raises(ValueError, match=named.replace("image is", "images is")):
        several = [None if each is None else each[None] for each in (image, next_image)]
        buffer.extend(numbered_row(0)[None], *several)
    assert buffer.total == 0


def test_images_where_none_are_expected_are_refused():
    buffer = ReplayBuffer(10, *SIZES)
    with pytest.raises(ValueError, match="image is given, expected none"):
        buffer.add(numbered_row(0), np.zeros(IMAGE_SHAPE, np.uint8), np.zeros(IMAGE_SHAPE, np.uint8))


# --- one writer, one reader ---------------------------------------------------------------------------------------


def torn_rows(buffer, rounds):
    """Sample while another thread writes rows whose values are all the same; how many rows hold two transitions."""
    stop = threading.Event()

    def write():
        number = 0
        rows = np.repeat(np.arange(64, dtype=np.float32)[:, None], buffer.row_size(buffer.observation_size, 1), axis=1)
        images = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None, None], (64, *buffer.image_shape))
        while not stop.is_set():
            if number % 5:
                buffer.add(rows[number % 64], images[number % 64], images[number % 64])
            else:
                buffer.extend(rows[:7], images[:7], images[:7])
            number += 1

    buffer.add(np.zeros(buffer.row_size(buffer.observation_size, 1), np.float32), *np.zeros((2, 64, 64, 1), np.uint8))
    writer = threading.Thread(target=write)
    writer.start()
    rng, torn = np.random.default_rng(0), 0
    try:
        for _ in range(rounds):
            batch = buffer.sample(16, rng)
            first = batch.reward[:, None]
            whole = (batch.observation == first).all(1) & (batch.next_observation == first).all(1)
            for images in (batch.image, batch.next_image):
                whole &= (images.reshape(16, -1) == first).all(1)
            torn += int((~whole).sum())
    finally:
        stop.set()
        writer.join()
    return torn


def test_a_reader_never_gets_half_of_a_row():
    assert torn_rows(ReplayBuffer(8, 4000, 1, (64, 64, 1)), 3000) == 0


def test_the_test_above_would_notice(monkeypatch):
    monkeypatch.setattr(ReplayBuffer, "_copy_again", lambda *_: None)
    assert torn_rows(ReplayBuffer(8, 4000, 1, (64, 64, 1)), 3000) > 0
