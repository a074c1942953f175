"""The hand-derived gradients against automatic differentiation, and the check at the start of every learner."""

import numpy as np
import pytest
import sac_learner.sac.learner as learner_module
import torch
from rosac_common.settings import SettingsError, from_mapping
from sac_learner.sac import derived, derived_layers
from sac_learner.sac.batch import Batch
from sac_learner.sac.compiled import compile_for_cpu
from sac_learner.sac.derived import DerivedGradients
from sac_learner.sac.gradients import (
    BFLOAT16_GRADIENT_TOLERANCE,
    Networks,
    PlainGradients,
    TensorBatch,
    check_gradients,
)
from sac_learner.sac.learner import SacLearner
from sac_learner.sac.settings import SacSettings

OBSERVATION, ACTION, BATCH = 5, 3, 64
VARIANTS = [
    {},
    {"hidden_sizes": [16]},
    {"hidden_sizes": [24, 16, 8]},
    {"critic_normalisation": "layer"},
    {"critic_normalisation": "batch", "tau": 1.0},
    {"temperature_mode": "fixed"},
    {"temperature_loss": "log_alpha"},
    {"log_std_min": -0.05, "log_std_max": 0.05},
    {"discount": 0.5, "reward_scale": 7.0, "target_entropy_per_action": 0.3},
]


def learner(changes):
    made = SacLearner(
        from_mapping(SacSettings, {"hidden_sizes": [32, 32], "batch_size": BATCH, **changes}),
        OBSERVATION,
        ACTION,
        seed=0,
    )
    # Biases that are not zero, so that a mistake about them shows.
    generator = torch.Generator().manual_seed(1)
    for module in (made.policy, made.critic, made.target_critic):
        for bias in module.biases:
            bias.data.normal_(std=0.3, generator=generator)
    for buffer in made.critic.buffers():
        buffer.uniform_(0.5, 2.0, generator=generator)
    return made


def networks_of(made):
    return Networks(made.policy, made.critic, made.target_critic, made.log_alpha, made.target_entropy)


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    bootstrap = (normal(BATCH) > -0.8).float()
    batch = TensorBatch(
        normal(BATCH, OBSERVATION),
        torch.tanh(normal(BATCH, ACTION)),
        normal(BATCH),
        normal(BATCH, OBSERVATION),
        bootstrap,
    )
    return batch, normal(2, BATCH, ACTION)


def cases(*compiled):
    """Every variant as it is written, and these also compiled: that takes seconds each."""
    return [(changes, None) for changes in VARIANTS] + [(changes, compile_for_cpu) for changes in compiled]


def in_words(value):
    """The same in every test process, which a function's address is not."""
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(
    ("changes", "compiler"),
    cases(
        {"critic_normalisation": "layer", "hidden_sizes": [24, 16, 8], "temperature_mode": "fixed"},
        {"critic_normalisation": "batch", "tau": 1.0, "hidden_sizes": [24, 16, 8]},
    ),
    ids=in_words,
)
def test_derived_gradients_equal_automatic_differentiation(changes, compiler):
    made = learner(changes)
    networks = networks_of(made)
    plain = PlainGradients(made.settings, networks)
    fast = DerivedGradients(made.settings, networks, compiler=compiler)
    for seed in range(3):
        batch, noise = drawn(seed)
        for name in ("critic", "actor"):
            expected = getattr(plain, name)(batch, torch.tensor(0.2), noise)
            got = getattr(fast, name)(batch, torch.tensor(0.2), noise)
            torch.testing.assert_close(got.gradient, expected.gradient, rtol=1e-3, atol=1e-6)
            assert got.metrics.keys() == expected.metrics.keys()
            for key, value in got.metrics.items():
                torch.testing.assert_close(value, expected.metrics[key], rtol=1e-4, atol=1e-5)
            assert (got.statistics is None) == (name == "actor" or changes.get("critic_normalisation") != "batch")
            if got.statistics is not None:
                torch.testing.assert_close(got.statistics, expected.statistics, rtol=1e-4, atol=1e-5)


def test_training_with_either_gradients_goes_the_same_way():
    states = {}
    for gradients in ("derived", "plain"):
        made = SacLearner(
            from_mapping(SacSettings, {"hidden_sizes": [32, 32], "batch_size": BATCH, "gradients": gradients}),
            OBSERVATION,
            ACTION,
            seed=0,
        )
        for seed in range(20):
            batch, _ = drawn(seed)
            made.update(Batch(*(field.numpy() for field in batch)))
        states[gradients] = made.state()
    for name, value in states["derived"].items():
        # Adam divides by the gradient's size: rounding of a tiny gradient moves a parameter by up to the step size.
        difference = (value.double() - states["plain"][name].double()).abs()
        assert difference.mean() < 2e-4, name


@pytest.mark.parametrize(("changes", "compiler"), cases({"critic_normalisation": "layer"}), ids=in_words)
def test_products_in_bfloat16_are_near(changes, compiler):
    """Rounding to 8 bits; what is summed over the batch averages out."""
    made = learner(changes)
    networks = networks_of(made)
    plain = PlainGradients(made.settings, networks)
    fast = DerivedGradients(made.settings, networks, torch.bfloat16, compiler)
    assert check_gradients(plain, fast, networks, BATCH, BFLOAT16_GRADIENT_TOLERANCE) == ""
    assert "differs" in check_gradients(plain, fast, networks, BATCH)
    batch, noise = drawn(0)
    fast.critic(batch, torch.tensor(0.2), noise)
    before = [weight.detach().clone() for weight in networks.critic.weights]
    with torch.no_grad():
        for module in (networks.policy, networks.critic, networks.target_critic):
            for parameter in module.parameters():
                parameter.mul_(1.5)
    for name in ("critic", "actor"):  # the rounded copies follow the parameters
        expected, got = (getattr(each, name)(batch, torch.tensor(0.2), noise).gradient for each in (plain, fast))
        assert float((got - expected).norm() / expected.norm()) < BFLOAT16_GRADIENT_TOLERANCE
    assert not torch.equal(before[0], networks.critic.weights[0])


def test_products_in_bfloat16_are_used_when_asked_for():
    states = {}
    for products in ("float32", "bfloat16"):
        made = learner({"products": products})
        assert (made.fallback, made.products) == ("", products)
        batch, _ = drawn(0)
        made.update(Batch(*(field.numpy() for field in batch)))
        states[products] = made.state()
    moments = [state["critic_adam.mean"] for state in states.values()]
    assert not torch.equal(*moments)
    torch.testing.assert_close(*moments, rtol=0.1, atol=0.02 * float(moments[0].abs().max()))


@pytest.mark.parametrize(("amx", "avx512"), [(True, False), (False, True), (False, False)])
def test_auto_takes_bfloat16_where_the_processor_computes_it(monkeypatch, amx, avx512):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert learner({"products": "auto"}).products == ("bfloat16" if amx or avx512 else "float32")
    assert learner({"products": "auto", "gradients": "plain"}).products == "float32"


@pytest.mark.parametrize("changes", VARIANTS, ids=in_words)
def test_every_learner_finds_its_gradients_in_order(changes):
    assert learner(changes).fallback == ""


@pytest.mark.parametrize(
    ("module", "broken"),
    [
        (derived_layers, "relu_backward"),
        (derived, "sample_action"),
        (derived, "critic_target"),
    ],
)
def test_wrong_gradients_are_found_at_the_start_and_not_used(module, broken, monkeypatch):
    right = getattr(module, broken)

    def wrong_relu(back, hidden, threshold):
        return right(back, torch.ones_like(hidden), threshold)

    def wrong_sample(mean, log_std, noise):
        action, log_prob = right(mean, log_std, noise)
        return action, log_prob + 0.01 * mean.sum(1)

    def wrong_target(*arguments, **options):
        return right(*arguments, **{**options, "discount": options["discount"] - 0.01})

    wrong = {"relu_backward": wrong_relu, "sample_action": wrong_sample, "critic_target": wrong_target}[broken]
    monkeypatch.setattr(module, broken, wrong)
    made = learner({})
    assert "hand-derived gradients cannot be used: they do not agree with the plain ones" in made.fallback
    assert isinstance(made._gradients, PlainGradients)


def target_is_the_critic(made):
    made._target = made._critic


def critics_biases_are_ignored(made):
    made._critic = made._critic._replace(biases=[torch.zeros_like(bias) for bias in made._critic.biases])


def policys_biases_are_ignored(made):
    made._policy = made._policy._replace(biases=[torch.zeros_like(bias) for bias in made._policy.biases])


def critics_weights_are_a_copy(made):
    made._critic = made._critic._replace(weights=[weight.clone() for weight in made._critic.weights])


def statistics_are_a_copy(made):
    made._moments = [(mean.clone(), variance.clone()) for mean, variance in made._moments]


def temperature_is_a_copy(made):
    made._log_alpha = made._log_alpha.clone()


@pytest.mark.parametrize(
    ("mistake", "changes"),
    [
        (target_is_the_critic, {}),
        (critics_biases_are_ignored, {}),
        (policys_biases_are_ignored, {}),
        (critics_weights_are_a_copy, {}),
        (statistics_are_a_copy, {"critic_normalisation": "batch", "tau": 1.0}),
        (temperature_is_a_copy, {}),
    ],
)
def test_a_mistake_about_what_is_equal_or_zero_in_new_networks_is_found_at_the_start(mistake, changes, monkeypatch):
    right = DerivedGradients.__init__

    def wrong(self, *arguments, **options):
        right(self, *arguments, **options)
        mistake(self)

    monkeypatch.setattr(DerivedGradients, "__init__", wrong)
    settings = from_mapping(SacSettings, {"hidden_sizes": [32, 32], "batch_size": BATCH, **changes})
    made = SacLearner(settings, OBSERVATION, ACTION, seed=0)
    assert "they do not agree with the plain ones" in made.fallback


def test_a_compiler_that_takes_a_tensor_for_a_constant_is_found_at_the_start(monkeypatch):
    def frozen(function, arguments):
        policy = tuple([each.clone() for each in part] for part in arguments[0])
        return lambda first, *others: function(type(first)(*policy), *others)

    monkeypatch.setattr(learner_module, "compile_for_cpu", frozen)
    settings = from_mapping(SacSettings, {"hidden_sizes": [32, 32], "batch_size": BATCH, "gradients": "compiled"})
    made = SacLearner(settings, OBSERVATION, ACTION, seed=0)
    assert "compiled gradients cannot be used: they do not agree with the plain ones" in made.fallback


@pytest.mark.parametrize(("observation_size", "action_size"), [(21, 9), (112, 8)])
def test_the_check_at_the_start_meets_clipped_standard_deviations_too(observation_size, action_size, monkeypatch):
    """A gradient that ignores the limits is right wherever they are not reached."""
    right, clipped = DerivedGradients.critic, []

    def without_limits(self, *arguments):
        result = right(self, *arguments)
        clipped.append(float((self._kept.raw_log_std != self._kept.log_std).float().mean()))
        self._kept = self._kept._replace(raw_log_std=self._kept.log_std)
        return result

    monkeypatch.setattr(DerivedGradients, "critic", without_limits)
    made = SacLearner(from_mapping(SacSettings, {}), observation_size, action_size, seed=0)
    assert "actor gradient differs by" in made.fallback
    assert 0.05 < max(clipped) < 0.95


def test_gradients_that_a_device_cannot_compute_are_not_used(monkeypatch):
    def missing(*_, **__):
        raise RuntimeError("'threshold_backward' not implemented for 'Half'\nmore lines")

    monkeypatch.setattr(derived_layers, "relu_backward", missing)
    made = learner({})
    assert "used: 'threshold_backward' not implemented for 'Half'. Updates use the plain ones" in made.fallback
    assert isinstance(made._gradients, PlainGradients)


def test_a_compiled_update_is_that_of_the_written_gradients_but_for_rounding():
    moments = []
    for gradients in ("derived", "compiled"):
        made = learner({"gradients": gradients, "actor_interval": 2})
        assert made.fallback == ""
        for seed in range(3):  # with the policy, without, with
            made.update(Batch(*(field.numpy() for field in drawn(seed)[0])))
        moments.append(made.state()["critic_adam.mean"])
    torch.testing.assert_close(*moments, rtol=0.01, atol=1e-3 * float(moments[0].abs().max()))
    assert not torch.equal(*moments)  # something else computed


def compiled_wrongly(function, arguments):
    def call(*given):
        descent, kept = function(*given)
        return descent._replace(gradient=descent.gradient * 1.01), kept

    return call


@pytest.mark.parametrize("wrong", [1, 2, 3])
def test_a_difference_counts_if_it_is_there_on_every_batch(wrong):
    """Rounding may flip a unit on one batch."""
    made = learner({})
    networks = networks_of(made)
    plain, other = PlainGradients(made.settings, networks), PlainGradients(made.settings, networks)
    calls = []

    def critic(*arguments):
        calls.append(arguments)
        descent = plain.critic(*arguments)
        return descent._replace(gradient=descent.gradient * (1.01 if len(calls) <= wrong else 1.0))

    other.critic = critic
    assert ("critic gradient differs by 0.01" in check_gradients(plain, other, networks, BATCH)) is (wrong == 3)
    assert not torch.equal(calls[0][0].observation, calls[1][0].observation)


def wrong_without_actor(function, arguments):
    *_, noise = arguments
    return compiled_wrongly(function, arguments) if len(noise) == 1 else function


def no_compiler(function, arguments):
    raise RuntimeError("No working C++ compiler found\nmore lines")


@pytest.mark.parametrize(
    ("compiler", "cause"),
    [
        (compiled_wrongly, "they do not agree with the plain ones: critic gradient differs"),
        (wrong_without_actor, "they do not agree with the plain ones: critic gradient differs"),
        (no_compiler, "No working"),
    ],
)
def test_compiled_gradients_that_are_wrong_or_cannot_be_made_are_not_used(compiler, cause, monkeypatch):
    monkeypatch.setattr(learner_module, "compile_for_cpu", compiler)
    made = learner({"gradients": "compiled", "actor_interval": 2})
    assert f"compiled gradients cannot be used: {cause}" in made.fallback
    assert "Updates use the hand-derived ones, not compiled" in made.fallback
    assert isinstance(made._gradients, DerivedGradients)
    made.update(Batch(*(field.numpy() for field in drawn(0)[0])))


def test_compiled_code_is_not_taken_from_a_folder_that_others_can_write(monkeypatch, tmp_path):
    """It is run: whoever can write there could have this user do anything."""
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    directory = tmp_path / "rosac" / "inductor"
    directory.mkdir(parents=True)
    directory.chmod(0o777)
    made = learner({"gradients": "compiled"})
    assert f"{directory}, belongs to or can be written by somebody else: remove it" in made.fallback


def test_check_changes_nothing():
    made = learner({})
    before = {name: value.clone() for name, value in made.state().items()}
    networks = networks_of(made)
    plain = PlainGradients(made.settings, networks)
    assert check_gradients(plain, DerivedGradients(made.settings, networks), networks, BATCH) == ""
    assert all(torch.equal(before[name], value) for name, value in made.state().items())


def test_policy_is_stepped_in_every_nth_update():
    made = learner({"actor_interval": 3})
    batch, _ = drawn(0)
    numbers = Batch(*(field.numpy() for field in batch))
    moved = []
    for _ in range(6):
        before = made.policy.weights[0].detach().clone(), made.critic.weights[0].detach().clone()
        metrics = made.update(numbers)
        moved.append(not torch.equal(before[0], made.policy.weights[0]))
        assert not torch.equal(before[1], made.critic.weights[0])
        assert np.isfinite([float(metrics[key]) for key in ("critic_loss", "actor_loss", "entropy")]).all()
    assert moved == [True, False, False, True, False, False]


def test_networks_without_a_hidden_layer_are_refused():
    with pytest.raises(SettingsError, match="'sac.hidden_sizes' has 0 layers"):
        from_mapping(SacSettings, {"hidden_sizes": []})
