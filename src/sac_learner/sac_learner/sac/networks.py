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
# Of BatchNorm, and how much of the running statistics stays at each update. Source: the code of arXiv 1902.05605
# (CrossQ), sbx/sac/policies.py and train.py.
BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM = 1e-3, 0.99


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

    `weights[i]` is [2, in, out], `biases[i]` is [2, 1, out]: one batched product serves both critics. Normalisation is
    without gain and offset; the next layer has both.

    Args:
        normalisation: none; layer: of each hidden layer over its units, before the ReLU; batch: of what each layer
            takes over the batch, by `statistics` but in `joint`.
    """

    COUNT = 2

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: Sequence[int],
        normalisation: str,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        sizes = [observation_size + action_size, *hidden_sizes, 1]
        n = self.COUNT
        self.normalisation = normalisation
        self.weights = nn.ParameterList(_glorot((n, i, o), i, o, generator) for i, o in itertools.pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(n, 1, o) for o in sizes[1:])
        if normalisation == "batch":
            # Running means of what each layer takes, then its variances: each [2, 1, in], one after the other.
            inputs = [(n, 1, size) for size in sizes[:-1]]
            start = [torch.zeros(shape) for shape in inputs] + [torch.ones(shape) for shape in inputs]
            self.register_buffer("statistics", torch.cat([each.flatten() for each in start]))

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        moments = self.moments() if self.normalisation == "batch" else None
        return self._through(torch.cat((observation, action), dim=-1), moments)[0]

    def joint(
        self, observation: Tensor, action: Tensor, next_observation: Tensor, next_action: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Values of both halves [2, B], each normalised over both together, and their statistics, to be tracked."""
        halves = (observation, action), (next_observation, next_action)
        values, found = self._through(torch.cat([torch.cat(half, dim=-1) for half in halves]), None)
        q, next_q = values.chunk(2, dim=1)
        return q, next_q, joined_moments(found)

    def moments(self) -> list[tuple[Tensor, Tensor]]:
        """Running mean and variance [2, 1, in] of what each layer takes: views of `statistics`."""
        parts = views_like(self.statistics, [weight[:, :, :1].mT for weight in self.weights] * 2)
        count = len(self.weights)
        return list(zip(parts[:count], parts[count:], strict=True))

    @torch.no_grad()
    def track(self, statistics: Tensor) -> None:
        """Let the running statistics follow those of one update."""
        self.statistics.lerp_(statistics, 1.0 - BATCH_NORM_MOMENTUM)

    def _through(
        self, joined: Tensor, moments: list[tuple[Tensor, Tensor]] | None
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Values, and the mean and variance of what each layer took, where these are the batch's own."""
        hidden, found = joined.unsqueeze(0), []

        def normalised(values: Tensor, layer: int) -> Tensor:
            if self.normalisation != "batch":
                return values
            if moments is not None:
                mean, variance = moments[layer]
            else:
                variance, mean = torch.var_mean(values, dim=1, correction=0, keepdim=True)
                found.append((mean.detach(), variance.detach()))
            return (values - mean) * torch.rsqrt(variance + BATCH_NORM_EPSILON)

        *inner, (last_weight, last_bias) = zip(self.weights, self.biases, strict=True)
        for layer, (weight, bias) in enumerate(inner):
            hidden = torch.baddbmm(bias, normalised(hidden, layer).expand(self.COUNT, -1, -1), weight)
            if self.normalisation == "layer":
                hidden = functional.layer_norm(hidden, hidden.shape[-1:], eps=LAYER_NORM_EPSILON)
            hidden = hidden.relu()
        hidden = normalised(hidden, len(inner))
        # A batched product with one output column is slow on CPUs: matrix times vector for each critic instead.
        pairs = zip(hidden.unbind(0), last_weight.unbind(0), strict=True)
        values = torch.stack([features @ weight.squeeze(1) for features, weight in pairs])
        return values + last_bias.squeeze(2), found


def joined_moments(moments: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Means, then variances, as one vector like `TwinCritic.statistics`."""
    means, variances = zip(*moments, strict=True)
    return torch.cat([each.expand(TwinCritic.COUNT, -1, -1).flatten() for each in (*means, *variances)])


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
