"""End reasons and the check of a transition."""

import dataclasses

import numpy as np
import pytest
from rosac_common.transition import EndReason, Source, Transition

GOOD = Transition(
    session_id="s",
    sequence=0,
    episode=0,
    step=0,
    policy_version=1,
    source=Source.POLICY,
    end_reason=EndReason.NONE,
    observation=np.zeros(3, np.float32),
    requested_action=np.zeros(2, np.float32),
    executed_action=np.zeros(2, np.float32),
    reward=1.0,
    next_observation=np.ones(3, np.float32),
    sensor_ages_s=np.zeros(1, np.float32),
    stamp_s=1.0,
    action_latency_s=0.001,
)


def test_only_terminated_cuts_the_bootstrap() -> None:
    assert [reason for reason in EndReason if not reason.bootstraps] == [EndReason.TERMINATED]


def test_a_good_transition_has_no_problem() -> None:
    assert GOOD.problem(3, 2) is None


@pytest.mark.parametrize("name", ["observation", "requested_action", "executed_action", "next_observation"])
@pytest.mark.parametrize("bad", [np.zeros(5, np.float32), None])
def test_wrong_size_and_nan_are_named(name: str, bad: np.ndarray | None) -> None:
    value = bad if bad is not None else np.full_like(getattr(GOOD, name), np.nan)
    problem = dataclasses.replace(GOOD, **{name: value}).problem(3, 2)
    assert problem is not None and name in problem


def test_infinite_reward_is_named() -> None:
    assert "reward is inf" in str(dataclasses.replace(GOOD, reward=float("inf")).problem(3, 2))


@pytest.mark.parametrize("change", [{"reward": 1e39}, {"next_observation": np.array([0.0, -1e39, 0.0])}])
def test_a_number_that_float32_does_not_hold_is_named(change: dict) -> None:
    problem = dataclasses.replace(GOOD, **change).problem(3, 2)
    assert "1e+39" in problem and "3.4e+38" in problem
