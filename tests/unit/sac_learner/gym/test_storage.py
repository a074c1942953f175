"""What a training without ROS writes, in which order, and what resuming it holds in memory."""

import tracemalloc

import numpy as np
from rosac_common.transition import EndReason, Source, Transition
from sac_learner.gym.settings import GymSettings
from sac_learner.gym.storage import GymStorage
from sac_learner.learning.replay import ReplayBuffer

SIZES = (100, 4)
DOCUMENT = {"env_id": "test/Any-v0", "keep_checkpoints": GymSettings().keep_checkpoints}


def transition(sequence):
    observation, action = np.full(SIZES[0], sequence, np.float32), np.zeros(SIZES[1], np.float32)
    return Transition(
        session_id="gym-0",
        sequence=sequence,
        episode=0,
        step=sequence,
        policy_version=0,
        source=Source.POLICY,
        end_reason=EndReason.NONE,
        observation=observation,
        requested_action=action,
        executed_action=action,
        reward=float(sequence),
        next_observation=observation + 1,
        sensor_ages_s=np.zeros(0, np.float32),
        stamp_s=0.1 * sequence,
        action_latency_s=0.0,
    )


def test_resuming_holds_one_copy_of_the_steps_and_in_their_order(tmp_path):
    count, taken = 20_000, 19_990
    storage = GymStorage(tmp_path, DOCUMENT, *SIZES)
    for sequence in range(count):
        storage.append(transition(sequence))
    storage.close()
    storage, memory = GymStorage(tmp_path, DOCUMENT, *SIZES), ReplayBuffer(count, *SIZES)
    tracemalloc.start()
    waiting, stamps_s = storage.fill(memory, taken)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    table_bytes = 4 * count * ReplayBuffer.row_size(*SIZES)
    assert peak < table_bytes / 2, "the log is read bit by bit, into the memory that is there"
    assert (memory.total, storage.count) == (taken, count)
    np.testing.assert_array_equal(memory._table[:taken, -2], np.arange(taken))
    assert [float(row[-2]) for row in waiting] == list(range(taken, count))
    np.testing.assert_allclose(stamps_s, 0.1 * np.arange(taken, count))
    storage.close()
