"""Picture strips: an episode that ends before its time."""

import gymnasium
import numpy as np
import valve_task.env  # noqa: F401 - registers the environments
from sac_learner.runs import strip


class Standing:
    """A policy that does nothing."""

    def mean_action(self, observation):
        return np.zeros(8, dtype=np.float32)


def test_after_a_fall_the_last_picture_stays():
    falls_at_once = {"walk": {"folded_rad": 0.0}, "horizon_steps": 30}
    environment = gymnasium.make("rosac/MinitaurWalk-v0", task=falls_at_once)
    assert len(strip._frames(environment, Standing(), seed=0)) == strip.ROWS * strip.COLUMNS
