import json

import numpy as np
import pytest
import torch
from rosac_common.settings import from_mapping
from sac_learner.atomic_file import StorageError, tensor_bytes, write_atomic
from sac_learner.learning.checkpoint import CheckpointError, CheckpointStore, Progress, sampling_state
from sac_learner.learning.replay import ReplayBuffer
from sac_learner.sac.learner import SacLearner
from sac_learner.sac.settings import SacSettings

SIZES = (3, 2)


def make_learner(seed=0, sizes=SIZES, **changes):
    return SacLearner(
        from_mapping(SacSettings, {"hidden_sizes": [16, 16], "batch_size": 8, **changes}), *sizes, seed=seed
    )


def make_progress(rng=None, **changes):
    sampling = sampling_state(rng or np.random.default_rng(0))
    return Progress(
        **{"transitions": 10, "updates": 7, "policy_version": 3, "duplicates": 1, "sampling": sampling, **changes}
    )


def make_memory():
    memory = ReplayBuffer(100, *SIZES)
    memory.extend(np.random.default_rng(9).standard_normal((50, memory.row_size(*SIZES)), dtype=np.float32))
    return memory


def states_equal(first, second):
    first, second = first.state(), second.state()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("mode", ["learned", "fixed"])
def test_update_after_resume_equals_the_uninterrupted_one_bit_for_bit(tmp_path, mode):
    memory, rng, learner = make_memory(), np.random.default_rng(1), make_learner(temperature_mode=mode)
    for _ in range(7):
        learner.update(memory.sample(8, rng))
    store = CheckpointStore(tmp_path, task_name="t", keep=3)
    store.save(learner, make_progress(rng))
    for _ in range(5):
        learner.update(memory.sample(8, rng))

    resumed = make_learner(seed=99, temperature_mode=mode)
    progress = store.load_newest(resumed)
    assert (progress.transitions, progress.updates, progress.policy_version, progress.duplicates) == (10, 7, 3, 1)
    assert resumed.updates == 7
    rng = np.random.default_rng(99)
    rng.bit_generator.state = progress.sampling
    assert not states_equal(resumed, learner)
    for _ in range(5):
        resumed.update(memory.sample(8, rng))
    assert states_equal(resumed, learner)


def test_checkpoint_before_the_first_update_can_be_resumed(tmp_path):
    store, learner = CheckpointStore(tmp_path, task_name="t", keep=3), make_learner()
    store.save(learner, make_progress(updates=0))
    resumed = make_learner(seed=5)
    store.load_newest(resumed)
    for one in (learner, resumed):
        one.update(make_memory().sample(8, np.random.default_rng(0)))
    assert states_equal(learner, resumed)


def test_newest_few_are_kept_and_the_newest_is_loaded(tmp_path):
    store, learner = CheckpointStore(tmp_path, task_name="t", keep=2), make_learner()
    assert store.load_newest(learner) is None
    for updates in (5, 90, 100, 1000):
        store.save(learner, make_progress(updates=updates))
    assert [path.name for path in store.paths()] == [f"checkpoint_{n:012d}.safetensors" for n in (100, 1000)]
    assert store.load_newest(learner).updates == 1000


def test_damaged_checkpoint_is_refused_with_the_way_out_and_changes_nothing(tmp_path):
    store, learner = CheckpointStore(tmp_path, task_name="t", keep=3), make_learner()
    first = store.save(learner, make_progress(updates=1))
    path = store.save(learner, make_progress(updates=2))
    data = path.read_bytes()
    other = make_learner(seed=1)
    untouched = make_learner(seed=1)
    for size in (0, 5, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(CheckpointError, match=rf"is truncated.*delete it to resume from {first.name}"):
            store.load_newest(other)
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(CheckpointError, match="checksum"):
        store.load_newest(other)
    assert states_equal(other, untouched)
    path.unlink()
    assert store.load_newest(other).updates == 1
    first.write_bytes(b"")
    with pytest.raises(CheckpointError, match="there is no older one"):
        store.load_newest(other)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hidden_sizes": [16, 17]}, r"sac.hidden_sizes is \[16, 16\] there and \[16, 17\] here"),
        ({"temperature_mode": "fixed"}, "sac.temperature_mode is 'learned' there and 'fixed' here"),
        ({"discount": 0.97}, "sac.discount is 0.99 there and 0.97 here"),
        ({"sizes": (4, 2)}, "observation_size is 3 there and 4 here"),
        ({"sizes": (3, 1)}, "action_size is 2 there and 1 here"),
    ],
)
def test_checkpoint_of_another_shape_or_mode_is_refused(tmp_path, changes, named):
    store = CheckpointStore(tmp_path, task_name="t", keep=3)
    store.save(make_learner(), make_progress())
    other, untouched = make_learner(**changes), make_learner(**changes)
    with pytest.raises(CheckpointError, match=named):
        store.load_newest(other)
    assert states_equal(other, untouched)


def test_checkpoint_of_another_task_or_version_is_refused(tmp_path):
    store, learner = CheckpointStore(tmp_path, task_name="DClawTurn", keep=3), make_learner()
    path = store.save(learner, make_progress())
    with pytest.raises(CheckpointError, match="task_name is 'DClawTurn' there and 'DClawScrew' here"):
        CheckpointStore(tmp_path, task_name="DClawScrew", keep=3).load_newest(learner)
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    metadata = json.loads(header["__metadata__"]["rosac"]) | {"format_version": 99}
    tensors = {name: tensor.numpy() for name, tensor in learner.state().items()}
    write_atomic(path, tensor_bytes(tensors, metadata))
    with pytest.raises(CheckpointError, match="format_version is 99 there and 2 here"):
        store.load_newest(learner)


def test_replay_capacity_may_differ(tmp_path):
    store = CheckpointStore(tmp_path, task_name="t", keep=3)
    store.save(make_learner(), make_progress())
    assert store.load_newest(make_learner(replay_capacity=77)).updates == 7


def test_products_may_differ_and_that_is_said(tmp_path):
    store = CheckpointStore(tmp_path, task_name="t", keep=3)
    store.save(make_learner(gradients="derived"), make_progress())
    store.load_newest(make_learner(gradients="derived"))
    assert store.notes == []
    store.load_newest(make_learner(gradients="derived", products="bfloat16"))
    assert ["products are bfloat16 now, they were float32" in note for note in store.notes] == [True]


@pytest.mark.parametrize(("here", "fits"), [(0.0, True), (0.5, False)])
def test_a_setting_that_is_newer_than_the_checkpoint_was_at_its_default(tmp_path, here, fits):
    store, learner = CheckpointStore(tmp_path, task_name="t", keep=3), make_learner()
    path = store.save(learner, make_progress())
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    metadata = json.loads(header["__metadata__"]["rosac"])
    del metadata["sac"]["noise_correlation"]
    write_atomic(path, tensor_bytes({name: tensor.numpy() for name, tensor in learner.state().items()}, metadata))
    resumed = make_learner(noise_correlation=here)
    if fits:
        assert store.load_newest(resumed).updates == 7
    else:
        with pytest.raises(CheckpointError, match=r"sac.noise_correlation is 0.0 there and 0.5 here"):
            store.load_newest(resumed)


def test_tensor_of_a_wrong_shape_inside_is_refused(tmp_path):
    store, learner = CheckpointStore(tmp_path, task_name="t", keep=3), make_learner()
    path = store.save(learner, make_progress())
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    tensors = {name: tensor.numpy() for name, tensor in learner.state().items()}
    tensors["policy.biases.0"] = np.zeros(3, np.float32)
    write_atomic(path, tensor_bytes(tensors, json.loads(header["__metadata__"]["rosac"])))
    with pytest.raises(CheckpointError, match=r"tensor 'policy.biases.0' is \(3,\) .* expected \(16,\)"):
        store.load_newest(make_learner(seed=3))


def test_full_disk_leaves_the_old_checkpoints(tmp_path, monkeypatch):
    store, learner = CheckpointStore(tmp_path, task_name="t", keep=1), make_learner()
    old = store.save(learner, make_progress(updates=1))

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sac_learner.atomic_file.os.write", full)
    with pytest.raises(StorageError, match=r"checkpoint_000000000002.safetensors: No space left .*bytes needed"):
        store.save(learner, make_progress(updates=2))
    monkeypatch.undo()
    assert store.paths() == [old]
    assert store.load_newest(learner).updates == 1


def test_checkpoint_of_another_kind_of_device_is_refused(tmp_path, monkeypatch):
    store, learner = CheckpointStore(tmp_path, task_name="t", keep=3), make_learner()
    state = {**learner.state(), "noise_generator": torch.zeros(16, dtype=torch.uint8)}  # as long as a GPU's
    monkeypatch.setattr(learner, "state", lambda: state)
    store.save(learner, make_progress())
    with pytest.raises(CheckpointError, match="another kind of device .*resume with the settings of that run"):
        store.load_newest(make_learner())
