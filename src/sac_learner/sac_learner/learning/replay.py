"""The replay memory: the newest transitions in one table, sampled uniformly. NumPy only."""

from __future__ import annotations

import math
import threading

import numpy as np
import numpy.typing as npt
from rosac_common.transition import EndReason, Transition

from sac_learner.learning.memory import available_memory_bytes, megabytes
from sac_learner.sac.batch import Array, Batch, Images, check_images


class ReplayMemoryError(MemoryError):
    """The replay memory does not fit into this machine's memory. The message names sizes and remedy."""


class ReplayBuffer:
    """Ring buffer of a fixed capacity. Transition number i lies in slot i % capacity.

    Memory is reserved at once but taken page by page as transitions come. Images lie beside the table, two for each
    transition: one more than needed inside an episode, and right at its end, around the ring and where a transition was
    lost.

    One thread may add while another samples. The reader copies first and then looks which of its slots were written
    meanwhile; only those it copies again, under a lock. A lock around the whole copy would cost the same with vectors
    (20 us), but a batch of 84 x 84 colour images takes about 10 ms to copy: `add` then waited up to 21 ms (99th
    percentile; 0.05 ms without a lock, own measurement on two busy cores).
    """

    def __init__(
        self,
        capacity: int,
        observation_size: int,
        action_size: int,
        image_shape: tuple[int, int, int] | None = None,
    ) -> None:
        """Reserve the memory.

        Args:
            capacity: transitions that are kept.
            observation_size, action_size: numbers in an observation and an action.
            image_shape: (height, width, channels) of an image beside each observation; None: no images.

        Raises:
            ReplayMemoryError: the full memory would not fit into what is available now.
            ValueError: capacity or a size is below 1.
        """
        sizes = {"capacity": capacity, "observation_size": observation_size, "action_size": action_size}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"replay memory: {name} is {size}; it must be at least 1")
        if image_shape is not None and (len(image_shape) != 3 or min(image_shape) < 1):
            raise ValueError(f"replay memory: image_shape is {image_shape}, expected (height, width, channels)")
        self.observation_size, self.action_size, self.image_shape = observation_size, action_size, image_shape
        self.capacity, self.total = capacity, 0
        self._begun = 0  # transitions whose writing has begun: `total`, or more while one is written
        self._writing = threading.Lock()
        self._width = self.row_size(observation_size, action_size)
        self._check_memory()
        try:
            # Zero pages cost nothing until they are written.
            self._table = np.zeros((capacity, self._width), dtype=np.float32)
            self._images = None if image_shape is None else np.zeros((2, capacity, *image_shape), dtype=np.uint8)
        except (MemoryError, ValueError) as error:
            raise ReplayMemoryError(
                f"a replay memory of {capacity} transitions cannot be reserved ({error}): lower sac.replay_capacity"
            ) from error

    @staticmethod
    def row_size(observation_size: int, action_size: int) -> int:
        """Numbers per transition: observation, executed action, next observation, reward, bootstrap."""
        return 2 * observation_size + action_size + 2

    @property
    def size(self) -> int:
        """Transitions that can be sampled."""
        return min(self.total, self.capacity)

    @property
    def _transition_bytes(self) -> int:
        return 4 * self._width + (2 * math.prod(self.image_shape) if self.image_shape else 0)

    def _check_memory(self) -> None:
        needed, available = self.capacity * self._transition_bytes, available_memory_bytes()
        if needed > available:
            raise ReplayMemoryError(
                f"a replay memory of {self.capacity} transitions takes {megabytes(needed)}, available are "
                f"{megabytes(available)}: set sac.replay_capacity to at most {available // self._transition_bytes}"
            )

    def announcement(self) -> str:
        """One sentence about the memory that it may take, for the log."""
        images = f" with images of {' x '.join(map(str, self.image_shape))}" if self.image_shape else ""
        needed = megabytes(self.capacity * self._transition_bytes)
        return f"replay memory: at most {self.capacity} transitions{images}, {needed}, taken as they come"

    def add(self, row: Array, image: Images | None = None, next_image: Images | None = None) -> None:
        """Store one transition.

        Args:
            row: see `row` and `rows`; [row_size], float32.
            image, next_image: [H, W, C], uint8, as announced to the constructor.

        Raises:
            ValueError: another shape or dtype; nothing is stored then.
        """
        if row.shape != (self._width,) or row.dtype != np.float32:
            raise ValueError(f"row is {row.dtype} {row.shape}, expected float32 {(self._width,)}")
        if image is not None or next_image is not None or self.image_shape is not None:
            check_images("image", image, self.image_shape)
            check_images("next_image", next_image, self.image_shape)
        with self._writing:
            self._begun = self.total + 1
            slot = self.total % self.capacity
            self._table[slot] = row
            if self._images is not None:
                self._images[0, slot], self._images[1, slot] = image, next_image
            self.total = self._begun

    def extend(self, rows: Array, images: Images | None = None, next_images: Images | None = None) -> None:
        """Store many transitions, oldest first: the same as `add` for each.

        Args:
            rows: [n, row_size], float32.
            images, next_images: [n, H, W, C], uint8, as announced to the constructor.

        Raises:
            ValueError: another shape or dtype; nothing is stored then.
        """
        if not len(rows):
            return
        if rows.shape[1:] != (self._width,) or rows.dtype != np.float32:
            raise ValueError(f"rows are {rows.dtype} {rows.shape}, expected float32 {(len(rows), self._width)}")
        shape = None if self.image_shape is None else (len(rows), *self.image_shape)
        check_images("images", images, shape)
        check_images("next_images", next_images, shape)
        first = max(0, len(rows) - self.capacity)
        with self._writing:
            self._begun = self.total + len(rows)
            slots = np.arange(self.total + first, self._begun) % self.capacity
            self._table[slots] = rows[first:]
            if self._images is not None:
                self._images[0, slots], self._images[1, slots] = images[first:], next_images[first:]
            self.total = self._begun

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        """Draw transitions uniformly, with replacement. The batch is a copy, each field contiguous.

        Raises:
            ValueError: the buffer is empty.
        """
        published = self.total
        if published == 0:
            raise ValueError("cannot sample: the replay memory is empty")
        slots = rng.integers(0, min(published, self.capacity), batch_size)
        rows, images = self._copy(slots)
        written = self._begun - published
        if written:
            stale = (slots - published) % self.capacity < written
            if stale.any():
                with self._writing:
                    self._copy_again(slots, stale, rows, images)
        o, a = self.observation_size, self.action_size
        image, next_image = (None, None) if images is None else images
        return Batch(
            observation=rows[:, :o].copy(),
            action=rows[:, o : o + a].copy(),
            reward=rows[:, -2].copy(),
            next_observation=rows[:, o + a : 2 * o + a].copy(),
            bootstrap=rows[:, -1].copy(),
            image=image,
            next_image=next_image,
        )

    def _copy(self, slots: npt.NDArray[np.int64]) -> tuple[Array, list[Images] | None]:
        # `take` needs half the time of indexing.
        rows = self._table.take(slots, axis=0, mode="clip")
        if self._images is None:
            return rows, None
        return rows, [images.take(slots, axis=0, mode="clip") for images in self._images]

    def _copy_again(
        self,
        slots: npt.NDArray[np.int64],
        stale: npt.NDArray[np.bool_],
        rows: Array,
        images: list[Images] | None,
    ) -> None:
        """Replace what may have been copied while it was written."""
        new_rows, new_images = self._copy(slots[stale])
        rows[stale] = new_rows
        for old, new in zip(images or (), new_images or (), strict=True):
            old[stale] = new


def row(transition: Transition) -> Array:
    """A transition as a row of the replay memory. The bootstrap rule: only `terminated` cuts it."""
    values = (
        transition.observation,
        transition.executed_action,
        transition.next_observation,
        (transition.reward, transition.end_reason.bootstraps),
    )
    return np.concatenate(values, dtype=np.float32, casting="same_kind")


def rows(
    observation: Array,
    executed_action: Array,
    next_observation: Array,
    reward: Array,
    end_reason: npt.NDArray[np.uint8],
) -> Array:
    """Many transitions as rows of the replay memory [n, row_size]."""
    bootstrap = end_reason != EndReason.TERMINATED
    columns = (observation, executed_action, next_observation, reward[:, None], bootstrap[:, None])
    return np.concatenate(columns, axis=1, dtype=np.float32)
