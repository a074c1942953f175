"""Updates that stay on the device, run on a CPU: the very code of a GPU, with a tape in place of the CUDA graph."""

import re
from pathlib import Path

import numpy as np
import pytest
import sac_learner.learning.updates as updates_module
import torch
from helpers.tape import Tape, recorded
from rosac_common.settings import from_mapping
from sac_learner.learning.device_replay import DeviceReplay
from sac_learner.learning.replay import ReplayBuffer
from sac_learner.learning.updates import DeviceUpdates, HostUpdates, make_updates
from sac_learner.sac.batch import Batch
from sac_learner.sac.learner import SacLearner
from sac_learner.sac.settings import RelabellingSettings, SacSettings
from sac_learner.sac.symmetry import Symmetries

OBSERVATION, ACTION, BATCH = 3, 2, 32
SIZES = (OBSERVATION, ACTION)
CPU = torch.device("cpu")
MIRROR = Symmetries.from_signed([1, 2, 3, -1, -2, 3], [1, 2, 2, 1], *SIZES)
SPEEDS = RelabellingSettings(velocity_places=[0, 1], velocity_range_m_s=[-1.0, 1.0], reward_per_m_s=2.0)
VARIANTS = [
    {},
    {"gradients": "plain"},
    {"critic_normalisation": "layer"},
    {"critic_normalisation": "batch", "tau": 1.0},
    {"gradients": "plain", "critic_normalisation": "batch", "tau": 1.0, "adam_beta_1": 0.5},
    {"actor_interval": 3},
    {"temperature_mode": "fixed"},
    {"temperature_mode": "fixed", "fixed_temperature": 0.0},
    {"symmetry_augmentation": True},
    {"target_relabelling": True},
    {"products": "bfloat16"},
    {"policy_smoothing": 0.1},
]


def uncaptured(work, generator):
    return work


def make_learner(**changes):
    settings = from_mapping(
        SacSettings, {"hidden_sizes": [16, 16], "batch_size": BATCH, "replay_capacity": 100, **changes}
    )
    return SacLearner(settings, *SIZES, seed=3, symmetries=MIRROR, relabelling=SPEEDS)


def make_device_updates(capture=recorded, **changes):
    return DeviceUpdates(made := make_learner(**changes), DeviceReplay(100, *SIZES, CPU), capture), made


def random_rows(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, ReplayBuffer.row_size(*SIZES)), dtype=np.float32)


def state_of(learner):
    return {name: tensor.clone() for name, tensor in learner.state().items()}


def assert_same_state(one, two):
    one, two = one.state(), two.state()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_captured_updates_equal_those_of_batches_from_the_host_bit_for_bit(changes):
    updates, learner = make_device_updates(**changes)
    assert updates.fallback == ""
    reference, memory = make_learner(**changes), DeviceReplay(100, *SIZES, CPU)
    assert_same_state(learner, reference)
    for step in range(8):
        new = random_rows(30, step)  # the memory grows under the captured update, and goes around
        updates.memory.extend(new)
        memory.extend(new)
        metrics = updates.update()
        batch = memory.sample(BATCH, reference.generator)
        expected = reference.update(Batch(*(np.ascontiguousarray(field.numpy()) for field in batch)))
        assert {name: float(value) for name, value in metrics.items()} == {
            name: float(value) for name, value in expected.items()
        }
    assert learner.updates == reference.updates == 8
    assert_same_state(learner, reference)


def test_an_update_is_no_more_operations_than_the_documentation_says():
    updates, _ = make_device_updates(uncaptured)
    updates.memory.extend(random_rows(50))
    with Tape() as tape:
        updates.update()
    said = re.search(r"(\d+) operations of\s+PyTorch", (Path(__file__).parents[4] / "docs/sac.md").read_text())
    assert tape.operations == int(said[1])


def test_preparing_changes_neither_learner_nor_memory():
    updates, learner = make_device_updates(symmetry_augmentation=True)
    assert_same_state(learner, make_learner(symmetry_augmentation=True))
    assert (learner.updates, updates.memory.total, updates.memory.size) == (0, 0, 0)
    with pytest.raises(ValueError, match="the replay memory is empty"):
        updates.update()


@pytest.mark.parametrize("capture", [recorded, uncaptured])
def test_updates_go_on_from_a_saved_state_bit_for_bit(capture):
    first, learner = make_device_updates(capture, actor_interval=2)
    first.memory.extend(random_rows(50))
    for _ in range(3):
        first.update()
    saved, sampling = state_of(learner), first.sampling_state()
    for _ in range(4):
        first.update()
    second, resumed = make_device_updates(capture, actor_interval=2)
    resumed.load_state(saved, 3)
    second.restore_sampling(sampling)
    second.memory.extend(random_rows(50))
    assert "actor_loss" not in second.update()  # none of the comparison at the start
    for _ in range(3):
        second.update()
    assert_same_state(learner, resumed)


def forgets_the_noise(work, generator):
    """A graph that was captured without the generator's state: the same numbers in every run."""
    state = generator.get_state()

    def repeat():
        generator.set_state(state)
        return work()

    return repeat


def makes_no_step(work, generator):
    """Adam's step is not in it."""
    metrics = work()
    return lambda: metrics


def works_on_copies(work, generator):
    """Every other run changes nothing that outlives it."""
    runs = []

    def repeat():
        runs.append(None)
        return work() if len(runs) % 2 else metrics

    metrics = work()
    return repeat


@pytest.mark.parametrize("capture", [forgets_the_noise, makes_no_step, works_on_copies])
def test_a_captured_update_that_differs_is_found_and_not_used(capture):
    updates, learner = make_device_updates(capture)
    assert "the captured update cannot be used: " in updates.fallback
    assert "differs by" in updates.fallback and "Updates run uncaptured, which is slower" in updates.fallback
    assert_updates_as_uncaptured(updates, learner)


def test_what_waits_for_the_host_cannot_be_captured_and_is_run_uncaptured():
    learner = make_learner()
    critic = learner._gradients.critic

    def waits(batch, *arguments):
        batch.reward.nonzero()
        return critic(batch, *arguments)

    learner._gradients.critic = waits
    updates = DeviceUpdates(learner, DeviceReplay(100, *SIZES, CPU), recorded)
    assert "not permitted when stream is capturing: aten.nonzero" in updates.fallback
    assert "more lines" not in updates.fallback
    updates.memory.extend(random_rows(50))
    updates.update()
    assert learner.updates == 1


def test_a_capture_that_breaks_off_leaves_an_unusable_generator_behind_and_updates_go_on():
    def capture(work, generator):
        work()
        broken.append(generator)
        generator.manual_seed(0)
        raise RuntimeError("operation failed due to a previous error during capture\nCUDA kernel errors might ...")

    broken = []
    updates, learner = make_device_updates(capture)
    assert "cannot be used: operation failed due to a previous error during capture. Updates run" in updates.fallback
    assert learner.generator is not broken[0]
    assert_updates_as_uncaptured(updates, learner)


def assert_updates_as_uncaptured(updates, learner):
    plain, reference = make_device_updates(uncaptured)
    assert plain.fallback == ""
    for each in (updates, plain):
        each.memory.extend(random_rows(50))
        for _ in range(3):
            each.update()
    assert_same_state(learner, reference)


def test_the_device_decides_where_the_memory_is(monkeypatch):
    learner = make_learner()
    on_host = make_updates(learner, seed=1)
    assert isinstance(on_host, HostUpdates) and isinstance(on_host.memory, ReplayBuffer)
    captures = []
    monkeypatch.setattr(updates_module.cuda, "captured", lambda work, _: captures.append(work) or work)
    monkeypatch.setattr(updates_module, "DeviceReplay", lambda *sizes: DeviceReplay(*sizes[:3], CPU))
    learner.device = torch.device("cuda", 0)
    on_device = make_updates(learner, seed=1)
    assert isinstance(on_device, DeviceUpdates) and on_device.memory.capacity == 100
    assert len(captures) == 1
