"""Transitions with their target elsewhere: angle, error and reward change together, nothing else does."""

import math

import pytest
import torch
from rosac_common.settings import SettingsError, from_mapping
from sac_learner.sac.gradients import TensorBatch
from sac_learner.sac.learner import SacLearner
from sac_learner.sac.relabelling import make_relabelling
from sac_learner.sac.settings import RelabellingSettings, SacSettings

THIRDS = {
    "angle_places": [1, 2, 4],
    "turns_rad": [0.0, 2 * math.pi / 3, 4 * math.pi / 3],
    "reward_per_rad": -5.0,
    "bonus_below_rad": [0.25, 0.1],
    "bonus": [10.0, 50.0],
}
SPEEDS = {"velocity_places": [3, 4], "velocity_range_m_s": [-0.4, 0.4], "reward_per_m_s": -20.0}
COUNT = 600


def observed(angle, rest):
    """[joint, cos, sin, last action, error] with the target at 0."""
    error = torch.remainder(math.pi - angle, 2 * math.pi) - math.pi
    return torch.stack((rest[:, 0], angle.cos(), angle.sin(), rest[:, 1], error), 1)


def earned(error, rest):
    distance = error.abs()
    return -5.0 * distance + 10.0 * (distance < 0.25) + 50.0 * (distance < 0.1) - rest[:, 2]


def drawn():
    generator = torch.Generator().manual_seed(0)
    angle = math.pi * (2 * torch.rand(COUNT, generator=generator) - 1)
    rest, next_rest = torch.rand(2, COUNT, 3, generator=generator)
    next_angle = angle + 0.2 * torch.rand(COUNT, generator=generator)
    now, after = observed(angle, rest), observed(next_angle, next_rest)
    batch = TensorBatch(now, rest[:, :2], earned(after[:, -1], next_rest), after, torch.ones(COUNT))
    return batch, angle, next_angle, rest, next_rest


def relabelling(**changes):
    return made({**THIRDS, **changes})


def made(values):
    return make_relabelling(from_mapping(RelabellingSettings, values), 5, torch.device("cpu"))


def test_each_motion_has_its_mark_on_another_part_and_earns_what_it_then_would():
    batch, angle, next_angle, rest, next_rest = drawn()
    got = relabelling().augment(batch, torch.Generator().manual_seed(1))
    turn = torch.remainder(torch.atan2(got.observation[:, 2], got.observation[:, 1]) - angle, 2 * math.pi)
    part = torch.round(turn / (2 * math.pi / 3)) % 3
    assert torch.bincount(part.long()).min() > COUNT / 4
    for each, was, others in ((got.observation, angle, rest), (got.next_observation, next_angle, next_rest)):
        torch.testing.assert_close(each, observed(was + part * 2 * math.pi / 3, others), rtol=1e-4, atol=1e-4)
    distance = got.next_observation[:, -1].abs()
    clear = ((distance - 0.25).abs() > 1e-3) & ((distance - 0.1).abs() > 1e-3)  # of rounding at the steps of the reward
    expected = earned(got.next_observation[:, -1], next_rest)
    torch.testing.assert_close(got.reward[clear], expected[clear], rtol=1e-3, atol=1e-3)
    assert torch.equal(got.action, batch.action) and torch.equal(got.bootstrap, batch.bootstrap)
    same = part == 0
    torch.testing.assert_close(got.reward[same], batch.reward[same])


def test_half_of_the_motions_are_asked_for_another_velocity_and_earn_what_they_then_would():
    generator = torch.Generator().manual_seed(0)
    now, after = 0.5 * torch.randn(2, COUNT, 5, generator=generator)
    now[:, 3] = after[:, 3] = 0.3
    other = torch.rand(COUNT, generator=generator)
    batch = TensorBatch(now, now[:, :2], walked(0.3, after[:, 4]) - other, after, torch.ones(COUNT))
    got = made(SPEEDS).augment(batch, torch.Generator().manual_seed(1))
    asked = got.observation[:, 3]
    changed = asked != batch.observation[:, 3]
    assert 0.4 < changed.float().mean() < 0.6
    assert -0.4 <= asked.min() < -0.35 and 0.35 < asked.max() <= 0.4
    torch.testing.assert_close(got.reward, walked(asked, after[:, 4]) - other)
    for each, was in ((got.observation, now), (got.next_observation, after)):
        assert torch.equal(each[:, 3], asked) and torch.equal(each[:, [0, 1, 2, 4]], was[:, [0, 1, 2, 4]])
    assert torch.equal(got.action, batch.action) and torch.equal(got.bootstrap, batch.bootstrap)
    assert torch.equal(got.reward[~changed], batch.reward[~changed])


def walked(asked, measured):
    return 20.0 * (0.5 - (asked - measured).abs())


def test_the_learner_changes_the_batch_only_where_it_is_asked_to():
    batch, *_ = drawn()
    rewards = {}
    for asked in (True, False):
        settings = from_mapping(SacSettings, {"hidden_sizes": [8], "batch_size": 8, "target_relabelling": asked})
        learner = SacLearner(settings, 5, 2, seed=0, relabelling=from_mapping(RelabellingSettings, THIRDS))
        seen = []
        critic = learner._gradients.critic
        learner._gradients.critic = lambda given, *rest, critic=critic, seen=seen: (
            seen.append(given),
            critic(given, *rest),
        )[1]
        learner.compute(batch, True)
        rewards[asked] = seen[0].reward
    assert torch.equal(rewards[False], batch.reward)
    assert not torch.equal(rewards[True], batch.reward)


def test_a_task_without_such_a_target_is_learned_as_it_is():
    assert made({}) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"angle_places": [1, 2]}, "'angle_places' is .1, 2.; it must hold three different places below 5"),
        ({"angle_places": [1, 2, 5]}, "three different places below 5"),
        ({"angle_places": [1, 1, 4]}, "three different places"),
        ({"turns_rad": [1.0]}, "must hold 0"),
        ({"bonus": [1.0]}, "'bonus' has 1, 'bonus_below_rad' 2"),
        ({"velocity_places": [0, 3]}, "'angle_places' and 'velocity_places' are both given"),
        (
            {"angle_places": [], **SPEEDS, "velocity_places": [3]},
            "'velocity_places' is .3.; it must hold two different",
        ),
        ({"angle_places": [], **SPEEDS, "velocity_places": [3, 5]}, "two different places below 5"),
        ({"angle_places": [], **SPEEDS, "velocity_range_m_s": [0.4]}, "'velocity_range_m_s' is .0.4.; it must hold"),
        ({"angle_places": [], **SPEEDS, "velocity_range_m_s": [0.4, -0.4]}, "the lowest and the highest velocity"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        relabelling(**changes)
