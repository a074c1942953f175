"""What one update trains on, checked before anything is computed from it. NumPy only."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Transitions side by side. The action is the executed one."""

    observation: Array  # [B, O]
    action: Array  # [B, A]
    reward: Array  # [B]
    next_observation: Array  # [B, O]
    bootstrap: Array  # [B], 0 where the episode ended as `terminated`, else 1
    image: Images | None = None  # [B, H, W, C], 0 .. 255
    next_image: Images | None = None  # [B, H, W, C]

    def __iter__(self) -> Iterator[Array]:
        """The five vector fields, in the order above."""
        return iter((self.observation, self.action, self.reward, self.next_observation, self.bootstrap))

    def check(self, observation_size: int, action_size: int, image_shape: tuple[int, int, int] | None = None) -> None:
        """Make sure that a learner of these sizes may train on it. Takes about 10 us for 256 transitions.

        Args:
            observation_size, action_size: numbers in an observation and an action.
            image_shape: (height, width, channels), None for a learner without images.

        Raises:
            ValueError: it is empty, or a field has another shape or dtype, or a value that is not finite.
        """
        n = len(self.reward)
        if not n:
            raise ValueError("batch: it holds no transition; sample at least 1")
        shapes = ((n, observation_size), (n, action_size), (n,), (n, observation_size), (n,))
        for name, array, shape in zip(_VECTOR_FIELDS, self, shapes, strict=True):
            if array.shape != shape or array.dtype != np.float32:
                raise ValueError(f"batch: {name} is {array.dtype} {array.shape}, expected float32 {shape}")
        # The sum of squares is not finite if one value is not; nor if it overflows, which is no fault.
        with np.errstate(over="ignore", invalid="ignore"):
            sums = [flat.dot(flat) for flat in map(np.ravel, self)]
        if not math.isfinite(sum(map(float, sums))):
            self._refuse_not_finite()
        for name, images in (("image", self.image), ("next_image", self.next_image)):
            check_images(f"batch: {name}", images, None if image_shape is None else (n, *image_shape))

    def _refuse_not_finite(self) -> None:
        """Raise ValueError if a value is not finite."""
        for name, array in zip(_VECTOR_FIELDS, self, strict=True):
            bad = np.argwhere(~np.isfinite(array))
            if len(bad):
                row, *column = bad[0].tolist()
                where = f"row {row}" + "".join(f", column {index}" for index in column)
                more = f" (and {len(bad) - 1} more of its values)" if len(bad) > 1 else ""
                raise ValueError(f"batch: {name} is {array[tuple(bad[0])]} in {where}{more}: it cannot be learned from")


_VECTOR_FIELDS = tuple(field.name for field in dataclasses.fields(Batch))[:5]


def check_images(name: str, images: Images | None, shape: tuple[int, ...] | None) -> None:
    """Raise ValueError unless the images are there as expected; shape None: none are."""
    if (images is None) != (shape is None):
        raise ValueError(f"{name} is {'missing' if images is None else 'given'}, expected {shape or 'none'}")
    if images is not None and (images.shape != shape or images.dtype != np.uint8):
        raise ValueError(f"{name} is {images.dtype} {images.shape}, expected uint8 {shape}")
