import dataclasses

import numpy as np
import pytest
from helpers.learning import ACTION_SIZE, OBSERVATION_SIZE, make_policy
from sac_learner.atomic_file import DamagedFileError, tensor_bytes, write_atomic
from sac_learner.policy import (
    LOG_STD_LIMITS,
    NOISE_CORRELATION,
    ExplorationNoise,
    PolicyError,
    PolicyGuard,
    PolicyNetwork,
    load_policy,
)

OBSERVATION = np.linspace(-1, 1, OBSERVATION_SIZE, dtype=np.float32)


def changed(weights, **tensors):
    """The same policy with some tensors replaced, sealed again."""
    return dataclasses.replace(weights, tensors={**weights.tensors, **tensors}).sealed()


def make_guard(**changes):
    return PolicyGuard(OBSERVATION_SIZE, ACTION_SIZE, **{"max_action_change": 0.3, "recent_observations": 8, **changes})


def noise_source(seed):
    return ExplorationNoise(ACTION_SIZE, np.random.default_rng(seed))


def test_forward_pass_by_hand():
    mean, std = np.full(OBSERVATION_SIZE, 0.5, np.float32), np.full(OBSERVATION_SIZE, 2.0, np.float32)
    weights = make_policy(observation_mean=mean, observation_std=std)
    t = weights.tensors
    hidden = np.maximum(t["hidden.0.weight"] @ ((OBSERVATION - 0.5) / 2.0) + t["hidden.0.bias"], 0)
    output = t["output.weight"] @ hidden + t["output.bias"]
    network = PolicyNetwork(weights)
    assert (network.observation_size, network.action_size) == (OBSERVATION_SIZE, ACTION_SIZE)
    np.testing.assert_allclose(network.mean_action(OBSERVATION), np.tanh(output[:ACTION_SIZE]), rtol=1e-5)
    noise = np.random.default_rng(3).standard_normal(ACTION_SIZE, dtype=np.float32)
    expected = np.tanh(output[:ACTION_SIZE] + np.exp(output[ACTION_SIZE:]) * noise)
    sampled = network.sample_action(OBSERVATION, noise_source(3))
    np.testing.assert_allclose(sampled, expected, rtol=1e-5)
    assert sampled.dtype == np.float32


def test_standard_deviation_is_clipped():
    bias = np.array([0, 0, 50, -50], np.float32)
    weights = changed(make_policy(), **{"output.weight": np.zeros((4, 16), np.float32), "output.bias": bias})
    network, noise = PolicyNetwork(weights), noise_source(0)
    u = np.arctanh(
        np.array([network.sample_action(OBSERVATION, noise) for _ in range(300)], np.float64).clip(-1 + 1e-7, 1 - 1e-7)
    )
    assert np.abs(u[:, 1]).max() < 1e-6
    assert np.isfinite(u).all()
    assert np.median(np.abs(u[:, 0])) == pytest.approx(0.674 * np.exp(2.0), rel=0.2)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_noise_is_standard_normal_and_as_correlated_as_asked_for(correlation):
    noise = noise_source(0)
    drawn = np.array([noise.draw(correlation) for _ in range(20_000)])
    assert drawn.mean() == pytest.approx(0.0, abs=0.1)
    assert drawn.std() == pytest.approx(1.0, abs=0.05)
    assert np.mean(drawn[1:] * drawn[:-1]) == pytest.approx(correlation, abs=0.05)
    # From the first number on, not only after a while.
    firsts = np.array([noise_source(seed).draw(correlation) for seed in range(2000)])
    assert firsts.std() == pytest.approx(1.0, abs=0.05)


def test_policy_says_how_its_noise_is_correlated():
    weights = changed(make_policy(), **{NOISE_CORRELATION: np.array([0.8], np.float32)})
    mean, std = np.zeros(4, np.float32), np.array([0, 0, 0, 0], np.float32)
    weights = changed(weights, **{"output.weight": np.zeros((4, 16), np.float32), "output.bias": mean + std})
    network, noise, same = PolicyNetwork(weights), noise_source(1), noise_source(1)
    drawn = [network.sample_action(OBSERVATION, noise) for _ in range(3)]
    np.testing.assert_allclose(drawn, [np.tanh(same.draw(np.float32(0.8))) for _ in range(3)], rtol=1e-5)


def test_file_comes_back(tmp_path):
    weights = make_policy(version=2**40)
    weights.save(tmp_path / "policy.safetensors", {"task_name": "t"})
    loaded = load_policy(tmp_path / "policy.safetensors")
    assert dataclasses.replace(loaded, tensors={}, observation_mean=None, observation_std=None) == dataclasses.replace(
        weights, tensors={}, observation_mean=None, observation_std=None
    )
    assert list(loaded.tensors) == list(weights.tensors)
    np.testing.assert_array_equal(
        PolicyNetwork(loaded).mean_action(OBSERVATION), PolicyNetwork(weights).mean_action(OBSERVATION)
    )


def test_file_that_is_no_policy_is_refused(tmp_path):
    path = tmp_path / "policy.safetensors"
    with pytest.raises(FileNotFoundError):
        load_policy(path)
    write_atomic(
        path, tensor_bytes({"w": np.zeros(1, np.float32)}, {"format": "rosac checkpoint", "format_version": 1})
    )
    with pytest.raises(DamagedFileError, match="is rosac checkpoint version 1, expected rosac policy 2"):
        load_policy(path)


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({"hidden.0.weight": np.zeros((16, 4), np.float32)}, r"expected \(n, 5\)"),
        ({"hidden.0.bias": np.zeros(15, np.float32)}, "hidden.0.bias"),
        ({"output.weight": np.zeros((3, 16), np.float32), "output.bias": np.zeros(3, np.float32)}, "even number"),
        ({"output.bias": np.array([0, 0, np.nan, 0], np.float32)}, "output.bias has a value that is not finite"),
        ({"hidden.0.weight": np.full((16, 5), np.inf, np.float32)}, "hidden.0.weight has a value that is not finite"),
        ({"hidden.0.weight": np.zeros(16, np.float32)}, "hidden.0.weight"),
        ({LOG_STD_LIMITS: np.zeros(3, np.float32)}, "log_std_limits has shape"),
        ({NOISE_CORRELATION: np.zeros(2, np.float32)}, "noise_correlation has shape"),
        ({NOISE_CORRELATION: np.array([1.0], np.float32)}, "noise_correlation is 1.0; it must be at least 0"),
        ({"extra": np.zeros(1, np.float32)}, "expected hidden.0.weight"),
    ],
)
def test_guard_refuses_wrong_tensors_and_keeps_the_old_policy(tensors, problem):
    guard = make_guard()
    assert guard.accept(make_policy(version=1)) is None
    old = guard.current
    reason = guard.accept(changed(make_policy(version=2), **tensors))
    assert reason is not None
    with pytest.raises(PolicyError, match=problem):
        raise PolicyError(reason)
    assert guard.current is old


def test_guard_refuses_missing_tensors_and_a_wrong_normaliser():
    guard = make_guard()
    weights = make_policy()
    short = {name: tensor for name, tensor in weights.tensors.items() if name != "output.bias"}
    assert "expected" in guard.accept(dataclasses.replace(weights, tensors=short).sealed())
    assert "observation_std is 0.0" in guard.accept(make_policy(observation_std=np.zeros(5, np.float32)))
    assert "observation_mean has a value" in guard.accept(make_policy(observation_mean=np.full(5, np.nan, np.float32)))
    assert "observation_std has shape" in guard.accept(make_policy(observation_std=np.ones(4, np.float32)))
    assert guard.current is None


@pytest.mark.parametrize("first", [True, False])
def test_guard_refuses_finite_weights_whose_actions_are_not(first):
    guard = make_guard()
    if not first:
        assert guard.accept(make_policy(version=1)) is None
    old = guard.current
    guard.observe(np.ones(5, np.float32))
    # Each unit overflows to infinity, and the output subtracts one infinity from another.
    first_layer, last_layer = np.full((16, 5), 3e38, np.float32), np.tile(np.array([1, -1], np.float32), (4, 8))
    weights = changed(make_policy(version=2), **{"hidden.0.weight": first_layer, "output.weight": last_layer})
    assert guard.accept(weights) == "its actions at recent observations are not finite"
    assert guard.current is old


def test_guard_refuses_a_policy_for_another_robot():
    guard = PolicyGuard(OBSERVATION_SIZE, 3, max_action_change=0.3, recent_observations=8)
    assert guard.accept(make_policy()) == "its observation and action sizes are (5, 2), the robot's (5, 3)"


@pytest.mark.parametrize("part", ["tensor", "name", "shape", "mean", "std"])
def test_guard_refuses_a_wrong_checksum_whatever_was_changed(part):
    weights = make_policy()
    tensors = dict(weights.tensors)
    changes = {"tensors": tensors}
    if part == "tensor":
        tensors["hidden.0.bias"] = tensors["hidden.0.bias"] + np.float32(1e-3)
    elif part == "name":
        tensors = {name.replace("output", "Output"): tensor for name, tensor in tensors.items()}
        changes = {"tensors": tensors}
    elif part == "shape":
        tensors["hidden.0.weight"] = tensors["hidden.0.weight"].reshape(5, 16)
    else:
        changes = {f"observation_{part}": np.full(5, 1.5, np.float32)}
    guard = make_guard()
    assert "checksum is" in guard.accept(dataclasses.replace(weights, **changes))
    assert guard.accept(weights) is None


def test_guard_wants_growing_versions_within_a_run():
    guard = make_guard()
    assert guard.accept(make_policy(version=5)) is None
    current = guard.current
    for version in (5, 4):
        assert guard.accept(make_policy(version=version, seed=1)) == f"version {version} is not above the current 5"
    assert guard.accept(make_policy(version=5)) is None  # the same sent again is no complaint
    assert guard.current is current
    assert guard.accept(make_policy(version=6)) is None
    assert guard.accept(make_policy(version=1, run="another")) is None


def test_guard_bounds_the_change_of_action_by_the_number_of_versions():
    guard, base = make_guard(), make_policy(version=10)
    guard.accept(base)
    bias = base.tensors["output.bias"] + np.array([5, -5, 0, 0], np.float32)
    broken = changed(dataclasses.replace(base, version=11), **{"output.bias": bias})
    for i in range(8):
        guard.observe(OBSERVATION * (0.5 + 0.1 * i))
    reason = guard.accept(broken)
    assert "changes the action by" in reason
    assert "limit is 0.300 (1 versions at max_action_change 0.3)" in reason
    # A normal next version passes, ...
    small = base.tensors["output.bias"] + np.array([0.05, -0.05, 0, 0], np.float32)
    assert guard.accept(changed(dataclasses.replace(base, version=12), **{"output.bias": small})) is None
    # ... and a lasting change passes once the learner has gone on far enough.
    answers = [guard.accept(dataclasses.replace(broken, version=version).sealed()) for version in range(13, 20)]
    assert answers[0] is not None
    assert None in answers[:5]


def test_first_learned_policy_after_uniform_exploration_may_do_anything():
    guard = make_guard()
    guard.accept(make_policy(version=1, explore_uniformly=True))
    guard.observe(OBSERVATION)
    assert guard.accept(make_policy(version=2, seed=5)) is None
