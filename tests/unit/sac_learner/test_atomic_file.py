import errno
import os
import resource

import numpy as np
import pytest
import sac_learner.atomic_file as atomic_file
from sac_learner.atomic_file import DamagedFileError, StorageError, read_tensors, tensor_bytes, write_atomic

TENSORS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.float32(3.5),
    "bytes": np.arange(5, dtype=np.uint8),
}


def test_tensors_and_metadata_come_back(tmp_path):
    path = tmp_path / "new" / "file.safetensors"
    write_atomic(path, tensor_bytes(TENSORS, {"format": "x", "big": 2**127, "nested": {"a": [1, 2.5, None]}}))
    tensors, metadata = read_tensors(path)
    assert metadata == {"format": "x", "big": 2**127, "nested": {"a": [1, 2.5, None]}}
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].shape == np.shape(tensor)
        np.testing.assert_array_equal(tensors[name], tensor)
    assert os.listdir(path.parent) == ["file.safetensors"]


def test_truncated_file_is_refused_at_every_length(tmp_path):
    data, path = tensor_bytes(TENSORS, {"format": "x"}), tmp_path / "file"
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(DamagedFileError, match=rf"file \({size} bytes\) is truncated"):
            read_tensors(path)


def test_changed_byte_in_a_tensor_is_noticed(tmp_path):
    data, path = bytearray(tensor_bytes(TENSORS, {})), tmp_path / "file"
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match="checksum"):
        read_tensors(path)


def test_safetensors_file_of_another_program_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(2, np.float32)}, tmp_path / "file")
    with pytest.raises(DamagedFileError, match="not a file of rosac"):
        read_tensors(tmp_path / "file")


def test_full_disk_leaves_the_old_file_and_says_how_much_is_missing(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic_file.os, "write", full)
    with pytest.raises(
        StorageError,
        match=r"^cannot write .*/file: No space left on device \(3 bytes needed, \d+ bytes are free\): free space, "
        "raise the limit or allow writing there$",
    ):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_limit_on_file_size_leaves_the_old_file(tmp_path):
    """The kernel's own refusal in the middle of a write."""
    path = tmp_path / "file"
    write_atomic(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StorageError, match=r"File too large \(3000000 bytes needed"):
            write_atomic(path, bytes(3_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    calls = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}
    for name in real:
        monkeypatch.setattr(atomic_file.os, name, lambda *a, name=name: (calls.append(name), real[name](*a)))
    write_atomic(tmp_path / "file", b"data")
    assert calls == ["fsync", "replace", "fsync"]


def test_directory_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StorageError, match="cannot write"):
        write_atomic(tmp_path / "file" / "below", b"data")
