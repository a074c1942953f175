import dataclasses
import errno
import json
import os
import resource
import shutil

import numpy as np
import pytest
import sac_learner.learning.trainer as trainer_module
import torch
from helpers.learning import learner_settings, make_transition
from rosac_common.settings import SettingsError
from sac_learner.atomic_file import StorageError
from sac_learner.learner_messages import status_message
from sac_learner.learning.checkpoint import CheckpointError
from sac_learner.learning.device_replay import DeviceReplay
from sac_learner.learning.intake import Range, Verdict
from sac_learner.learning.replay import ReplayMemoryError
from sac_learner.learning.replay_log import ReplayLogError
from sac_learner.learning.trainer import STORAGE_RETRY_S, Trainer
from sac_learner.learning.updates import DeviceUpdates
from sac_learner.policy import load_policy
from sac_learner.runs.run_files import RunLockedError
from sac_learner.sac import learner as learner_module


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """Waiting for the disk is no part of these tests (test_atomic_file and test_replay_log see that it is done)."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def feed(trainer, numbers, session_id="a", now_s=0.0):
    """Offer transitions one by one, each digested before the next, as a lockstep task does."""
    for number in numbers:
        trainer.offer(make_transition(number, session_id))
        settle(trainer, now_s)


def settle(trainer, now_s=0.0):
    trainer.flush(now_s)
    while trainer.step():
        trainer.new_policy()
        trainer.keep_policy_if_due(now_s)
        trainer.save_if_due(now_s)
    trainer.save_if_due(now_s)


def weights(trainer):
    return {name: tensor.clone() for name, tensor in trainer.learner.state().items()}


def assert_same_run(first, second):
    one, two = weights(first), weights(second)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (first.pacer.taken, first.pacer.updates) == (second.pacer.taken, second.pacer.updates)
    assert first.memory.total == second.memory.total
    np.testing.assert_array_equal(first.memory._table, second.memory._table)
    assert first.intake.counters == second.intake.counters
    assert first.sequence_limit == second.sequence_limit


def crashed_copy(trainer, directory):
    """The run directory as a SIGKILL at this instant would leave it."""
    shutil.copytree(trainer.files.directory, directory)
    return dataclasses.replace(trainer.settings, run_directory=str(directory))


def test_every_transition_is_followed_by_its_updates(tmp_path):
    trainer = Trainer(learner_settings(tmp_path, pacing__updates_per_step=2.0))
    feed(trainer, range(50))
    assert (trainer.pacer.taken, trainer.pacer.updates) == (50, 2 * (50 - 20))
    assert trainer.learner.updates == 60
    assert trainer.waiting == 0


def test_each_gradient_step_has_a_fresh_batch(tmp_path, monkeypatch):
    trainer, batches = Trainer(learner_settings(tmp_path, pacing__updates_per_step=4.0)), []
    real = trainer.memory.sample
    monkeypatch.setattr(trainer.memory, "sample", lambda *a: batches.append(real(*a)) or batches[-1])
    used, update = [], trainer.learner.update
    monkeypatch.setattr(trainer.learner, "update", lambda batch: used.append(batch) or update(batch))
    feed(trainer, range(30))
    assert len(batches) == trainer.pacer.updates == 40
    assert len({batch.reward.tobytes() for batch in batches}) == 40
    assert [id(batch) for batch in used] == [id(batch) for batch in batches], "what is drawn is what is learned from"


def test_the_log_is_on_the_disk_before_the_checkpoint_that_counts_on_it(tmp_path, monkeypatch):
    trainer, done = Trainer(learner_settings(tmp_path)), []
    for transition in (make_transition(i) for i in range(5)):
        trainer.offer(transition)
    sync, save = trainer.log.sync, trainer.checkpoints.save
    monkeypatch.setattr(trainer.log, "sync", lambda: done.append("log") or sync())
    monkeypatch.setattr(trainer.checkpoints, "save", lambda *a: done.append(trainer.log.pending_bytes) or save(*a))
    assert trainer.save()
    assert done == ["log", 0]


@pytest.mark.parametrize("killed_after", [3, 21, 46, 60, 77])
def test_killed_at_any_instant_it_resumes_to_the_same_run_bit_for_bit(tmp_path, killed_after):
    whole = Trainer(learner_settings(tmp_path / "whole"))
    feed(whole, range(killed_after))
    settings = crashed_copy(whole, tmp_path / "killed")
    feed(whole, range(killed_after, 100))
    resumed = Trainer(settings)
    settle(resumed)
    feed(resumed, range(killed_after, 100))
    assert_same_run(whole, resumed)
    assert resumed.resumed_at <= killed_after


def test_killed_in_the_middle_of_a_backlog(tmp_path):
    """Transitions logged but not yet learned from, and updates between two checkpoints."""
    whole = Trainer(learner_settings(tmp_path / "whole", pacing__band_steps=50))
    for number in range(60):
        whole.offer(make_transition(number))
    whole.flush(0.0)
    for _ in range(35):
        whole.step()
        whole.save_if_due(0.0)
    settings = crashed_copy(whole, tmp_path / "killed")
    settle(whole)
    resumed = Trainer(settings)
    assert resumed.waiting > 0
    settle(resumed)
    assert_same_run(whole, resumed)


def test_nothing_is_lost_or_doubled_over_a_kill_with_gaps_and_two_sessions(tmp_path):
    first = Trainer(learner_settings(tmp_path / "first"))
    feed(first, [0, 1, 2, 5, 6, 2])
    feed(first, range(10), session_id="b")
    feed(first, [3])
    first.refuse("b", 10, "nonsense")
    first.give_up("a", 4, 4)
    first.offer(make_transition(30, "b"))
    first.flush(0.0)
    again = Trainer(crashed_copy(first, tmp_path / "again"))
    counters = again.intake.counters
    assert (counters.stored, counters.lost, counters.repaired, counters.rejected) == (17, 1, 1, 1)
    assert again.intake.sessions["a"].received_count == 7
    assert again.intake.current.session_id == "b"
    assert again.intake.requests(0.0) == [Range("b", 11, 29)]
    for session, known in (("a", range(7)), ("b", [*range(11), 30])):
        for number in known:
            assert again.offer(make_transition(number, session)) is Verdict.DUPLICATE
    for number in range(11, 30):
        assert again.offer(make_transition(number, "b")) is Verdict.REPAIRED
    settle(again)
    assert again.pacer.taken == counters.stored == 17 + 19


@pytest.fixture
def few_open_files():
    """As many more files may be open as the returned function is told."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = {int(name) for name in os.listdir("/proc/self/fd")}
    free = [number for number in range(soft) if number not in in_use]
    yield lambda more: resource.setrlimit(resource.RLIMIT_NOFILE, (free[more], hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_run_of_more_sessions_than_files_may_be_open_is_resumed(tmp_path, few_open_files):
    whole, sessions = Trainer(learner_settings(tmp_path / "whole")), [f"s{number}" for number in range(60)]
    for session in sessions:
        feed(whole, [0], session)
    settings = crashed_copy(whole, tmp_path / "killed")
    few_open_files(30)
    resumed = Trainer(settings)
    settle(resumed)
    for trainer in (whole, resumed):
        feed(trainer, range(1, 20), sessions[-1])
    assert_same_run(whole, resumed)
    resumed.close()


def test_orderly_end_leaves_a_checkpoint_from_which_the_next_one_goes_on(tmp_path):
    whole = Trainer(learner_settings(tmp_path / "whole"))
    feed(whole, range(90))
    split = Trainer(learner_settings(tmp_path / "split"))
    feed(split, range(37))
    split.close()
    split = Trainer(split.settings)
    assert (split.resumed_at, split.pacer.updates, split.waiting) == (37, 17, 0)
    feed(split, range(37, 90))
    assert_same_run(whole, split)


@pytest.mark.parametrize(("before", "after"), [(2.0, 1.0), (1.0, 4.0), (0.5, 0.25)])
def test_another_pace_counts_from_where_the_run_is_resumed(tmp_path, before, after):
    settings = learner_settings(tmp_path, pacing__updates_per_step=before)
    first = Trainer(settings)
    feed(first, range(40))
    done = first.pacer.updates
    assert done == int(20 * before)
    first.close()
    changed = learner_settings(tmp_path, pacing__updates_per_step=after)
    second = Trainer(changed)
    assert any(f"updates_per_step is {after:g}, it was {before:g}" in note for note in second.notes)
    feed(second, range(40, 47))
    second.close()
    third = Trainer(changed)  # its settings are those of the checkpoint: no new start of the count
    assert not any("updates_per_step" in note for note in third.notes)
    feed(third, range(47, 60))
    assert third.pacer.updates == done + int(20 * after)
    third.close()


def test_policies_of_a_resumed_run_have_higher_versions(tmp_path):
    first = Trainer(learner_settings(tmp_path / "first"))
    versions = [first.new_policy().version]
    feed(first, range(30))
    second = Trainer(crashed_copy(first, tmp_path / "second"))
    policy = second.new_policy()
    assert policy.version > first.policies.version > versions[0]
    assert policy.checksum == policy.computed_checksum()
    assert second.new_policy() is None


def test_first_policy_explores_and_the_next_one_does_not(tmp_path):
    trainer = Trainer(learner_settings(tmp_path))
    assert trainer.new_policy().explore_uniformly
    for number in range(19):
        trainer.offer(make_transition(number))
    assert trainer.new_policy() is None
    trainer.offer(make_transition(19))
    assert not trainer.new_policy().explore_uniformly
    no_exploration = Trainer(learner_settings(tmp_path / "b", sac__initial_random_steps=0))
    assert not no_exploration.new_policy().explore_uniformly


def test_run_ends_exactly_at_its_total_and_leaves_its_files(tmp_path):
    trainer = Trainer(learner_settings(tmp_path, total_steps=40))
    published = 0
    while published < trainer.sequence_limit:
        feed(trainer, [published])
        published += 1
    assert published == 40
    assert trainer.finished
    assert (trainer.pacer.taken, trainer.pacer.updates) == (40, 20)
    assert trainer.offer(make_transition(40)) is None
    assert trainer.ignored == 1
    assert len(trainer.checkpoints.paths()) == 1
    assert load_policy(tmp_path / "policy.safetensors").updates == 20
    assert load_policy(tmp_path / "policy_untrained.safetensors").updates == 0
    trainer.close()
    again = Trainer(learner_settings(tmp_path, total_steps=60))
    assert again.sequence_limit == 44
    feed(again, range(40, 60))
    assert again.finished
    assert again.pacer.updates == 40


def test_total_counts_stored_transitions_so_lost_ones_are_replaced(tmp_path):
    trainer = Trainer(learner_settings(tmp_path, total_steps=30))
    feed(trainer, [*range(10), 12])
    assert trainer.give_up("a", 10, 11) == 2
    for number in range(13, 100):
        if number < trainer.sequence_limit:
            feed(trainer, [number])
    assert trainer.finished
    assert trainer.intake.counters.stored == 30
    assert trainer.intake.current.received_count == 32


def test_a_robot_that_is_faster_than_the_learner_is_not_waited_for(tmp_path):
    trainer = Trainer(learner_settings(tmp_path))
    for number in range(100):
        trainer.offer(make_transition(number))
        trainer.step()
    assert trainer.waiting <= 4
    assert trainer.memory.total >= 96
    assert trainer.pacer.realised_ratio == pytest.approx(1.0, abs=0.1)
    burst = Trainer(learner_settings(tmp_path / "burst"))
    for number in range(100):
        burst.offer(make_transition(number))
    burst.step()
    assert (burst.waiting, burst.memory.total, burst.pacer.updates) == (4, 96, 1)
    settle(burst)
    assert burst.pacer.updates == 80


def kept(trainer):
    return {path.name: load_policy(path) for path in trainer.files.kept_policies.glob("*")}


def test_a_policy_is_kept_after_every_so_many_steps_and_stays(tmp_path):
    trainer = Trainer(learner_settings(tmp_path, storage__kept_policy_interval_steps=15))
    feed(trainer, range(44))
    assert {name: policy.transitions for name, policy in kept(trainer).items()} == {
        "policy_00000015.safetensors": 15,
        "policy_00000030.safetensors": 30,
    }
    before = (trainer.files.kept_policy(30)).read_bytes()
    feed(trainer, [44])
    last = kept(trainer)["policy_00000045.safetensors"]
    for name, tensor in trainer.learner.policy_tensors().items():
        assert np.array_equal(last.tensors[name], tensor), name
    trainer.close()
    again = Trainer(learner_settings(tmp_path, storage__kept_policy_interval_steps=15))
    feed(again, range(45, 61))
    assert sorted(kept(again)) == [f"policy_000000{steps}.safetensors" for steps in (15, 30, 45, 60)]
    assert again.files.kept_policy(30).read_bytes() == before


def test_no_policy_is_kept_where_none_is_wanted_or_learning_has_failed(tmp_path):
    none = Trainer(learner_settings(tmp_path / "a", storage__kept_policy_interval_steps=0))
    feed(none, range(40))
    assert kept(none) == {}
    failed = Trainer(learner_settings(tmp_path / "b", storage__kept_policy_interval_steps=40))
    feed(failed, range(39))
    failed.metrics["critic_loss"] = float("nan")
    failed.offer(make_transition(39))
    failed.step()
    failed.metrics["critic_loss"] = float("nan")
    assert not failed.keep_policy_if_due(0.0)
    assert kept(failed) == {} and failed.failure


def test_full_disk_is_reported_learning_goes_on_and_everything_is_written_later(tmp_path, monkeypatch):
    trainer = Trainer(learner_settings(tmp_path, storage__kept_policy_interval_steps=35))
    feed(trainer, range(30))
    old = trainer.checkpoints.paths()
    real_write = os.write

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sac_learner.atomic_file.os.write", full)
    for number in range(30, 60):
        trainer.offer(make_transition(number))
        trainer.flush(10.0)
        while trainer.step():
            trainer.new_policy()
            trainer.keep_policy_if_due(10.0)
            trainer.save_if_due(10.0)
    assert trainer.pacer.updates == 40
    assert trainer.checkpoints.paths() == old
    assert "No space left on device" in trainer.problems["replay log"]
    assert "bytes are free" in trainer.problems["replay log"] and "tried again" in trainer.problems["replay log"]
    trainer.save_if_due(10.0 + STORAGE_RETRY_S)
    assert "No space left on device" in trainer.problems["checkpoint"]
    assert "No space left on device" in trainer.problems["kept policy"]
    monkeypatch.setattr("sac_learner.atomic_file.os.write", real_write)
    later_s = 10.0 + 2 * STORAGE_RETRY_S
    trainer.flush(later_s)
    assert trainer.keep_policy_if_due(later_s)
    assert trainer.save_if_due(later_s)
    assert trainer.problems == {}
    again = Trainer(crashed_copy(trainer, tmp_path / "copy"))
    assert again.intake.counters.stored == 60
    assert again.pacer.updates == 40


def test_a_disk_without_room_for_a_checkpoint_still_takes_records(tmp_path, monkeypatch):
    trainer = Trainer(learner_settings(tmp_path / "run"))

    def full(path, data):
        raise StorageError(errno.ENOSPC, f"cannot write {path}: No space left on device")

    monkeypatch.setattr("sac_learner.learning.checkpoint.write_atomic", full)
    for number in range(60):
        feed(trainer, [number], now_s=0.1 * number)
        assert trainer.log.pending_bytes == 0
    assert list(trainer.problems) == ["checkpoint"]
    again = Trainer(crashed_copy(trainer, tmp_path / "killed"))
    assert again.intake.counters.stored == 60


def test_a_loss_that_is_not_finite_stops_learning_and_spares_the_checkpoint(tmp_path):
    trainer = Trainer(learner_settings(tmp_path))
    feed(trainer, range(50))
    saved = trainer.checkpoints.paths()
    with torch.no_grad():
        trainer.learner.critic.biases[0].fill_(float("nan"))
    feed(trainer, [50])
    trainer.check()
    assert "critic_loss is nan after update 31" in trainer.failure
    waiting = trainer.waiting
    feed(trainer, range(51, 60))
    assert (trainer.pacer.updates, trainer.waiting) == (31, waiting), "the log keeps them, not the memory"
    trainer.close()
    assert trainer.checkpoints.paths() == saved
    again = Trainer(learner_settings(tmp_path))
    assert again.intake.counters.stored == 60
    settle(again)
    assert again.pacer.updates == 40
    assert not again.failure


def test_what_does_not_fit_the_run_is_a_clear_error(tmp_path):
    settings = learner_settings(tmp_path)
    trainer = Trainer(settings)
    with pytest.raises(RunLockedError, match="another learner is using"):
        Trainer(settings)
    feed(trainer, range(50))
    trainer.close()
    with pytest.raises(CheckpointError, match="temperature_mode"):
        Trainer(learner_settings(tmp_path, sac__temperature_mode="fixed"))
    with pytest.raises((CheckpointError, ReplayLogError), match="task_name"):
        Trainer(learner_settings(tmp_path, task_name="Other"))
    with pytest.raises(ReplayMemoryError, match="replay_capacity"):
        Trainer(learner_settings(tmp_path, sac__replay_capacity=10**12))
    # A failed start lets go of the directory.
    Trainer(settings).close()


def test_checkpoint_without_its_log_is_refused(tmp_path):
    trainer = Trainer(learner_settings(tmp_path))
    feed(trainer, range(50))
    trainer.close()
    log = tmp_path / "replay" / "000000.replay"
    os.truncate(log, log.stat().st_size - 1)
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=r"made after 50 transitions, the replay log holds 49: restore"):
        Trainer(learner_settings(tmp_path))
    assert contents(tmp_path) == before, "nothing is changed by a start that is refused"
    shutil.rmtree(tmp_path / "replay")
    with pytest.raises(CheckpointError, match=r"made after 50 transitions, the replay log holds 0: restore"):
        Trainer(learner_settings(tmp_path))


def contents(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"task_name": ""}, "'task_name' is empty"),
        ({"device": "gpu9"}, "'device' is 'gpu9'"),
        ({"device": "cuda:9"}, "'device' is 'cuda:9', found "),
        ({"sac__replay_capacity": 7}, r"'sac.replay_capacity' is 7; it must be at least sac.batch_size \(8\)"),
        (
            {"sac__critic_normalisation": "batch"},
            r"'sac.tau' is 0.005; it must be 1.0 with sac.critic_normalisation batch",
        ),
    ],
)
def test_missing_or_impossible_settings_are_named(tmp_path, changes, problem):
    with pytest.raises(SettingsError, match=problem):
        Trainer(learner_settings(tmp_path, **changes))


def test_policy_age_is_counted_in_transitions(tmp_path):
    trainer = Trainer(learner_settings(tmp_path))
    version = trainer.new_policy().version
    for number in range(15):
        trainer.offer(make_transition(number, policy_version=version))
    assert trainer.policy_age_steps == 15


def test_checkpoint_metadata_is_plain_json(tmp_path):
    trainer = Trainer(learner_settings(tmp_path))
    feed(trainer, range(50))
    data = trainer.checkpoints.paths()[-1].read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = json.loads(header["__metadata__"]["rosac"])
    assert metadata["task_name"] == "DClawTest"
    assert metadata["progress"]["updates"] == 25
    assert metadata["sac"]["hidden_sizes"] == [16, 16]


def test_gradients_that_are_not_trusted_are_named_and_learning_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(learner_module, "check_gradients", lambda *_: "critic gradient differs by 0.5 of its size")
    trainer = Trainer(learner_settings(tmp_path))
    assert "hand-derived gradients cannot be used: they do not agree" in trainer.problems["gradients"]
    for number in range(30):
        trainer.offer(make_transition(number))
    while trainer.step():
        pass
    assert trainer.pacer.updates == 10
    assert "gradients" in trainer.problems
    trainer.close()


def on_device(capture):
    """`make_updates` as for a GPU."""

    def make(learner, seed):
        sizes = (learner.settings.replay_capacity, learner.observation_size, learner.action_size)
        return DeviceUpdates(learner, DeviceReplay(*sizes, torch.device("cpu")), capture)

    return make


def test_a_run_with_its_memory_on_the_device_is_resumed_too(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "make_updates", on_device(lambda work, _: work))
    whole = Trainer(learner_settings(tmp_path / "whole"))
    assert any("on cpu, taken at once" in note for note in whole.notes)
    feed(whole, range(60))
    settings = crashed_copy(whole, tmp_path / "killed")
    resumed = Trainer(settings)
    assert (resumed.resumed_at, resumed.pacer.updates) == (45, 25)
    for trainer in (whole, resumed):
        feed(trainer, range(60, 80))
        assert (trainer.pacer.taken, trainer.pacer.updates, trainer.memory.total) == (80, 60, 80)
    one, two = weights(whole), weights(resumed)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert np.isfinite(list(map(float, whole.metrics.values()))).all()


def test_an_update_that_cannot_be_captured_is_named_and_learning_goes_on(tmp_path, monkeypatch):
    def broken(work, generator):
        raise RuntimeError("no graph")

    monkeypatch.setattr(trainer_module, "make_updates", on_device(broken))
    trainer = Trainer(learner_settings(tmp_path))
    assert "the captured update cannot be used: no graph" in trainer.problems["update"]
    feed(trainer, range(30))
    assert trainer.pacer.updates == 10


def test_status_of_a_run_that_resumes_between_two_updates_of_the_policy(tmp_path):
    first = Trainer(learner_settings(tmp_path, sac__actor_interval=3))
    feed(first, range(21))
    first.close()
    resumed = Trainer(first.settings)
    feed(resumed, [21])
    status = status_message(resumed, 0.0)
    assert (status.updates, np.isfinite(status.critic_loss), np.isnan(status.actor_loss)) == (2, True, True)
