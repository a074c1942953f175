"""Soft policy improvement: equations 7 and 9 of the paper."""

from __future__ import annotations

import torch
from torch import Tensor


def actor_loss(q: Tensor, log_prob: Tensor, alpha: Tensor) -> Tensor:
    """Mean of alpha log pi(a|s) - min_i Q_i(s, a) for reparameterised actions. q [2, B], log_prob [B] -> scalar."""
    assert q.shape == (2, *log_prob.shape) and log_prob.ndim == 1, (q.shape, log_prob.shape)
    return (alpha * log_prob - torch.minimum(q[0], q[1])).mean()
