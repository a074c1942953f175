import dataclasses

import numpy as np
import pytest
import torch
from rosac_common.settings import from_mapping
from sac_learner.policy import ExplorationNoise, PolicyNetwork, PolicyWeights
from sac_learner.sac.batch import Batch
from sac_learner.sac.distribution import sample_action
from sac_learner.sac.learner import SacLearner
from sac_learner.sac.settings import SacSettings
from sac_learner.sac.symmetry import Symmetries

SIZES = (3, 2)


def settings(**changes):
    small = {"hidden_sizes": [32, 32], "batch_size": 64}
    return from_mapping(SacSettings, {**small, **changes})


def random_batch(rng, n=64, observation_size=3, action_size=2):
    def normal(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    bootstrap = (rng.random(n) < 0.9).astype(np.float32)
    return Batch(
        normal(n, observation_size), np.tanh(normal(n, action_size)), normal(n), normal(n, observation_size), bootstrap
    )


def plain_update(learner, batch, noises):
    """Algorithm 1 with one network after the other and no batching of critics: the gradients that Adam should see."""
    s = learner.settings
    observation, action, reward, next_observation, bootstrap = map(torch.from_numpy, batch)

    def policy(x):
        layers = list(zip(learner.policy.weights, learner.policy.biases, strict=True))
        for weight, bias in layers[:-1]:
            x = torch.relu(x @ weight + bias)
        x = x @ layers[-1][0] + layers[-1][1]
        return x[:, :2], torch.clamp(x[:, 2:], s.log_std_min, s.log_std_max)

    batch_norm = s.critic_normalisation == "batch"

    def critic(module, i, x, a, running=()):
        def normalised(h, layer):
            if not batch_norm:
                return h
            mean, variance = running[layer] if running else (h.mean(0), h.var(0, correction=0))
            moments[i].append((mean.detach(), variance.detach()))
            return (h - mean) / torch.sqrt(variance + 1e-3)

        moments[i] = []
        h = normalised(torch.cat([x, a], 1), 0)
        for layer, (weight, bias) in enumerate(list(zip(module.weights, module.biases, strict=True))[:-1]):
            h = h @ weight[i] + bias[i]
            if s.critic_normalisation == "layer":
                h = (h - h.mean(1, keepdim=True)) / torch.sqrt(h.var(1, correction=0, keepdim=True) + 1e-5)
            h = normalised(torch.relu(h), layer + 1)
        return (h @ module.weights[-1][i] + module.biases[-1][i])[:, 0]

    alpha, moments = s.initial_temperature, {}
    next_action, next_log_prob = sample_action(*policy(next_observation), noises[0])
    if batch_norm:
        both = torch.cat([observation, next_observation]), torch.cat([action, next_action])
        halves = [critic(learner.critic, i, *both).split(64) for i in range(2)]
        qs, next_q = [half[0] for half in halves], torch.min(halves[0][1], halves[1][1])
    else:
        next_q = torch.min(*[critic(learner.target_critic, i, next_observation, next_action) for i in range(2)])
        qs = [critic(learner.critic, i, observation, action) for i in range(2)]
    # What starts at mean 0 and variance 1 has gone a hundredth of the way.
    running = [[(0.01 * m, 0.99 + 0.01 * v) for m, v in moments[i]] if batch_norm else () for i in range(2)]
    target = (s.reward_scale * reward + s.discount * bootstrap * (next_q - alpha * next_log_prob)).detach()
    losses = [0.5 * ((q - target) ** 2).mean() for q in qs]
    critic_gradients = torch.autograd.grad(sum(losses), list(learner.critic.parameters()))

    def actor_gradients():
        new_action, log_prob = sample_action(*policy(observation), noises[1])
        q = torch.min(*[critic(learner.critic, i, observation, new_action, running[i]) for i in range(2)])
        return torch.autograd.grad((alpha * log_prob - q).mean(), list(learner.policy.parameters()))

    return critic_gradients, actor_gradients


OWN_SCALES = {"reward_scale": 0.1, "initial_temperature": 0.3, "discount": 0.9}


@pytest.mark.parametrize("gradients", ["derived", "plain"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        OWN_SCALES,
        {**OWN_SCALES, "critic_normalisation": "layer"},
        {**OWN_SCALES, "critic_normalisation": "batch", "tau": 1.0},
    ],
)
def test_first_update_equals_an_independent_one(gradients, changes):
    learner = SacLearner(settings(gradients=gradients, **changes), *SIZES, seed=3)
    assert not learner.fallback
    # Later in a training the target critics differ from the critics.
    with torch.no_grad():
        for parameter in learner.target_critic.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    generator = torch.Generator()
    generator.set_state(learner.state()["noise_generator"])
    noises = [torch.empty(64, 2).normal_(generator=generator) for _ in range(2)]
    batch = random_batch(np.random.default_rng(0))
    before = {name: value.clone() for name, value in learner.state().items()}
    critic_gradients, actor_gradients = plain_update(learner, batch, noises)
    learner.update(batch)
    # The actor's gradient is taken with the critics after their step.
    with torch.no_grad():
        stepped = {n: p.clone() for n, p in learner.policy.named_parameters()}
        for name, parameter in learner.policy.named_parameters():
            parameter.copy_(before[f"policy.{name}"])
    expected = actor_gradients()
    for (name, _), gradient in zip(learner.policy.named_parameters(), expected, strict=True):
        # The first step of Adam is lr * g / (|g| + eps).
        step = -3e-4 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(stepped[name] - before[f"policy.{name}"], step, rtol=0.02, atol=2e-6)
    for (name, parameter), gradient in zip(learner.critic.named_parameters(), critic_gradients, strict=True):
        step = -3e-4 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(parameter - before[f"critic.{name}"], step, rtol=0.02, atol=2e-6)
        tau = learner.settings.tau
        smoothed = before[f"target_critic.{name}"] + tau * (parameter - before[f"target_critic.{name}"])
        torch.testing.assert_close(dict(learner.target_critic.named_parameters())[name].data, smoothed.data)


def test_the_targets_follow_the_critics_in_updates_without_the_actor_too():
    learner, rng = SacLearner(settings(actor_interval=3), *SIZES, seed=3), np.random.default_rng(0)
    for _ in range(6):
        before = {name: value.clone() for name, value in learner.state().items()}
        learner.update(random_batch(rng))
        after = learner.state()
        for name, _ in learner.critic.named_parameters():
            old, critic = before[f"target_critic.{name}"], after[f"critic.{name}"]
            smoothed = old + learner.settings.tau * (critic - old)
            torch.testing.assert_close(after[f"target_critic.{name}"], smoothed)
            assert not torch.equal(old, smoothed)


def test_the_acting_policy_follows_the_trained_one():
    learner, rng = (
        SacLearner(settings(policy_smoothing=0.25, actor_interval=2), *SIZES, seed=3),
        np.random.default_rng(0),
    )
    plain = SacLearner(settings(actor_interval=2), *SIZES, seed=3)
    expected = learner.policy_tensors()
    for number in range(5):
        batch = random_batch(rng)
        learner.update(batch)
        plain.update(batch)
        trained = plain.policy_tensors()  # that of the other is the same: it trains as without
        if number % 2 == 0:
            expected = {name: value + 0.25 * (trained[name] - value) for name, value in expected.items()}
    for name, value in learner.policy_tensors().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)
    assert not np.allclose(expected["output.weight"], trained["output.weight"], atol=1e-5)
    other = SacLearner(learner.settings, *SIZES, seed=4)
    other.load_state(learner.state(), learner.updates)
    np.testing.assert_array_equal(other.policy_tensors()["output.weight"], learner.policy_tensors()["output.weight"])


def test_symmetries_change_the_batch_before_anything_is_computed_from_it():
    opposite = Symmetries.from_signed([-1, -2, -3], [-1, -2], *SIZES)
    batch = random_batch(np.random.default_rng(0))
    turned = SacLearner(settings(symmetry_augmentation=True), *SIZES, seed=3, symmetries=opposite)
    turned.update(batch)
    other = SacLearner(settings(), *SIZES, seed=3)
    torch.randint(1, (64,), generator=other.generator)  # the draw of the symmetries
    signs = {name: -getattr(batch, name) for name in ("observation", "action", "next_observation")}
    other.update(dataclasses.replace(batch, **signs))
    assert all(torch.equal(value, other.state()[name]) for name, value in turned.state().items())


def test_same_seed_and_batches_give_the_same_weights_bit_for_bit():
    states = []
    for _ in range(2):
        learner, rng = SacLearner(settings(), *SIZES, seed=1), np.random.default_rng(0)
        for _ in range(5):
            learner.update(random_batch(rng))
        states.append(learner.state())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    other = SacLearner(settings(), *SIZES, seed=2).state()
    assert not torch.equal(other["policy.weights.0"], states[0]["policy.weights.0"])


def test_learned_temperature_moves_and_a_fixed_one_stays():
    batch = random_batch(np.random.default_rng(0))
    for mode, start in (("learned", 1.0), ("fixed", 0.2)):
        learner = SacLearner(settings(temperature_mode=mode), *SIZES, seed=0)
        assert learner.log_alpha.exp().item() == pytest.approx(start)
        for _ in range(3):
            learner.update(batch)
        moved = learner.log_alpha.exp().item() != pytest.approx(start)
        assert moved == (mode == "learned")


def test_log_standard_deviation_is_clipped():
    learner = SacLearner(settings(log_std_min=-3.0, log_std_max=0.5), *SIZES, seed=0)
    observation = 100 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    _, log_std = learner.policy(observation)
    assert (log_std.min().item(), log_std.max().item()) == (-3.0, 0.5)
    assert learner.policy_tensors()["log_std_limits"].tolist() == [-3.0, 0.5]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("observation", np.zeros((64, 4), np.float32)),
        ("action", np.zeros((63, 2), np.float32)),
        ("reward", np.zeros((64, 1), np.float32)),
        ("bootstrap", np.zeros(64, np.float64)),
        ("reward", np.full(64, np.nan, np.float32)),
        ("next_observation", np.full((64, 3), np.inf, np.float32)),
    ],
)
def test_a_wrong_batch_is_refused_before_anything_changes(field, value):
    learner = SacLearner(settings(), *SIZES, seed=0)
    before = {name: tensor.clone() for name, tensor in learner.state().items()}
    good = random_batch(np.random.default_rng(0))
    bad = Batch(**{**vars(good), field: value})
    with pytest.raises(ValueError, match="batch: "):
        learner.update(bad)
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.state().items())


def test_exported_policy_computes_what_the_learner_computes():
    learner = SacLearner(settings(), *SIZES, seed=5)
    for parameter in learner.policy.biases:
        parameter.data.normal_(std=0.1)
    zeros, ones = np.zeros(3, np.float32), np.ones(3, np.float32)
    network = PolicyNetwork(PolicyWeights("r", 1, 0, 0, False, learner.policy_tensors(), zeros, ones))
    observation = np.random.default_rng(0).standard_normal((10, 3), dtype=np.float32)
    mean, log_std = learner.policy(torch.from_numpy(observation))
    np.testing.assert_allclose(network.mean_action(observation), torch.tanh(mean).detach().numpy(), atol=1e-6)
    noise = np.random.default_rng(7).standard_normal(2, dtype=np.float32)
    sampled, _ = sample_action(mean[:1], log_std[:1], torch.from_numpy(noise[None]))
    drawn = network.sample_action(observation[0], ExplorationNoise(2, np.random.default_rng(7)))
    np.testing.assert_allclose(drawn, sampled[0].detach().numpy(), atol=1e-6)


def test_finds_the_maximum_entropy_policy_of_a_known_problem():
    """One step, reward -(a - 0.5 o)^2, temperature alpha: the optimum is a Gaussian, mean 0.5 o, variance alpha / 2."""
    alpha = 0.04
    changes = {"temperature_mode": "fixed", "fixed_temperature": alpha, "learning_rate": 3e-3, "tau": 0.05}
    learner, rng = SacLearner(settings(**changes), 1, 1, seed=0), np.random.default_rng(0)
    for _ in range(1200):
        observation = rng.uniform(-1, 1, (64, 1)).astype(np.float32)
        action = rng.uniform(-1, 1, (64, 1)).astype(np.float32)
        reward = -((action - 0.5 * observation) ** 2)[:, 0]
        learner.update(Batch(observation, action, reward, observation, np.zeros(64, np.float32)))
    test = torch.linspace(-0.8, 0.8, 9)[:, None]
    with torch.no_grad():
        noise = torch.randn(2000, 9, 1, generator=torch.Generator().manual_seed(0))
        mean, log_std = learner.policy(test)
        actions = torch.tanh(mean + log_std.exp() * noise)
    assert (actions.mean(0) - 0.5 * test).abs().max() < 0.08
    assert actions.std(0).numpy() == pytest.approx(np.full((9, 1), np.sqrt(alpha / 2)), rel=0.3)


def test_value_of_a_constant_reward_is_bootstrapped_unless_terminated():
    changes = {
        "temperature_mode": "fixed",
        "fixed_temperature": 0.0,
        "learning_rate": 1e-2,
        "tau": 0.1,
        "discount": 0.8,
    }
    learner, rng = SacLearner(settings(**changes), 1, 1, seed=0), np.random.default_rng(0)
    for _ in range(700):
        # Observation +1: the episode terminates; -1: it goes on (or is only cut short).
        terminal = rng.random(64) < 0.5
        observation = np.where(terminal, 1.0, -1.0).astype(np.float32)[:, None]
        action = rng.uniform(-1, 1, (64, 1)).astype(np.float32)
        bootstrap = (~terminal).astype(np.float32)
        learner.update(Batch(observation, action, np.ones(64, np.float32), observation, bootstrap))
    with torch.no_grad():
        q = learner.critic(torch.tensor([[1.0], [-1.0]]), torch.zeros(2, 1)).min(0).values
    assert q[0].item() == pytest.approx(1.0, abs=0.1)
    assert q[1].item() == pytest.approx(1.0 / (1.0 - 0.8), abs=0.5)


def test_learned_temperature_meets_its_entropy_constraint():
    """With no reward to gain the entropy settles at the target instead of the maximum."""
    changes = {"learning_rate": 1e-2, "tau": 0.1, "target_entropy_per_action": -0.5}
    learner, rng = SacLearner(settings(**changes), 1, 1, seed=0), np.random.default_rng(0)
    entropies = []
    for _ in range(700):
        observation = rng.uniform(-1, 1, (64, 1)).astype(np.float32)
        action = rng.uniform(-1, 1, (64, 1)).astype(np.float32)
        reward = (-4 * action**2)[:, 0]
        metrics = learner.update(Batch(observation, action, reward, observation, np.zeros(64, np.float32)))
        entropies.append(metrics["entropy"].item())
    assert np.mean(entropies[-100:]) == pytest.approx(-0.5, abs=0.15)
