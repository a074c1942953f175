"""What an evaluation says of the episodes it saw."""

import os

import pytest
from sac_interfaces.msg import EpisodeSummary
from sac_learner.commands.evaluation import _summary, evaluation_graph
from sac_learner.graph.stacks import STACKS, complete_arguments
from sac_learner.runs.run_directory import Run


def seen(task, *errors):
    return [
        EpisodeSummary(task=task, final_error_rad=error, episode_return=10.0, success=error == 0) for error in errors
    ]


def test_errors_are_told_in_the_unit_of_the_task():
    assert str(_summary(seen("DClawTurn", 0.0, 0.5))) == (
        "2 episodes: success 50%, mean final error 0.250 rad, mean return 10"
    )
    walked = _summary(seen("MinitaurWalk", 0.0, 0.5))
    assert "mean final error 0.250 m/s" in str(walked)
    assert walked.to_json()["error_unit"] == "m/s"
    assert walked.to_json()["final_error_mean"] == 0.25


@pytest.mark.parametrize(
    ("given", "changes", "expected"),
    [
        ({}, {}, "evaluation_{pid}"),
        ({"namespace": "second"}, {}, "evaluation_{pid}"),
        ({"backend": "dynamixel", "port": "emulator"}, {}, "evaluation_{pid}"),
        ({}, {"namespace": ""}, ""),
        ({}, {"namespace": "mine"}, "mine"),
        ({"backend": "dynamixel", "port": "/dev/ttyUSB0"}, {}, ""),
        ({"backend": "dynamixel", "port": "/dev/ttyUSB0", "namespace": "second"}, {}, "second"),
        ({}, {"backend": "dynamixel", "port": "/dev/ttyUSB0"}, ""),
    ],
)
def test_only_what_is_simulated_has_a_namespace_of_its_own(tmp_path, given, changes, expected):
    """Who stops a real robot, and its sensors' drivers, must be heard in an evaluation, too."""
    run = Run(tmp_path / "r", "dclaw_valve", complete_arguments(STACKS["dclaw_valve"], given))
    namespace = evaluation_graph(run, tmp_path / "policy.safetensors", changes).arguments["namespace"]
    assert namespace == expected.format(pid=os.getpid())
