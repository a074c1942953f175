"""The episode table of a run, `episodes.csv`: a row per episode, appended at once, whole or not at all."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sac_learner.atomic_file import DamagedFileError, StorageError, append_whole, storage_message, write_atomic

COLUMNS = (
    "transitions",
    "session_id",
    "episode",
    "task",
    "steps",
    "end_reason",
    "episode_return",
    "success",
    "final_error_rad",
    "initial_error_rad",
    "steps_random",
    "steps_policy",
    "steps_human",
    "policy_version",
    "missed_periods",
    "reset_attempts",
    "reset_duration_s",
    "duration_s",
    "robot_time_s",
)

_FLOATS = (
    "episode_return",
    "final_error_rad",
    "initial_error_rad",
    "reset_duration_s",
    "duration_s",
    "robot_time_s",
)
_ROUNDING = 2e-3  # robot_time_s is rounded to milliseconds


class EpisodeTable:
    """Appends rows; an episode that is in the table already is not written again.

    What a full disk does not take is held and written before the next row, so nothing is dropped and nothing is torn.
    `missing` says how many episodes of the newest session have no row, nor part in the running sums.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the table; a half-written last line (after a crash) is cut off.

        Raises:
            DamagedFileError: a line is no row of such a table.
            StorageError: it cannot be read, or not be cut.
        """
        self._path = path
        self._seen: dict[str, set[str]] = {}  # episodes by session
        self._held: list[dict[str, str]] = []  # rows that are not in the file yet
        self._columns: list[str] = []  # of the file; empty: there is none
        self.transitions, self.missing = 0, 0
        self.robot_time_s = 0.0
        try:
            self._repair()
            self._columns, rows = _read(path)
        except OSError as error:
            raise StorageError(error.errno, f"cannot read or mend {path}: {error.strerror}") from error
        for row in rows:
            self._note(row)

    def add(self, row: Mapping[str, object], index: int) -> bool:
        """Append one episode, the `index`-th of its session. Returns False when it was there already.

        `row` holds the EpisodeSummary fields of COLUMNS, without the two running sums, and any reward terms and
        counters under names of their own.

        Raises:
            StorageError: it cannot be written now; it is held and tried again, see `flush`.
        """
        known = self._seen.get(str(row["session_id"]), ())
        if str(row["episode"]) in known:
            return False
        self.missing = max(0, index - len(known))
        sums = {
            "transitions": self.transitions + int(str(row["steps"])),
            "robot_time_s": round(
                self.robot_time_s + float(str(row["duration_s"])) + float(str(row["reset_duration_s"])), 3
            ),
        }
        complete = {name: str(value) for name, value in {**row, **sums}.items()}
        self._note(complete)
        self._held.append(complete)
        self.flush()
        return True

    def flush(self) -> None:
        """Write the rows that are held.

        Raises:
            StorageError: the disk takes none; what was not written is still held.
        """
        while self._held:
            self._write(self._held[0])
            del self._held[0]

    def _write(self, row: Mapping[str, str]) -> None:
        known = self._columns or COLUMNS
        columns = [*known, *(name for name in row if name not in known)]
        if self._columns and columns != self._columns:
            # From a task with other reward terms or counters: all rows get its columns.
            write_atomic(self._path, _csv(columns, [*read_episodes(self._path), row], header=True))
        else:
            self._append(columns, row)
        self._columns = columns

    def _append(self, columns: Sequence[str], row: Mapping[str, str]) -> None:
        data = b""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                # The file itself says whether it needs a header: somebody may have moved the old one away.
                data = _csv(columns, [row], header=os.fstat(descriptor).st_size == 0)
                append_whole(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(error.errno, storage_message(self._path, len(data), error)) from error

    def _note(self, row: Mapping[str, str]) -> None:
        self._seen.setdefault(row["session_id"], set()).add(row["episode"])
        self.transitions = int(row["transitions"])
        self.robot_time_s = float(row["robot_time_s"])

    def _repair(self) -> None:
        if not self._path.exists():
            return
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.truncate(self._path, whole)
        if whole == 0:
            self._path.unlink()


def read_episodes(path: Path) -> list[dict[str, str]]:
    """All rows of an episode table; without the last line while that is being written.

    Raises:
        DamagedFileError: a line is no row of such a table.
    """
    return _read(path)[1]


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, str]], *, header: bool) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows; nothing when there is no file."""
    if not path.exists():
        return [], []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1].decode(errors="replace")
    lines = csv.reader(io.StringIO(whole, newline=""))
    columns: list[str] = []
    rows: list[dict[str, str]] = []
    try:
        for values in lines:
            if not columns:
                _check_columns(values)
                columns = values
            else:
                rows.append(_row(columns, values, rows[-1] if rows else None))
    except (ValueError, csv.Error) as error:
        remedy = "restore it from a copy, or delete that line" if columns else "restore it from a copy, or move it away"
        raise DamagedFileError(f"{path}, line {lines.line_num}: {error}; {remedy}") from error
    return columns, rows


def _check_columns(values: Sequence[str]) -> None:
    if missing := [name for name in COLUMNS if name not in values]:
        raise ValueError(f"this is no episode table: it has no column {', '.join(missing)}")


def _row(columns: Sequence[str], values: Sequence[str], before: Mapping[str, str] | None) -> dict[str, str]:
    """A row, checked.

    Raises:
        ValueError: it has other fields than the table, a number is none, or the running sums fall.
    """
    if len(values) != len(columns):
        raise ValueError(f"{len(values)} fields instead of {len(columns)}")
    row = dict(zip(columns, values, strict=True))
    for name in COLUMNS:
        if name not in ("session_id", "task"):
            _number(name, row[name])
    sums = {"transitions": _number("steps", row["steps"])}
    sums["robot_time_s"] = float(row["duration_s"]) + float(row["reset_duration_s"])
    for name, own in sums.items():
        least = own + (float(before[name]) if before else 0.0)
        if not own >= 0.0 or not float(row[name]) >= least - _ROUNDING:
            raise ValueError(f"{name} is {row[name]}, it must be at least {least:g}")
    return row


def _number(name: str, text: str) -> float:
    try:
        return float(text) if name in _FLOATS else int(text)
    except ValueError:
        kind = "number" if name in _FLOATS else "whole number"
        raise ValueError(f"{name} is {text!r}, which is no {kind}") from None
