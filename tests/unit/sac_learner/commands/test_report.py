"""What is said at the end of a training of a policy that fails without its noise."""

import csv

import pytest
from sac_learner.commands.evaluation import Evaluation
from sac_learner.commands.report import note_need_of_noise
from sac_learner.runs.episode_table import COLUMNS
from sac_learner.runs.run_directory import Run


def trained(success_rate):
    return Evaluation(success_rate, 0.2, 666.0, 50, (), "m/s")


@pytest.fixture
def run(tmp_path):
    """Of 60 episodes: the first ones failed, of the last 25 all but one succeeded."""
    run = Run(tmp_path / "walker", "minitaur_walk", {})
    run.path.mkdir()
    with run.files.episodes.open("w") as file:
        table = csv.DictWriter(file, COLUMNS, restval="0", lineterminator="\n")
        table.writeheader()
        table.writerows({"success": str(int(episode > 35))} for episode in range(60))
    return run


def test_it_is_said_with_the_command_that_shows_it(run):
    notes = []
    note_need_of_noise(run, trained(0.0), notes.append)
    (note,) = notes
    assert "last 25 episodes" in note
    assert "96%" in note
    assert f"rosac eval {run.path} --noise" in note


@pytest.mark.parametrize("success_rate", [0.7, 1.0])
def test_a_policy_that_does_as_well_without_is_not_talked_about(run, success_rate):
    note_need_of_noise(run, trained(success_rate), pytest.fail)


def test_nor_is_a_run_without_a_finished_episode(run):
    run.files.episodes.unlink()
    note_need_of_noise(run, trained(0.0), pytest.fail)
