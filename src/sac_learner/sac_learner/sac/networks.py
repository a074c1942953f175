"""The networks: a tanh-Gaussian policy and two critics that are computed together.

Layers start as in the paper's code: Glorot-uniform weights, zero biases (Keras' Dense, softlearning 2018).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def _glorot(shape: Sequence[int], fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Parameter:
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return nn.Parameter(torch.empty(*shape).uniform_(-limit, limit, generator=generator))


class GaussianPolicy(nn.Module):
    """Observation [B, O] -> mean and log standard deviation [B, A] of the action before tanh.

    `weights[i]` is [out, in], `biases[i]` is [out]; the last layer gives the means, then the log standard deviations.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: Sequence[int],
        log_std_limits: tuple[float, float],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        sizes = [observation_size, *hidden_sizes, 2 * action_size]
        self.log_std_limits = log_std_limits
        self.weights = nn.ParameterList(_glorot((o, i), i, o, generator) for i, o in itertools.pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(o) for o in sizes[1:])

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        hidden = observation
        *inner, (last_weight, last_bias) = zip(self.weights, self.biases, strict=True)
        for weight, bias in inner:
            hidden = functional.linear(hidden, weight, bias).relu_()
        mean, log_std = functional.linear(hidden, last_weight, last_bias).chunk(2, dim=-1)
        return mean, log_std.clamp(*self.log_std_limits)


class TwinCritic(nn.Module):
    """Observation [B, O] and action [B, A] -> both critics' values [2, B].

    `weights[i]` is [2, in, out], `biases[i]` is [2, 1, out]: one batched product serves both critics.
    """

    COUNT = 2

    def __init__(
        self, observation_size: int, action_size: int, hidden_sizes: Sequence[int], generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = [observation_size + action_size, *hidden_sizes, 1]
        n = self.COUNT
        self.weights = nn.ParameterList(_glorot((n, i, o), i, o, generator) for i, o in itertools.pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(n, 1, o) for o in sizes[1:])

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        joined = torch.cat((observation, action), dim=-1)
        hidden = joined.expand(self.COUNT, *joined.shape)
        *inner, (last_weight, last_bias) = zip(self.weights, self.biases, strict=True)
        for weight, bias in inner:
            hidden = torch.baddbmm(bias, hidden, weight).relu_()
        # A batched product with one output column is slow on CPUs: matrix times vector for each critic instead.
        pairs = zip(hidden.unbind(0), last_weight.unbind(0), strict=True)
        values = torch.stack([features @ weight.squeeze(1) for features, weight in pairs])
        return values + last_bias.squeeze(2)
