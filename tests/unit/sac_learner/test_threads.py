import os
from collections.abc import Callable

import pytest
from sac_learner.gym.settings import GymSettings
from sac_learner.settings import LearnerNodeSettings


@pytest.mark.parametrize(
    ("made", "cores", "expected"),
    [
        (LearnerNodeSettings, 1, 1),
        (LearnerNodeSettings, 2, 1),  # the robot's nodes need one
        (LearnerNodeSettings, 16, 4),
        (GymSettings, 1, 1),
        (GymSettings, 2, 2),
        (GymSettings, 16, 4),
    ],
)
def test_no_more_threads_than_cores_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch, made: Callable[..., LearnerNodeSettings | GymSettings], cores: int, expected: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    needed = {} if made is LearnerNodeSettings else {"env_id": "Pendulum-v1", "steps": 1}
    assert made(**needed).thread_count == expected
    assert made(**needed, threads=7).thread_count == 7
