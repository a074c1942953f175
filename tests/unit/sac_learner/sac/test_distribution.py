import decimal

import numpy as np
import pytest
import torch
from sac_learner.sac.distribution import log_prob, log_tanh_slope, sample_action


def exact_log_tanh_slope(u: float) -> float:
    with decimal.localcontext() as context:
        context.prec = 80
        e = decimal.Decimal(2 * u).exp()
        tanh = (e - 1) / (e + 1)
        return float((1 - tanh * tanh).ln())


@pytest.mark.parametrize("u", [-30.0, -12.5, -7.5, -1.0, -1e-3, 0.0, 0.3, 2.0, 7.5, 9.0, 20.0, 40.0])
def test_log_of_the_slope_of_tanh_is_exact_also_where_tanh_rounds_to_one(u):
    got = log_tanh_slope(torch.tensor(u)).item()
    assert got == pytest.approx(exact_log_tanh_slope(u), rel=2e-6, abs=1e-6)


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, -1.0), (0.4, -0.3), (-1.5, 0.0), (0.2, -3.0)])
def test_density_of_the_action_integrates_to_one(mean, log_std):
    action = torch.linspace(-1, 1, 400_001, dtype=torch.float64)[1:-1]
    u = torch.atanh(action)[:, None]
    density = log_prob(torch.full_like(u, mean), torch.full_like(u, log_std), u).exp()
    assert torch.trapezoid(density, action).item() == pytest.approx(1.0, abs=2e-4)


def test_log_probability_of_several_dimensions_is_the_sum():
    generator = torch.Generator().manual_seed(0)
    mean, log_std, noise = (torch.randn(7, 3, generator=generator, dtype=torch.float64) for _ in range(3))
    action, log_probability = sample_action(mean, log_std, noise)
    u, std = (mean + log_std.exp() * noise).numpy(), log_std.exp().numpy()
    gaussian = np.exp(-0.5 * ((u - mean.numpy()) / std) ** 2) / (std * np.sqrt(2 * np.pi))
    expected = np.log(gaussian / (1 - np.tanh(u) ** 2)).sum(axis=1)
    np.testing.assert_allclose(action.numpy(), np.tanh(u))
    np.testing.assert_allclose(log_probability.numpy(), expected, rtol=1e-9)


def test_reparameterised_gradient_matches_finite_differences():
    generator = torch.Generator().manual_seed(1)
    mean, log_std, noise = (torch.randn(4, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    assert torch.autograd.gradcheck(
        lambda m, s: sample_action(m, s, noise), (mean.requires_grad_(), log_std.requires_grad_())
    )


def test_gradient_is_finite_far_out():
    mean = torch.tensor([[30.0, -30.0]], requires_grad=True)
    _, log_probability = sample_action(mean, torch.zeros(1, 2), torch.zeros(1, 2))
    (gradient,) = torch.autograd.grad(log_probability.sum(), mean)
    # d/du of -log(1 - tanh(u)^2) tends to 2 sign(u).
    np.testing.assert_allclose(gradient.numpy(), [[2.0, -2.0]], rtol=1e-5)


def test_wrong_shapes_are_refused():
    with pytest.raises(AssertionError):
        sample_action(torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4, 3))
