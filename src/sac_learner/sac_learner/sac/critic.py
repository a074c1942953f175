"""Soft policy evaluation: equations 5 and 6 of the paper, with two critics and smoothed targets."""

from __future__ import annotations

import torch
from torch import Tensor


def critic_target(
    reward: Tensor,
    bootstrap: Tensor,
    next_q: Tensor,
    next_log_prob: Tensor,
    alpha: Tensor,
    *,
    discount: float,
    reward_scale: float,
) -> Tensor:
    """reward_scale * r + discount * bootstrap * (min_i Q_i(s', a') - alpha log pi(a'|s')).

    Args:
        reward: [B].
        bootstrap: [B], 0 where the episode ended as `terminated`, else 1 (also at a time limit or a stop).
        next_q: target critics at the next observation and an action drawn there [2, B].
        next_log_prob: log density of that action [B].
        alpha: temperature, a scalar.

    Returns:
        The targets [B].
    """
    batch = reward.shape
    assert reward.ndim == 1 and bootstrap.shape == batch and next_log_prob.shape == batch, (batch, bootstrap.shape)
    assert next_q.shape == (2, *batch), (next_q.shape, batch)
    next_value = torch.minimum(next_q[0], next_q[1]) - alpha * next_log_prob
    return reward_scale * reward + discount * bootstrap * next_value


def critic_loss(q: Tensor, target: Tensor) -> Tensor:
    """Sum over both critics of the mean of (Q - target)^2 / 2 (equation 5). q [2, B], target [B] -> scalar."""
    assert q.shape == (2, *target.shape) and target.ndim == 1, (q.shape, target.shape)
    return 0.5 * (q - target).square().mean(dim=1).sum()


@torch.no_grad()
def smooth(target: Tensor, parameters: Tensor, tau: float) -> None:
    """target += tau * (parameters - target), in place: target critics, and an averaged policy."""
    target.lerp_(parameters, tau)
