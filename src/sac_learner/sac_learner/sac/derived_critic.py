"""The way through both critics and back, for the gradients that are derived by hand (`derived.py`)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from sac_learner.sac.networks import LAYER_NORM_EPSILON, TwinCritic

_norm, _norm_backward = torch.ops.aten.native_layer_norm, torch.ops.aten.native_layer_norm_backward
relu_backward = torch.ops.aten.threshold_backward.grad_input


class Rounded:
    """Tensors in the type of the products: those given, or copies to be refreshed when they have changed."""

    def __init__(self, sources: list[Tensor], dtype: torch.dtype) -> None:
        self._sources = sources
        self.tensors = [source.to(dtype) for source in sources]
        self._copies = any(a is not b for a, b in zip(sources, self.tensors, strict=True))

    def refresh(self) -> None:
        """Take over the sources."""
        if self._copies:
            torch._foreach_copy_(self.tensors, self._sources)

    def write_back(self) -> None:
        """Give the sources what was computed in the copies."""
        if self._copies:
            torch._foreach_copy_(self._sources, self.tensors)


class CriticWeights:
    """Views of the parameters of both critics, or of vectors like them, in the shapes that the passes need.

    `inner` holds the layers before the last in the type of the products.
    """

    def __init__(self, weights: list[Tensor], biases: list[Tensor], dtype: torch.dtype) -> None:
        self.biases = biases
        self.inner = Rounded(weights[:-1], dtype)
        self.inner_biases = Rounded(biases[:-1], dtype)
        self.transposed = [weight.transpose(1, 2) for weight in self.inner.tensors]
        self.first, self.first_bias = self.inner.tensors[0].unbind(0), self.inner_biases.tensors[0].unbind(0)
        self.last, self.last_bias = weights[-1].squeeze(2).unbind(0), biases[-1].view(-1).split(1)
        self.last_weight, self.last_transposed = weights[-1], weights[-1].transpose(1, 2)
        self.last_biases = biases[-1].view(-1)
        self.each_transposed = [weight.unbind(0) for weight in self.transposed]

    def refresh(self) -> None:
        """The parameters have changed."""
        self.inner.refresh()
        self.inner_biases.refresh()


class CriticPass(ABC):
    """One forward pass through both critics, kept for the way back. Serves all three passes of an update in turn."""

    def __init__(self, critic: TwinCritic, batch_size: int, observation_size: int, dtype: torch.dtype) -> None:
        self._dtype, self._device = dtype, critic.weights[0].device
        self._sizes = [weight.shape[2] for weight in critic.weights[:-1]]
        n = critic.COUNT
        self._observation_size = observation_size
        self._layer_norm = critic.layer_norm
        self._sums = self._rooms(n, batch_size)  # before LayerNorm and ReLU
        self._hidden = list(self._sums)  # after; the same memory without LayerNorm
        self._statistics: list[tuple[Tensor, Tensor]] = [(None, None)] * len(self._sizes)  # mean and 1/std [n, B, 1]
        self._back = self._rooms(n, batch_size)
        self._q = torch.empty(n, batch_size, device=self._device)

    def _rooms(self, *shape: int) -> list[Tensor]:
        """Memory for every hidden layer."""
        return [torch.empty(*shape, size, dtype=self._dtype, device=self._device) for size in self._sizes]

    def forward(self, critic: CriticWeights, joined: Tensor) -> Tensor:
        """Values [2, B] of observations and actions side by side [B, O + A]; valid until the next pass."""
        self._first_layer(critic, joined)
        self._activate(0)
        for layer in range(1, len(self._sums)):
            bias, weight = critic.inner_biases.tensors[layer], critic.inner.tensors[layer]
            torch.baddbmm(bias, self._hidden[layer - 1], weight, out=self._sums[layer])
            self._activate(layer)
        self._last_hidden = self._hidden[-1].float()
        self._last_layer(critic)
        return self._q

    def _activate(self, layer: int) -> None:
        hidden = self._sums[layer]
        if self._layer_norm:
            hidden, *statistics = _norm(hidden, hidden.shape[-1:], None, None, LAYER_NORM_EPSILON)
            self._statistics[layer] = tuple(statistics)
        self._hidden[layer] = hidden.relu_()

    def to_parameters(self, critic: CriticWeights, joined: Tensor, dq: Tensor, gradient: CriticWeights) -> None:
        """Gradients of all parameters from those of the values [2, B]."""
        torch.sum(dq, 1, out=gradient.last_biases)
        self._to_last_layer(dq, gradient)
        torch.mul(dq.unsqueeze(2), critic.last_transposed, out=self._back[-1])
        for layer in reversed(range(len(self._sums))):
            back = self._activation_back(layer)
            torch.sum(back, 1, keepdim=True, dtype=torch.float32, out=gradient.biases[layer])
            if layer:
                torch.bmm(self._hidden[layer - 1].transpose(1, 2), back, out=gradient.inner.tensors[layer])
                torch.bmm(back, critic.transposed[layer], out=self._back[layer - 1])
        self._to_first_layer(joined, back, gradient)
        gradient.inner.write_back()

    def _activation_back(self, layer: int) -> Tensor:
        """Gradient of a layer's sums from that of what it gives on, which lies in `_back`."""
        back = relu_backward(self._back[layer], self._hidden[layer], 0, grad_input=self._back[layer])
        return self._norm_back(back, self._sums[layer], *self._statistics[layer]) if self._layer_norm else back

    @staticmethod
    def _norm_back(back: Tensor, sums: Tensor, mean: Tensor, inverse_std: Tensor) -> Tensor:
        shape = sums.shape[-1:]
        return _norm_backward(back, sums, shape, mean, inverse_std, None, None, [True, False, False])[0]

    @abstractmethod
    def _first_layer(self, critic: CriticWeights, joined: Tensor) -> None:
        """Sums of the first layer."""

    @abstractmethod
    def _last_layer(self, critic: CriticWeights) -> None:
        """Values from the last hidden layer."""

    @abstractmethod
    def _to_first_layer(self, joined: Tensor, back: Tensor, gradient: CriticWeights) -> None:
        """Gradient of the first weights."""

    @abstractmethod
    def _to_last_layer(self, dq: Tensor, gradient: CriticWeights) -> None:
        """Gradient of the last weights."""

    @abstractmethod
    def smaller_to_action(self, critic: CriticWeights) -> Tensor:
        """Gradient of the sum over the batch of the smaller value with respect to the actions [B, A].

        Only the smaller critic has one.
        """


class GatheringPass(CriticPass):
    """For a CPU: one product after another where that is faster, and nothing computed that is not needed."""

    def __init__(self, critic: TwinCritic, batch_size: int, observation_size: int, dtype: torch.dtype) -> None:
        super().__init__(critic, batch_size, observation_size, dtype)
        self._first_sums, self._each_q = self._sums[0].unbind(0), self._q.unbind(0)
        self._chosen, self._chosen_back = self._rooms(batch_size), self._rooms(batch_size)

    def _first_layer(self, critic: CriticWeights, joined: Tensor) -> None:
        for bias, weight, out in zip(critic.first_bias, critic.first, self._first_sums, strict=True):
            torch.addmm(bias, joined, weight, out=out)

    def _last_layer(self, critic: CriticWeights) -> None:
        self._each_last = self._last_hidden.unbind(0)
        for bias, hidden, weight, out in zip(critic.last_bias, self._each_last, critic.last, self._each_q, strict=True):
            torch.addmv(bias, hidden, weight, out=out)

    def _to_first_layer(self, joined: Tensor, back: Tensor, gradient: CriticWeights) -> None:
        for each_back, out in zip(back.unbind(0), gradient.first, strict=True):
            torch.mm(joined.t(), each_back, out=out)

    def _to_last_layer(self, dq: Tensor, gradient: CriticWeights) -> None:
        for hidden, each_dq, out in zip(self._each_last, dq.unbind(0), gradient.last, strict=True):
            torch.mv(hidden.t(), each_dq, out=out)

    def smaller_to_action(self, critic: CriticWeights) -> Tensor:
        """The rows of both critics where each is the smaller one are brought together first."""
        second = self._each_q[1] < self._each_q[0]
        rows = ((~second).nonzero().squeeze(1), second.nonzero().squeeze(1))
        counts = [len(part) for part in rows]
        for out, weight in zip(self._chosen_back[-1].split(counts), critic.last, strict=True):
            out.copy_(weight.expand_as(out))
        for layer in reversed(range(len(self._sums))):
            back, chosen = self._chosen_back[layer], self._choose(self._hidden[layer], rows, self._chosen[layer])
            back = relu_backward(back, chosen, 0, grad_input=back)
            if self._layer_norm:
                mean, inverse_std = (self._choose(statistic, rows) for statistic in self._statistics[layer])
                sums = self._choose(self._sums[layer], rows, chosen)
                back = self._norm_back(back, sums, mean, inverse_std)
            if layer:
                outs = self._chosen_back[layer - 1].split(counts)
                for part, weight, out in zip(back.split(counts), critic.each_transposed[layer], outs, strict=True):
                    torch.mm(part, weight, out=out)
        parts = zip(back.split(counts), critic.each_transposed[0], strict=True)
        to_action = torch.cat([part @ weight[:, self._observation_size :] for part, weight in parts]).float()
        return torch.empty_like(to_action).index_copy_(0, torch.cat(rows), to_action)

    @staticmethod
    def _choose(both: Tensor, rows: tuple[Tensor, Tensor], out: Tensor | None = None) -> Tensor:
        """Rows of the first critic's part, then of the second's: [2, B, n] -> [B, n]."""
        if out is None:
            out = both.new_empty(both.shape[1:])
        for each, part, target in zip(both.unbind(0), rows, out.split([len(part) for part in rows]), strict=True):
            torch.index_select(each, 0, part, out=target)
        return out


class BatchedPass(CriticPass):
    """For a GPU, where every operation costs a launch: both critics in each, and nothing waits for numbers."""

    def _first_layer(self, critic: CriticWeights, joined: Tensor) -> None:
        both = joined.expand(TwinCritic.COUNT, *joined.shape)
        torch.baddbmm(critic.inner_biases.tensors[0], both, critic.inner.tensors[0], out=self._sums[0])

    def _last_layer(self, critic: CriticWeights) -> None:
        torch.baddbmm(critic.biases[-1], self._last_hidden, critic.last_weight, out=self._q.unsqueeze(2))

    def _to_first_layer(self, joined: Tensor, back: Tensor, gradient: CriticWeights) -> None:
        both = joined.t().expand(TwinCritic.COUNT, *joined.t().shape)
        torch.bmm(both, back, out=gradient.inner.tensors[0])

    def _to_last_layer(self, dq: Tensor, gradient: CriticWeights) -> None:
        torch.bmm(self._last_hidden.transpose(1, 2), dq.unsqueeze(2), out=gradient.last_weight)

    def smaller_to_action(self, critic: CriticWeights) -> Tensor:
        """Through both critics, with zeros for the larger one."""
        first = (self._q[0] <= self._q[1]).to(self._dtype)
        torch.mul(torch.stack((first, 1.0 - first)).unsqueeze(2), critic.last_transposed, out=self._back[-1])
        for layer in reversed(range(len(self._sums))):
            back = self._activation_back(layer)
            if layer:
                torch.bmm(back, critic.transposed[layer], out=self._back[layer - 1])
        return torch.bmm(back, critic.transposed[0][:, :, self._observation_size :]).float().sum(0)
