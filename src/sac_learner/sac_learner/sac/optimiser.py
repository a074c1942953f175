"""Adam over one vector of parameters, its state in plain tensors.

The arithmetic is PyTorch's functional Adam. The class around it, `torch.optim.Adam`, is left out: making one imports
PyTorch's compiler, which takes longer than everything else at the learner's start together.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.adam import adam

# Source: arXiv 1412.6980, also the defaults of TensorFlow 1, which the paper's code used.
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Steps a vector in place."""

    def __init__(self, parameters: Tensor, learning_rate: float) -> None:
        self.parameters = parameters
        self._learning_rate = learning_rate
        self._mean, self._square = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self._step = torch.zeros((), device=parameters.device)

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """One step down a gradient."""
        adam(
            [self.parameters],
            [gradient],
            [self._mean],
            [self._square],
            [],
            [self._step],
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
        """Moments and step count by name; the tensors themselves, not copies."""
        return {"mean": self._mean, "square": self._square, "step": self._step}
