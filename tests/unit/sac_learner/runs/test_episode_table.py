"""The episode table: every episode once, also after a crash in the middle of a line."""

from pathlib import Path

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
    assert table.add(row(0)) and table.add(row(1))
    rows = read_episodes(tmp_path / "episodes.csv")
    assert [(r["transitions"], r["robot_time_s"]) for r in rows] == [("80", "10.0"), ("160", "20.0")]
    assert rows[0]["reward_error"] == "-2.0"


def test_an_episode_is_written_once_also_after_a_restart(tmp_path: Path) -> None:
    EpisodeTable(tmp_path / "episodes.csv").add(row(0))
    table = EpisodeTable(tmp_path / "episodes.csv")
    assert not table.add(row(0))
    assert table.add(row(0, session="t"))
    assert len(read_episodes(tmp_path / "episodes.csv")) == 2
    assert table.transitions == 160


def test_a_half_written_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "episodes.csv"
    EpisodeTable(path).add(row(0))
    with path.open("a") as file:
        file.write("160,s,1,T,80")
    assert EpisodeTable(path).add(row(1))
    assert [r["episode"] for r in read_episodes(path)] == ["0", "1"]
