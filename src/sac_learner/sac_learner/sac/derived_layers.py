"""The way through the networks and back, for the gradients that are derived by hand (`derived.py`).

The policy's tensors are [B, n], those of the critics [2, B, n]: one batched product serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sac_learner.sac.networks import BATCH_NORM_EPSILON, LAYER_NORM_EPSILON, TwinCritic

_norm, _norm_backward = torch.ops.aten.native_layer_norm, torch.ops.aten.native_layer_norm_backward
relu_backward = torch.ops.aten.threshold_backward


Moments = Sequence[tuple[Tensor, Tensor]]  # mean and variance of what each layer takes


class Layers(NamedTuple):
    """Parameters of a network, as `networks.py` has them."""

    weights: list[Tensor]
    biases: list[Tensor]


class Normalised(NamedTuple):
    """What the way back through a normalisation needs: its input, mean and 1/std."""

    raw: Tensor
    mean: Tensor
    inverse_std: Tensor


class Outcome(NamedTuple):
    """What a network gave, kept for the way back."""

    values: Tensor  # float32
    inputs: list[Tensor]  # of each layer, in the type of the products
    normalised: list[Normalised]  # LayerNorm: of each hidden layer; BatchNorm: of what each layer takes; or empty

    def rows(self, first: int) -> Outcome:
        """The part from that row on."""
        return Outcome(self.values[first:], [each[first:] for each in self.inputs], [])


def through_policy(policy: Layers, rows: Tensor, products: torch.dtype) -> Outcome:
    """Means and log standard deviations, not clipped [n, 2A]."""
    *inner, (last_weight, last_bias) = zip(policy.weights, policy.biases, strict=True)
    inputs = [rows.to(products)]
    for weight, bias in inner:
        inputs.append(_sums(inputs[-1], weight, bias, products).relu().to(products))
    return Outcome(torch.addmm(last_bias, inputs[-1].float(), last_weight), inputs, [])


def through_critics(
    critic: Layers, joined: Tensor, normalisation: str, products: torch.dtype, moments: Moments = ()
) -> tuple[Outcome, Moments]:
    """Values [2, B] of observations and actions side by side [B, O + A]; with BatchNorm also the moments that it used:
    those given or, without, those of this batch."""
    *inner, (last_weight, last_bias) = zip(critic.weights, critic.biases, strict=True)
    normalised: list[Normalised] = []
    used: list[tuple[Tensor, Tensor]] = []

    def taken(values: Tensor) -> Tensor:
        """What the next layer takes."""
        if normalisation == "batch":
            if moments:
                mean, variance = moments[len(used)]
            else:
                variance, mean = torch.var_mean(values, dim=1, correction=0, keepdim=True)
            used.append((mean, variance))
            normalised.append(Normalised(values, mean, torch.rsqrt(variance + BATCH_NORM_EPSILON)))
            values = _batch_normalised(normalised[-1])
        return values.to(products)

    inputs = [taken(joined.unsqueeze(0)).expand(TwinCritic.COUNT, *joined.shape)]
    for weight, bias in inner:
        hidden = sums = _sums(inputs[-1], weight, bias, products)
        if normalisation == "layer":
            hidden, mean, inverse_std = _norm(sums, sums.shape[-1:], None, None, LAYER_NORM_EPSILON)
            normalised.append(Normalised(sums, mean, inverse_std))
        inputs.append(taken(hidden.relu()))
    # A batched product with one output column is slow on CPUs.
    values = (inputs[-1].float() * last_weight.transpose(1, 2)).sum(2) + last_bias.squeeze(2)
    return Outcome(values, inputs, normalised), used


def _batch_normalised(kept: Normalised) -> Tensor:
    return (kept.raw - kept.mean) * kept.inverse_std


def _sums(inputs: Tensor, weight: Tensor, bias: Tensor, products: torch.dtype) -> Tensor:
    """Of a hidden layer, before LayerNorm and ReLU."""
    if products is torch.float32:
        return (torch.baddbmm if inputs.ndim == 3 else torch.addmm)(bias, inputs, weight)
    return inputs @ weight.to(products) + bias  # in float32, and fused with what follows where it is compiled


def to_parameters(
    network: Layers, passed: Outcome, d_values: Tensor, products: torch.dtype, normalisation: str = "none"
) -> Tensor:
    """Gradients of all parameters as one vector, weights first, from those of the values [(2,) B, outputs]; BatchNorm's
    moments were those of the batch."""
    last_inputs = passed.inputs[-1].float()
    to_weights = [(last_inputs * d_values).sum(-2) if d_values.shape[-1] == 1 else last_inputs.mT @ d_values]
    to_biases = [d_values.sum(-2)]
    back = d_values
    for layer in reversed(range(len(passed.inputs) - 1)):
        back = _to_inputs(network, passed, back, layer, products)
        if normalisation == "batch":
            kept = passed.normalised[layer + 1]
            through_variance = (back * _batch_normalised(kept)).mean(1, keepdim=True)
            back = back - back.mean(1, keepdim=True) - _batch_normalised(kept) * through_variance
        back = _to_sums(passed, back, layer, normalisation)
        to_biases.insert(0, back.sum(-2))
        back = back.to(products)
        to_weights.insert(0, (passed.inputs[layer].mT @ back).float())
    return torch.cat([gradient.reshape(-1) for gradient in (*to_weights, *to_biases)])


def to_action(
    critic: Layers, passed: Outcome, observation_size: int, products: torch.dtype, normalisation: str
) -> Tensor:
    """Gradient of the sum over the batch of the smaller value with respect to the actions [B, A]; BatchNorm's moments
    were the running ones."""
    first = (passed.values[0] <= passed.values[1]).float()
    back = torch.stack((first, 1.0 - first)).unsqueeze(2)
    for layer in reversed(range(len(passed.inputs) - 1)):
        back = _to_inputs(critic, passed, back, layer, products)
        back = _to_sums(passed, back, layer, normalisation).to(products)
    to_actions = critic.weights[0][:, observation_size:].to(products)
    back = torch.bmm(back, to_actions.mT).float()
    if normalisation == "batch":
        back = back * passed.normalised[0].inverse_std[..., observation_size:]
    return back.sum(0)


def _to_inputs(network: Layers, passed: Outcome, back: Tensor, layer: int, products: torch.dtype) -> Tensor:
    """Gradient of what the layer after a hidden one took from that of the next layer's sums, or of the values."""
    weight = network.weights[layer + 1]
    if layer + 2 < len(passed.inputs):
        return (back @ weight.to(products).mT).float()
    # The output layer stays in float32; one output of a critic is no product.
    return back * weight.mT if weight.shape[-1] == 1 else back @ weight.mT


def _to_sums(passed: Outcome, back: Tensor, layer: int, normalisation: str) -> Tensor:
    """Gradient of a hidden layer's sums from that of what the next layer took."""
    if normalisation == "batch":
        kept = passed.normalised[layer + 1]
        return relu_backward(back * kept.inverse_std, kept.raw, 0)
    back = relu_backward(back, passed.inputs[layer + 1].float(), 0)
    if normalisation == "layer":
        sums, mean, inverse_std = passed.normalised[layer]
        return _norm_backward(back, sums, sums.shape[-1:], mean, inverse_std, None, None, [True, False, False])[0]
    return back
