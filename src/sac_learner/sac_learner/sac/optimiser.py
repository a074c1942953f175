"""Adam over a fixed list of parameters, its state in plain tensors.

The arithmetic is PyTorch's functional Adam. The class around it, `torch.optim.Adam`, is left out: making one imports
PyTorch's compiler, which takes longer than everything else at the learner's start together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

# Source: arXiv 1412.6980, also the defaults of TensorFlow 1, which the paper's code used.
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Steps parameters in place."""

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float) -> None:
        self.parameters = list(parameters)
        self._learning_rate = learning_rate
        self._means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of a loss. Gradients of other tensors that it depends on are not computed."""
        gradients = list(torch.autograd.grad(loss, self.parameters))
        with torch.no_grad():
            adam(
                self.parameters,
                gradients,
                self._means,
                self._squares,
                [],
                self._steps,
                fused=True,
                amsgrad=False,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                lr=self._learning_rate,
                weight_decay=0.0,
                eps=_EPSILON,
                maximize=False,
            )

    def state(self) -> dict[str, Tensor]:
        """Moments and step counts by name; the tensors themselves, not copies."""
        lists = {"mean": self._means, "square": self._squares, "step": self._steps}
        return {f"{name}.{i}": tensor for name, tensors in lists.items() for i, tensor in enumerate(tensors)}
