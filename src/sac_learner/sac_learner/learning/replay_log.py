"""The replay on disk: an append-only log of every transition of a run, from which a learner resumes.

A log is a directory of segments `000000.replay`, `000001.replay`, ...; together they hold the run's records in the
order in which the learner took them. A segment belongs to one session of the task. It starts with a header (magic,
length, CRC-32, JSON) and goes on with records of one size, each ending in its own CRC-32.

Besides transitions a log records what it does not hold: transitions lost for good and transitions refused.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rosac_common.transition import Transition

from sac_learner.atomic_file import StorageError, append_whole, storage_message, sync_directory, write_atomic

FORMAT_VERSION = 1
_MAGIC = b"rosacRPL"
_PREFIX = struct.Struct("<8sII")  # magic, length and CRC-32 of the JSON
_SUFFIX = ".replay"
_HEADER_FIELDS = ("task_name", "observation_size", "action_size", "session_id", "sensor_ages_size", "first_index")


class Kind(enum.IntEnum):
    """What a record says about its sequence numbers."""

    RECEIVED = 0  # a transition that came by itself
    REPAIRED = 1  # a transition that came after it was asked for again
    LOST = 2  # `span` transitions from `sequence` on are gone for good
    REJECTED = 3  # one transition was refused: wrong size or not finite


class ReplayLogError(ValueError):
    """A log does not belong to this run, is of another version or is damaged. The message names file and remedy."""


@dataclasses.dataclass(frozen=True)
class Segment:
    """One file: its header, and where its whole records lie."""

    path: Path
    session_id: str
    first_index: int
    start: int  # byte of the first record
    count: int
    dtype: np.dtype[Any]  # see `record_dtype`

    @property
    def records(self) -> npt.NDArray[Any]:
        """The records, read from the file as they are needed, which stays open as long as the array is kept.

        Raises:
            StorageError: the file cannot be read.
        """
        return np.frombuffer(_mapped(self.path), self.dtype, self.count, self.start)


def record_dtype(observation_size: int, action_size: int, sensor_ages_size: int) -> np.dtype[Any]:
    """Layout of a record: little-endian, packed, the fields of Transition.msg, then the CRC-32 of all before."""
    return np.dtype(
        [
            ("sequence", "<u8"),
            ("span", "<u8"),  # sequence numbers that the record covers: 1 unless LOST
            ("policy_version", "<u8"),
            ("stamp_s", "<f8"),
            ("episode", "<u4"),
            ("step", "<u4"),
            ("reward", "<f4"),
            ("action_latency_s", "<f4"),
            ("kind", "u1"),
            ("source", "u1"),
            ("end_reason", "u1"),
            ("reserved", "u1"),
            ("observation", "<f4", (observation_size,)),
            ("requested_action", "<f4", (action_size,)),
            ("executed_action", "<f4", (action_size,)),
            ("next_observation", "<f4", (observation_size,)),
            ("sensor_ages_s", "<f4", (sensor_ages_size,)),
            ("crc32", "<u4"),
        ]
    )


class ReplayLog:
    """Reads a log at start and appends to it.

    Appended records are held in memory until `flush`. What a full disk does not take stays in memory and is tried
    again at the next flush, so nothing is stored twice and nothing is dropped.
    """

    def __init__(
        self, directory: Path, *, task_name: str, observation_size: int, action_size: int, sync_period_s: float
    ) -> None:
        """Open or make a log. What is there stays as it is until something is written: whoever refuses to go on with it
        changes nothing. Then a tail that a crash tore off is cut, and kept beside its segment as `.cut`.

        Raises:
            ReplayLogError: of another task, sizes or version, a segment missing, or damaged before its tail.
            StorageError: the directory cannot be written, or a segment not be read.
        """
        self.directory = directory
        self._identity = {
            "task_name": task_name,
            "observation_size": observation_size,
            "action_size": action_size,
        }
        self._sync_period_s = sync_period_s
        self._synced_s = -np.inf
        self._unsynced = False
        self._descriptor = -1
        self._path = directory
        self._header: dict[str, Any] = {}
        self._pending: list[tuple[str, int, bytes]] = []  # session, size of sensor ages, record
        self._torn: tuple[Path, int] | None = None  # the segment with a torn tail, and where that begins
        self.repairs: list[str] = []
        self.segments = self._read()
        self.record_count = sum(segment.count for segment in self.segments)
        self._next_segment = len(self.segments)

    def append(self, transition: Transition, kind: Kind) -> None:
        """Hold a transition for the next flush."""
        ages = transition.sensor_ages_s
        record = self._blank(ages.size)
        record["sequence"], record["span"], record["kind"] = transition.sequence, 1, kind
        for name in ("policy_version", "stamp_s", "episode", "step", "reward", "action_latency_s"):
            record[name] = getattr(transition, name)
        record["source"], record["end_reason"] = transition.source, transition.end_reason
        for name in ("observation", "requested_action", "executed_action", "next_observation"):
            record[name] = getattr(transition, name)
        record["sensor_ages_s"] = ages
        self._hold(transition.session_id, ages.size, record)

    def append_gap(self, session_id: str, first: int, span: int, kind: Kind) -> None:
        """Hold a note that transitions first .. first+span-1 of a session will never be stored."""
        ages_size = self._header.get("sensor_ages_size", 0) if not self._pending else self._pending[-1][1]
        record = self._blank(ages_size)
        record["sequence"], record["span"], record["kind"] = first, span, kind
        self._hold(session_id, ages_size, record)

    def _blank(self, ages_size: int) -> npt.NDArray[Any]:
        dtype = record_dtype(self._identity["observation_size"], self._identity["action_size"], ages_size)
        return np.zeros((), dtype)

    def _hold(self, session_id: str, ages_size: int, record: npt.NDArray[Any]) -> None:
        body = record.tobytes()[:-4]
        self._pending.append((session_id, ages_size, body + zlib.crc32(body).to_bytes(4, "little")))

    def flush(self, now_s: float) -> None:
        """Hand held records to the operating system; onto the disk itself once per `sync_period_s`.

        Raises:
            StorageError: the disk is full or gone; the records that were not written are still held.
        """
        try:
            while self._pending:
                self._write_run()
            if now_s - self._synced_s >= self._sync_period_s:
                self._sync()
                self._synced_s = now_s
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(error.errno, storage_message(self._path, self.pending_bytes, error)) from error

    def sync(self) -> None:
        """Write what is held and bring everything onto the disk.

        Raises:
            StorageError: see `flush`.
        """
        self._synced_s = -np.inf
        self.flush(0.0)

    def _sync(self) -> None:
        if self._unsynced and self._descriptor >= 0:
            os.fsync(self._descriptor)
            self._unsynced = False

    @property
    def pending_bytes(self) -> int:
        """Bytes that are held in memory only."""
        return sum(len(record) for _, _, record in self._pending)

    def close(self) -> None:
        """Write what is held, bring it onto the disk, close the segment.

        Raises:
            StorageError: see `flush`.
        """
        try:
            self.sync()
        finally:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _write_run(self) -> None:
        """Write the held records up to the next change of session with one system call."""
        if self._torn is not None:
            self._cut(*self._torn)
            self._torn = None
        session_id, ages_size, _ = self._pending[0]
        self._select_segment(session_id, ages_size)
        count = next(
            (i for i, held in enumerate(self._pending) if held[:2] != (session_id, ages_size)), len(self._pending)
        )
        data = b"".join(record for _, _, record in self._pending[:count])
        append_whole(self._descriptor, data)
        self._unsynced = True
        del self._pending[:count]
        self.record_count += count

    def _select_segment(self, session_id: str, ages_size: int) -> None:
        wanted = {"session_id": session_id, "sensor_ages_size": ages_size}
        if self._descriptor >= 0:
            if wanted.items() <= self._header.items():
                return
            self._sync()
            os.close(self._descriptor)
            self._descriptor = -1
        if not wanted.items() <= self._header.items():
            header = {**self._identity, **wanted, "first_index": self.record_count}
            self._path = self.directory / f"{self._next_segment:06d}{_SUFFIX}"
            write_atomic(self._path, _encode_header(header))
            self._header = header
            self._next_segment += 1
        self._descriptor = os.open(self._path, os.O_RDWR)

    def _read(self) -> list[Segment]:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(error.errno, f"cannot make {self.directory}: {error.strerror}") from error
        paths = sorted(self.directory.glob(f"*{_SUFFIX}"))
        segments: list[Segment] = []
        for number, path in enumerate(paths):
            if path.name != f"{number:06d}{_SUFFIX}":
                raise ReplayLogError(f"{self.directory}: segment {number:06d}{_SUFFIX} is missing (found {path.name})")
            segments.append(self._read_segment(path, last=number == len(paths) - 1))
            expected = sum(segment.count for segment in segments[:-1])
            if segments[-1].first_index != expected:
                raise ReplayLogError(
                    f"{path} starts at record {segments[-1].first_index}, but {expected} records lie before it: "
                    "an earlier segment was changed; restore the replay directory from a copy"
                )
        return segments

    def _read_segment(self, path: Path, *, last: bool) -> Segment:
        data = _mapped(path)
        header, start = _decode_header(path, data)
        for name, value in self._identity.items():
            if header[name] != value:
                raise ReplayLogError(
                    f"{path} belongs to another run: its {name} is {header[name]!r}, this learner has {value!r}; "
                    "use another run name or the settings of that run"
                )
        dtype = record_dtype(header["observation_size"], header["action_size"], header["sensor_ages_size"])
        whole = _whole_records(data, start, dtype.itemsize)
        count = len(whole) if whole.all() else int(whole.argmin())  # before the first bad one
        end, behind = start + count * dtype.itemsize, int(whole[count:].sum())
        if end < len(data):
            self._note_tail(path, len(data), end, behind, last=last)
        self._header, self._path = header, path
        return Segment(path, header["session_id"], header["first_index"], start, count, dtype)

    def _note_tail(self, path: Path, size: int, end: int, behind: int, *, last: bool) -> None:
        """A crash tears nothing but the end off: with anything whole behind it, it is damage of another kind."""
        if behind or not last:
            follows = f"{behind} whole records" if behind else "other segments"
            remedy = f"; to go on without those, cut it: truncate -s {end} {path}" if last else ""
            raise ReplayLogError(
                f"{path} is damaged at byte {end} of {size}, and {follows} follow: restore the replay directory from a "
                f"copy{remedy}"
            )
        self._torn = path, end
        self.repairs.append(
            f"{path}: the last {size - end} bytes were torn by a crash; they are kept as {_cut_path(path, end).name} "
            "once the log is written to"
        )

    def _cut(self, path: Path, end: int) -> None:
        write_atomic(_cut_path(path, end), path.read_bytes()[end:])
        os.truncate(path, end)
        sync_directory(path.parent)


def _cut_path(path: Path, end: int) -> Path:
    return path.with_suffix(f"{_SUFFIX}.{end}.cut")


def _mapped(path: Path) -> mmap.mmap | bytes:
    """The file's bytes, read as they are needed: a log may be larger than what memory is left.

    A mapping holds a descriptor, so not all segments can be mapped at once.

    Raises:
        StorageError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    except OSError as error:
        remedy = "raise the limit or allow reading it"
        raise StorageError(error.errno, f"cannot read {path}: {error.strerror}: {remedy}") from error


def _encode_header(header: dict[str, Any]) -> bytes:
    text = json.dumps({"format_version": FORMAT_VERSION, **header}, sort_keys=True).encode()
    return _PREFIX.pack(_MAGIC, len(text), zlib.crc32(text)) + text


def _decode_header(path: Path, data: mmap.mmap | bytes) -> tuple[dict[str, Any], int]:
    """The JSON header and the offset of the first record."""
    if len(data) < _PREFIX.size or data[: len(_MAGIC)] != _MAGIC:
        raise ReplayLogError(f"{path} is not a replay log of rosac: it starts with {data[:8]!r}")
    _, length, crc = _PREFIX.unpack_from(data)
    start = _PREFIX.size + length
    text = data[_PREFIX.size : start]
    if zlib.crc32(text) != crc:
        raise ReplayLogError(f"{path}: the header is damaged; restore the file from a copy")
    header = json.loads(text)
    if header.get("format_version") != FORMAT_VERSION:
        raise ReplayLogError(
            f"{path} has format version {header.get('format_version')}, this rosac reads {FORMAT_VERSION}: "
            "use the version of rosac that wrote it"
        )
    if missing := [name for name in _HEADER_FIELDS if name not in header]:
        raise ReplayLogError(f"{path}: the header lacks {', '.join(missing)}")
    return header, start


def _whole_records(data: mmap.mmap | bytes, start: int, size: int) -> npt.NDArray[np.bool_]:
    """Which records have the checksum that they should have; what is left of one at the end is none."""
    view, count = memoryview(data), (len(data) - start) // size
    table = np.frombuffer(data, np.uint8, count * size, start).reshape(count, size)
    checksums = table[:, -4:].copy().view("<u4")[:, 0].tolist()
    begins = range(start, start + count * size, size)
    found = (zlib.crc32(view[begin : begin + size - 4]) for begin in begins)
    return np.fromiter((a == b for a, b in zip(found, checksums, strict=True)), dtype=bool, count=count)
