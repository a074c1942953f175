"""The temperature as the dual variable of the entropy constraint: equation 18 of the paper."""

from __future__ import annotations

from torch import Tensor


def temperature_loss(log_alpha: Tensor, log_prob: Tensor, target_entropy: float, variable: str) -> Tensor:
    """Mean of -x (log pi + target entropy), where x is alpha (equation 18) or log alpha (softlearning, 2018).

    Both gradients have the same sign: alpha grows while the entropy -E[log pi] is below the target.

    Args:
        log_alpha: the parameter, a scalar.
        log_prob: log density of the actions [B], without gradient.
        target_entropy: H [nat].
        variable: "alpha" or "log_alpha".
    """
    assert log_alpha.ndim == 0 and log_prob.ndim == 1 and not log_prob.requires_grad
    x = log_alpha.exp() if variable == "alpha" else log_alpha
    return -x * (log_prob.mean() + target_entropy)
