"""The matrix products of one update of Soft Actor-Critic, alone: no update with dense passes can take less time.

.venv/bin/python benchmarks/sac_products.py            prints the list
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

CRITICS = 2


@dataclasses.dataclass(frozen=True)
class Product:
    """`count` float32 products [m, k] x [k, n], side by side, into a tensor that exists already."""

    name: str
    count: int
    m: int
    k: int
    n: int
    run: Callable[[], object]

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.count * self.m * self.k * self.n

    def __str__(self) -> str:
        shapes = f"[{self.m:3}, {self.k:3}] x [{self.k:3}, {self.n:3}]"
        return f"{self.count} x {self.name:36} {shapes} {self.flops / 1e6:8.3f} MFLOP"


class Products:
    """The products of one update, in its order, on tensors of its shapes.

    They are those of the chain rule and no more: the gradient of the critics' loss stops at their first weights, that
    of the policy's loss goes through the critics to the action columns only, and nothing is computed twice. They are
    arranged as it is fastest: both critics in one batched product, the policy on both observations at once (it changes
    only after that), layers with one output as matrix times vector. Layouts are the natural ones, [batch, units] and
    [in, out]; transposition is left to the product.

    Left out is all the rest of an update: sampling, biases, ReLU, noise, densities, losses, Adam, target networks.
    """

    def __init__(self, observation_size: int, action_size: int, batch_size: int, hidden_sizes: Sequence[int]) -> None:
        self._random = torch.Generator().manual_seed(0)
        self._batch = batch_size
        o, a = observation_size, action_size
        policy = self._weights(1, [o, *hidden_sizes, 2 * a])
        critics, targets = (self._weights(CRITICS, [o + a, *hidden_sizes, 1]) for _ in range(2))
        self.products: list[Product] = []
        both = self._forward("policy, both observations", self._tensor(1, 2 * batch_size, o), policy)
        self._forward("target critics", self._pairs(o + a), targets)
        inputs = self._forward("critics, action taken", self._pairs(o + a), critics)
        self._backward("critics", inputs, critics, weight_gradients=True)
        inputs = self._forward("critics, policy's action", self._pairs(o + a), critics)
        gradient = self._backward("critics", inputs, critics, weight_gradients=False)
        self._add("critics: backward to action", gradient, critics[0][:, o:].mT)
        self._backward("policy", [layer[:, :batch_size] for layer in both], policy, weight_gradients=True)

    @property
    def flops(self) -> int:
        """Of all products together."""
        return sum(product.flops for product in self.products)

    def run(self) -> None:
        """Compute every product once."""
        for product in self.products:
            product.run()

    def _tensor(self, *shape: int) -> Tensor:
        return torch.empty(*shape).normal_(generator=self._random)

    def _pairs(self, size: int) -> Tensor:
        """Observations and actions side by side, the same for both critics."""
        return self._tensor(1, self._batch, size).expand(CRITICS, -1, -1)

    def _weights(self, count: int, sizes: Sequence[int]) -> list[Tensor]:
        return [self._tensor(count, i, o) / i**0.5 for i, o in itertools.pairwise(sizes)]

    def _add(self, name: str, left: Tensor, right: Tensor) -> Tensor:
        (count, m, k), n = left.shape, right.shape[2]
        out = torch.empty(count, m, n)
        self.products.append(Product(name, count, m, k, n, _product(left, right, out)))
        self.products[-1].run()
        return out

    def _forward(self, name: str, inputs: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
        """All layers; returns the inputs of each."""
        layers = [inputs]
        for weight in weights:
            layers.append(self._add(f"{name}: forward", layers[-1], weight))
        return layers[:-1]

    def _backward(
        self, name: str, inputs: Sequence[Tensor], weights: Sequence[Tensor], *, weight_gradients: bool
    ) -> Tensor:
        """From the last output to the first layer's, with the gradients of all weights or of none."""
        gradient = self._tensor(len(weights[-1]), self._batch, weights[-1].shape[2])
        for layer in reversed(range(len(weights))):
            if weight_gradients:
                self._add(f"{name}: gradients of weights", inputs[layer].mT, gradient)
            if layer:
                gradient = self._add(f"{name}: backward", gradient, weights[layer].mT)
        return gradient


def _product(left: Tensor, right: Tensor, out: Tensor) -> Callable[[], object]:
    """The fastest call for these shapes."""
    if right.shape[2] == 1:  # a batched product with one column is slow on CPUs
        parts = list(zip(left.unbind(), right[:, :, 0].unbind(), out[:, :, 0].unbind(), strict=True))
        return lambda: [torch.mv(matrix, vector, out=result) for matrix, vector, result in parts]
    if right.shape[1] == 1:
        return lambda: torch.mul(left, right, out=out)
    if len(left) == 1:
        first, second, result = left[0], right[0], out[0]
        return lambda: torch.mm(first, second, out=result)
    return lambda: torch.bmm(left, right, out=out)


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--observation-size", type=int, default=21)
    options.add_argument("--action-size", type=int, default=9)
    chosen = options.parse_args()
    products = Products(chosen.observation_size, chosen.action_size, 256, [256, 256])
    print(*products.products, sep="\n")
    print(f"{products.flops / 1e6:.1f} MFLOP")


if __name__ == "__main__":
    main()
