"""The networks: a tanh-Gaussian policy and two critics that are computed together.

Layers start as in the paper's code: Glorot-uniform weights, zero biases (Keras' Dense, softlearning 2018). All
parameters of a network lie in one vector, so that the optimiser and the target critics treat them in one pass.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

# PyTorch's default; the published critics with LayerNorm keep it.
LAYER_NORM_EPSILON = 1e-5


def _glorot(shape: Sequence[int], fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Parameter:
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return nn.Parameter(torch.empty(*shape).uniform_(-limit, limit, generator=generator))


class GaussianPolicy(nn.Module):
    """Observation [B, O] -> mean and log standard deviation [B, A] of the action before tanh.

    `weights[i]` is [in, out], `biases[i]` is [out]; the last layer gives the means, then the log standard deviations.
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
        self.weights = nn.ParameterList(_glorot((i, o), i, o, generator) for i, o in itertools.pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(o) for o in sizes[1:])

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        hidden = observation
        *inner, (last_weight, last_bias) = zip(self.weights, self.biases, strict=True)
        for weight, bias in inner:
            hidden = torch.addmm(bias, hidden, weight).relu_()
        mean, log_std = torch.addmm(last_bias, hidden, last_weight).chunk(2, dim=-1)
        return mean, log_std.clamp(*self.log_std_limits)


class TwinCritic(nn.Module):
    """Observation [B, O] and action [B, A] -> both critics' values [2, B].

    `weights[i]` is [2, in, out], `biases[i]` is [2, 1, out]: one batched product serves both critics.

    Args:
        layer_norm: normalise each hidden layer over its units before the ReLU, without gain and offset.
    """

    COUNT = 2

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: Sequence[int],
        layer_norm: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        sizes = [observation_size + action_size, *hidden_sizes, 1]
        n = self.COUNT
        self.layer_norm = layer_norm
        self.weights = nn.ParameterList(_glorot((n, i, o), i, o, generator) for i, o in itertools.pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(n, 1, o) for o in sizes[1:])

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        joined = torch.cat((observation, action), dim=-1)
        hidden = joined.expand(self.COUNT, *joined.shape)
        *inner, (last_weight, last_bias) = zip(self.weights, self.biases, strict=True)
        for weight, bias in inner:
            hidden = torch.baddbmm(bias, hidden, weight)
            if self.layer_norm:
                hidden = functional.layer_norm(hidden, hidden.shape[-1:], eps=LAYER_NORM_EPSILON)
            hidden = hidden.relu_()
        # A batched product with one output column is slow on CPUs: matrix times vector for each critic instead.
        pairs = zip(hidden.unbind(0), last_weight.unbind(0), strict=True)
        values = torch.stack([features @ weight.squeeze(1) for features, weight in pairs])
        return values + last_bias.squeeze(2)


def flatten_parameters(module: nn.Module) -> Tensor:
    """Move all parameters of a module into one vector, which is returned; the parameters become views of it."""
    parameters = list(module.parameters())
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
    for parameter, view in zip(parameters, views_like(flat, parameters), strict=True):
        parameter.data = view
    return flat


def views_like(flat: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Views of a vector in the shapes of these parameters, one after the other."""
    parts = flat.split([parameter.numel() for parameter in parameters])
    return [part.view(parameter.shape) for part, parameter in zip(parts, parameters, strict=True)]
