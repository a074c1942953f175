"""The episode table of a run, `episodes.csv`: one row per episode, appended, each written at once."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

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


class EpisodeTable:
    """Appends rows; an episode that is in the table already is not written again."""

    def __init__(self, path: Path) -> None:
        """Open or create the table; a half-written last line (after a crash) is cut off."""
        self._path = path
        self._seen: set[tuple[str, str]] = set()
        self.transitions = 0
        self.robot_time_s = 0.0
        if path.exists():
            self._repair()
            for row in read_episodes(path):
                self._note(row)

    def add(self, row: Mapping[str, object]) -> bool:
        """Append one episode. `row` holds the EpisodeSummary fields of COLUMNS, without the two running sums, and
        any reward terms and counters under names of their own. Returns False when the episode was there already."""
        if (str(row["session_id"]), str(row["episode"])) in self._seen:
            return False
        new_file = not self._path.exists()
        sums = {
            "transitions": self.transitions + int(str(row["steps"])),
            "robot_time_s": round(
                self.robot_time_s + float(str(row["duration_s"])) + float(str(row["reset_duration_s"])), 3
            ),
        }
        complete = {**row, **sums}
        extra = [name for name in complete if name not in COLUMNS]
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, [*COLUMNS, *extra], lineterminator="\n")
        if new_file:
            writer.writeheader()
        writer.writerow(complete)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(buffer.getvalue())
        self._note({name: str(value) for name, value in complete.items()})
        return True

    def _note(self, row: Mapping[str, str]) -> None:
        self._seen.add((row["session_id"], row["episode"]))
        self.transitions = int(row["transitions"])
        self.robot_time_s = float(row["robot_time_s"])

    def _repair(self) -> None:
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.truncate(self._path, whole)
        if whole == 0:
            self._path.unlink()


def read_episodes(path: Path) -> list[dict[str, str]]:
    """All rows of an episode table."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
