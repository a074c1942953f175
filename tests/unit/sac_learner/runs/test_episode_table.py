"""The episode table: every episode once, also after a crash in the middle of a line."""

import csv
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sac_learner.atomic_file import DamagedFileError, StorageError
from sac_learner.runs.episode_table import EpisodeTable, read_episodes


def row(episode: int, session: str = "s") -> dict[str, object]:
    return {
        "session_id": session,
        "episode": episode,
        "task": "T",
        "steps": 80,
        "end_reason": 2,
        "episode_return": -1.5,
        "success": 0,
        "final_error_rad": 0.3,
        "initial_error_rad": 1.0,
        "steps_random": 0,
        "steps_policy": 80,
        "steps_human": 0,
        "policy_version": 1,
        "missed_periods": 0,
        "reset_attempts": 1,
        "reset_duration_s": 2.0,
        "duration_s": 8.0,
        "reward_error": -2.0,
    }


def test_sums_run_over_the_episodes(tmp_path: Path) -> None:
    table = EpisodeTable(tmp_path / "episodes.csv")
    assert table.add(row(0), 0) and table.add(row(1), 1)
    rows = read_episodes(tmp_path / "episodes.csv")
    assert [(r["transitions"], r["robot_time_s"]) for r in rows] == [("80", "10.0"), ("160", "20.0")]
    assert rows[0]["reward_error"] == "-2.0"


def test_an_episode_is_written_once_also_after_a_restart(tmp_path: Path) -> None:
    EpisodeTable(tmp_path / "episodes.csv").add(row(0), 0)
    table = EpisodeTable(tmp_path / "episodes.csv")
    assert not table.add(row(0), 0)
    assert table.add(row(0, session="t"), 0)
    assert len(read_episodes(tmp_path / "episodes.csv")) == 2
    assert table.transitions == 160


def test_episodes_without_a_row_are_counted_also_after_a_restart(tmp_path: Path) -> None:
    table = EpisodeTable(tmp_path / "episodes.csv")
    table.add(row(1), 0)  # episode 0 was abandoned
    assert table.missing == 0
    table.add(row(4), 3)
    assert table.missing == 2
    table = EpisodeTable(tmp_path / "episodes.csv")
    assert not table.add(row(4), 3)
    table.add(row(6), 5)
    assert table.missing == 3
    table.add(row(0, session="t"), 0)
    assert table.missing == 0


def test_a_table_that_is_moved_away_is_begun_anew_with_its_header(tmp_path: Path) -> None:
    path = tmp_path / "episodes.csv"
    table = EpisodeTable(path)
    for number in range(2):
        table.add(row(number), number)
    path.rename(tmp_path / "away.csv")
    for number in range(2, 4):
        table.add(row(number), number)
    again = EpisodeTable(path)
    assert (again.transitions, again.robot_time_s) == (320, 40.0), "the sums go on"
    assert [r["episode"] for name in ("away.csv", path.name) for r in read_episodes(tmp_path / name)] == list("0123")


def test_a_half_written_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "episodes.csv"
    EpisodeTable(path).add(row(0), 0)
    with path.open("a") as file:
        file.write("160,s,1,T,80")
    assert EpisodeTable(path).add(row(1), 1)
    assert [r["episode"] for r in read_episodes(path)] == ["0", "1"]


@pytest.fixture
def limit_file_size() -> Iterator[Callable[[int], None]]:
    """Files may grow up to so many bytes: writes stop in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("rows_before", [0, 2])
def test_what_a_full_disk_takes_half_of_is_written_later(tmp_path: Path, limit_file_size, rows_before: int) -> None:
    path = tmp_path / "episodes.csv"
    table = EpisodeTable(path)
    for number in range(rows_before):
        table.add(row(number), number)
    size = path.stat().st_size if path.exists() else 0
    limit_file_size(size + 20)
    for number in (rows_before, rows_before + 1):
        with pytest.raises(StorageError, match="cannot write .*episodes.csv"):
            table.add(row(number), number)
        assert not table.add(row(number), number)
    assert path.stat().st_size == size
    limit_file_size(resource.RLIM_INFINITY)
    table.flush()
    table.add(row(rows_before + 2), rows_before + 2)
    rows = read_episodes(path)
    assert [r["episode"] for r in rows] == [str(number) for number in range(rows_before + 3)]
    assert [r["robot_time_s"] for r in rows] == [str(10.0 * (number + 1)) for number in range(rows_before + 3)]


def damaged(path: Path, **changes: str) -> None:
    """Three rows, the second one changed."""
    table = EpisodeTable(path)
    for number in range(3):
        table.add(row(number), number)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[1] |= changes
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"robot_time_s": "8.0"}, "robot_time_s is 8.0, it must be at least 20"),
        ({"robot_time_s": "0.0"}, "robot_time_s is 0.0"),
        ({"robot_time_s": "-123"}, "robot_time_s is -123"),
        ({"robot_time_s": "nan"}, "robot_time_s is nan"),
        ({"robot_time_s": "dclaw"}, "robot_time_s is 'dclaw', which is no number"),
        ({"duration_s": "nan"}, "robot_time_s is"),
        ({"transitions": "80"}, "transitions is 80, it must be at least 160"),
        ({"steps": "x"}, "steps is 'x', which is no whole number"),
        ({"episode_return": ""}, "episode_return is '', which is no number"),
    ],
)
def test_damage_is_named_with_its_line_and_the_remedy_works(tmp_path: Path, changes: dict, expected: str) -> None:
    path = tmp_path / "episodes.csv"
    damaged(path, **changes)
    for read in (EpisodeTable, read_episodes):
        with pytest.raises(DamagedFileError, match=f"episodes.csv, line 3: {expected}.*delete that line"):
            read(path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2] + lines[3:]))
    assert EpisodeTable(path).robot_time_s == 30.0


def test_two_rows_in_one_line_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "episodes.csv"
    EpisodeTable(path).add(row(0), 0)
    text = path.read_text()
    path.write_text(text + text.splitlines()[1][:30] + text.splitlines()[1] + "\n")
    with pytest.raises(DamagedFileError, match="line 3: .* fields instead of 20"):
        EpisodeTable(path)


def test_another_file_is_no_episode_table(tmp_path: Path) -> None:
    (tmp_path / "episodes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DamagedFileError, match="line 1: this is no episode table.*move it away"):
        EpisodeTable(tmp_path / "episodes.csv")


def test_new_reward_terms_get_columns_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "episodes.csv"
    EpisodeTable(path).add(row(0), 0)
    table = EpisodeTable(path)
    table.add({**row(1), "count_falls": 3}, 1)
    table.add(row(2), 2)
    rows = read_episodes(path)
    assert [(r["reward_error"], r["count_falls"]) for r in rows] == [("-2.0", ""), ("-2.0", "3"), ("-2.0", "")]
    assert EpisodeTable(path).transitions == 240
