"""The tanh-Gaussian distribution of actions (appendix C of the paper)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_LOG_TWO = math.log(2.0)


def log_tanh_slope(u: Tensor) -> Tensor:
    """log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), elementwise: exact where 1 - tanh(u)^2 rounds to 0."""
    return 2.0 * (_LOG_TWO - u - functional.softplus(-2.0 * u))


def sample_action(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Reparameterised action tanh(mean + std * noise) and its log probability density.

    Args:
        mean, log_std: of the Gaussian before tanh [B, A].
        noise: standard normal [B, A].

    Returns:
        The action in (-1, 1) [B, A] and log pi(action) [B].
    """
    assert mean.shape == log_std.shape == noise.shape and mean.ndim == 2, (mean.shape, log_std.shape, noise.shape)
    u = mean + log_std.exp() * noise
    # (u - mean) / std is the noise, so the Gaussian's density needs no division.
    gaussian = -0.5 * noise.square() - log_std - _HALF_LOG_TWO_PI
    return torch.tanh(u), (gaussian - log_tanh_slope(u)).sum(dim=-1)


def log_prob(mean: Tensor, log_std: Tensor, u: Tensor) -> Tensor:
    """Log probability density of the action tanh(u), given u [B, A] -> [B]."""
    return sample_action(mean, log_std, (u - mean) / log_std.exp())[1]
