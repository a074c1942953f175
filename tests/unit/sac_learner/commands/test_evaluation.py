"""What an evaluation says of the episodes it saw."""

from sac_interfaces.msg import EpisodeSummary
from sac_learner.commands.evaluation import _summary


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
