"""Adam over one vector of parameters, its state in plain tensors.

The arithmetic is PyTorch's own kernel. The class around it, `torch.optim.Adam`, is left out: making one imports
PyTorch's compiler, which takes longer than everything else at the learner's start together.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Source: arXiv 1412.6980, also the defaults of TensorFlow 1, which the paper's code used.
_BETA_2, _EPSILON = 0.999, 1e-8
# A GPU gives each vector to very few of its processors, one for 65,536 elements (kChunkSize of MultiTensorApply.cuh in
# PyTorch), but takes up to 36 vectors in one launch. So there the vector is cut.
_GPU_PIECES = 32
# Lengths of pieces are multiples of this: a GPU reads four numbers at once from addresses of whole multiples.
_PIECE_UNIT = 64


class Adam:
    """Steps a vector in place."""

    def __init__(
        self, parameters: Tensor, learning_rate: float, beta_1: float = 0.9, pieces: int | None = None
    ) -> None:
        """Args: beta_1: decay of the mean gradient; pieces: into which the vector is cut; None: as suits its device."""
        self.parameters = parameters
        self._learning_rate, self._beta_1 = learning_rate, beta_1
        self._mean, self._square = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self._step = torch.zeros((), device=parameters.device)
        if pieces is None:
            pieces = _GPU_PIECES if parameters.is_cuda else 1
        self._length = -(-parameters.numel() // (pieces * _PIECE_UNIT)) * _PIECE_UNIT
        self._pieces = [list(tensor.split(self._length)) for tensor in (parameters, self._mean, self._square)]
        self._steps = [self._step] * len(self._pieces[0])

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """One step down a gradient."""
        self._step.add_(1)
        parameters, means, squares = self._pieces
        torch._fused_adam_(
            parameters,
            list(gradient.split(self._length)),
            means,
            squares,
            [],
            self._steps,
            lr=self._learning_rate,
            beta1=self._beta_1,
            beta2=_BETA_2,
            weight_decay=0.0,
            eps=_EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """Moments and step count by name; the tensors themselves, not copies."""
        return {"mean": self._mean, "square": self._square, "step": self._step}
