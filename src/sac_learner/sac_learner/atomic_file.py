"""Files that are there whole or not at all, and tensors in them (safetensors: no code is run on reading)."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

Tensors = dict[str, npt.NDArray[Any]]
_META_KEY = "rosac"


class StorageError(OSError):
    """A file cannot be written. The message names path, bytes needed, bytes free and remedy."""

    def __str__(self) -> str:
        return str(self.strerror)  # without the number, which tells people nothing


class DamagedFileError(ValueError):
    """A file is incomplete, damaged or of another kind. The message names path, finding and remedy."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that at any instant, also after a power cut, either the old or the new one is there.

    Raises:
        StorageError: the disk is full, a limit is reached or the directory cannot be written; the old file stays.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(error.errno, storage_message(path, len(data), error)) from error


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """os.write until everything is written (a nearly full disk takes a part first)."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def append_whole(descriptor: int, data: bytes) -> None:
    """Write all of it to the end of a file, or none: never half a record, which whole ones would follow.

    Raises:
        OSError: it cannot be written.
    """
    end = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        write_all(descriptor, data)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def sync_directory(directory: Path) -> None:
    """Make a rename or a new file in the directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_message(path: Path, needed: int, error: OSError) -> str:
    """What could not be written where, for how many bytes, how many are free, and what to do."""
    try:
        disk = os.statvfs(path.parent)
        free = f"{disk.f_bavail * disk.f_frsize} bytes are free"
    except OSError:
        free = "its directory cannot be read"
    return (
        f"cannot write {path}: {error.strerror} ({needed} bytes needed, {free}): free space, raise the limit or allow "
        "writing there"
    )


def tensor_bytes(tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    """Tensors and JSON metadata as a safetensors file, with a checksum over the tensors."""
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    text = json.dumps({**metadata, "crc32": _checksum(arrays)}, sort_keys=True)
    return save(arrays, metadata={_META_KEY: text})


def read_tensors(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Read a file made from `tensor_bytes`, checked whole; returns tensors and metadata.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: truncated, damaged, or not written by rosac.
    """
    data = path.read_bytes()
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = json.loads(header["__metadata__"][_META_KEY])
        expected = metadata.pop("crc32")
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(
            f"{path} ({len(data)} bytes) is truncated, damaged or not a file of rosac: {error}"
        ) from error
    if (found := _checksum(tensors)) != expected:
        raise DamagedFileError(f"{path} is damaged: the checksum of its tensors is {found}, expected {expected}")
    return tensors, metadata


def _checksum(tensors: Mapping[str, npt.NDArray[Any]]) -> int:
    checksum = 0
    for name in sorted(tensors):
        checksum = zlib.crc32(name.encode(), checksum)
        checksum = zlib.crc32(np.ascontiguousarray(tensors[name]).reshape(-1).view(np.uint8), checksum)
    return checksum
