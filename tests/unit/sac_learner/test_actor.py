import numpy as np
import pytest
from helpers.learning import ACTION_SIZE, OBSERVATION_SIZE, make_policy
from rosac_common.settings import from_mapping
from rosac_common.transition import Source
from sac_learner.actor import Actor
from sac_learner.policy import PolicyNetwork
from sac_learner.settings import ActorSettings

OBSERVATION = np.linspace(-1, 1, OBSERVATION_SIZE, dtype=np.float32)


def make_actor(**changes):
    sizes = {"observation_size": OBSERVATION_SIZE, "action_size": ACTION_SIZE}
    return Actor(from_mapping(ActorSettings, {**sizes, **changes}))


def test_without_a_policy_it_sends_nothing_and_says_what_is_missing():
    actor = make_actor()
    assert actor.answer(OBSERVATION) is None
    assert actor.problem == "no policy yet: no action is sent; start the learner, or set policy_file"
    assert actor.counters.unanswered == 1
    actor.take_policy(make_policy())
    assert actor.problem == ""
    assert actor.answer(OBSERVATION) is not None


@pytest.mark.parametrize(
    ("observation", "problem"),
    [
        (np.zeros(4, np.float32), "observation has 4 values, the policy takes 5"),
        (np.zeros(0, np.float32), "observation has 0 values"),
        (np.array([0, np.nan, 0, np.inf, 0], np.float32), r"observation is not finite at [1, 3]: [nan, inf]"),
    ],
)
def test_unusable_observation_gets_no_action_and_is_named(observation, problem):
    actor = make_actor()
    actor.take_policy(make_policy())
    assert actor.answer(observation) is None
    assert problem in actor.problem
    assert actor.counters.refused_observations == 1
    assert actor.answer(OBSERVATION) is not None
    assert actor.problem == ""


def test_explores_uniformly_until_told_otherwise():
    actor = make_actor(seed=1)
    actor.take_policy(make_policy(version=1, explore_uniformly=True))
    answers = [actor.answer(OBSERVATION) for _ in range(2000)]
    assert {source for _, source in answers} == {Source.RANDOM}
    actions = np.array([action for action, _ in answers])
    assert actions.dtype == np.float32
    assert np.abs(actions).max() <= 1.0
    counts, _ = np.histogram(actions, bins=10, range=(-1, 1))
    assert np.abs(counts - 400).max() < 100
    actor.take_policy(make_policy(version=2))
    assert actor.answer(OBSERVATION)[1] is Source.POLICY


def test_draws_in_training_and_takes_the_mean_in_evaluation():
    mean = PolicyNetwork(make_policy()).mean_action(OBSERVATION)
    drawing, deterministic = make_actor(), make_actor(deterministic=True)
    for actor in (drawing, deterministic):
        actor.take_policy(make_policy())
    assert len({drawing.answer(OBSERVATION)[0].tobytes() for _ in range(10)}) == 10
    np.testing.assert_array_equal(deterministic.answer(OBSERVATION)[0], mean)


def test_same_seed_gives_the_same_actions():
    actions = []
    for seed in (3, 3, 4):
        actor = make_actor(seed=seed)
        actor.take_policy(make_policy())
        actions.append([actor.answer(OBSERVATION)[0].tolist() for _ in range(5)])
    assert actions[0] == actions[1] != actions[2]


def test_refused_policy_leaves_the_old_one_acting_and_is_named():
    actor = make_actor(deterministic=True)
    actor.take_policy(make_policy(version=2))
    before = actor.answer(OBSERVATION)[0]
    assert actor.take_policy(make_policy(version=1, seed=9))
    np.testing.assert_array_equal(actor.answer(OBSERVATION)[0], before)
    assert actor.problem == "policy refused, the old one (version 2) stays: version 1 is not above the current 2"
    assert actor.counters.policies_refused == 1
    actor.take_policy(make_policy(version=3))
    assert actor.problem == ""


def test_policy_file_is_run_as_it_is(tmp_path):
    path = tmp_path / "policy.safetensors"
    make_policy(explore_uniformly=True).save(path, {})
    actor = make_actor(policy_file=str(path), deterministic=True)
    action, source = actor.answer(OBSERVATION)
    assert source is Source.POLICY
    np.testing.assert_array_equal(action, PolicyNetwork(make_policy()).mean_action(OBSERVATION))


def test_policy_file_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "policy.safetensors"
    with pytest.raises(FileNotFoundError):
        make_actor(policy_file=str(path))
    make_policy().save(path, {})
    with pytest.raises(ValueError, match=r"policy.safetensors: its observation and action sizes are \(5, 2\)"):
        make_actor(policy_file=str(path), action_size=3)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="truncated"):
        make_actor(policy_file=str(path))
