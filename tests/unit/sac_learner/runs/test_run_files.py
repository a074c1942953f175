import pytest
from sac_learner.atomic_file import DamagedFileError
from sac_learner.runs.run_files import RunFiles, RunLockedError, VersionCounter


def test_a_second_learner_is_kept_out_until_the_first_lets_go(tmp_path):
    files = RunFiles(tmp_path / "run")
    lock = files.lock()
    with pytest.raises(RunLockedError, match="another learner is using"):
        files.lock()
    lock.close()
    files.lock().close()


def test_versions_grow_over_restarts_and_crashes(tmp_path):
    path, given = tmp_path / "checkpoints" / "policy_version", []
    for crash in (True, False, True, True):
        counter = VersionCounter(path, 0)
        given += [counter.next() for _ in range(1200)]
        if not crash:
            counter.close()
    assert given == sorted(set(given))
    assert given[-1] < 4 * 2200


def test_orderly_end_leaves_no_hole(tmp_path):
    counter = VersionCounter(tmp_path / "v", 0)
    assert [counter.next(), counter.next()] == [1, 2]
    counter.close()
    assert VersionCounter(tmp_path / "v", 0).next() == 3


def test_version_of_the_checkpoint_counts_when_the_file_is_lost(tmp_path):
    assert VersionCounter(tmp_path / "v", 70).next() == 71


def test_nonsense_in_the_file_is_refused(tmp_path):
    (tmp_path / "v").write_text("many")
    with pytest.raises(DamagedFileError, match="holds 'many' instead of a policy version"):
        VersionCounter(tmp_path / "v", 0)
