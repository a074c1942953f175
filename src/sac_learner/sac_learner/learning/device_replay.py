"""The replay memory on a GPU: rows of `replay` in a ring that updates draw from without waiting for the host."""

from __future__ import annotations

import numpy as np
import torch

from sac_learner.learning.memory import available_memory_bytes, megabytes
from sac_learner.learning.replay import Array, ReplayBuffer, ReplayMemoryError
from sac_learner.sac.gradients import TensorBatch

# Drawn numbers are below this and taken modulo the size: of 10^6 transitions none is more likely than another by more
# than 1 in 10^12. The modulo is taken on the device, so the size may grow under a captured graph.
_DRAWN_BELOW = 2**62
# Rows in one copy to the device: bounds the locked memory that PyTorch keeps for such copies.
_COPIED_ROWS = 4096


class DeviceReplay:
    """Ring of a fixed capacity. Transition number i lies in slot i % capacity, as in `ReplayBuffer`.

    Everything is ordered by the device's current stream: what is added before an update is there for it.
    """

    def __init__(self, capacity: int, observation_size: int, action_size: int, device: torch.device) -> None:
        """Reserve the memory on the device.

        Args:
            capacity: transitions that are kept.
            observation_size, action_size: numbers in an observation and an action.
            device: where.

        Raises:
            ReplayMemoryError: it does not fit into what is available there now.
        """
        self.capacity, self.total = capacity, 0
        self._observation_size, self._action_size = observation_size, action_size
        self._width = ReplayBuffer.row_size(observation_size, action_size)
        self._check_memory(device)
        self._table = torch.empty(capacity, self._width, device=device)
        self._size = torch.zeros((), dtype=torch.int64, device=device)  # as the device knows it

    def _check_memory(self, device: torch.device) -> None:
        row_bytes, available = 4 * self._width, _available_bytes(device)
        needed = self.capacity * row_bytes
        if needed > available:
            raise ReplayMemoryError(
                f"a replay memory of {self.capacity} transitions takes {megabytes(needed)}, available on {device} are "
                f"{megabytes(available)}: set sac.replay_capacity to at most {available // row_bytes}"
            )

    @property
    def size(self) -> int:
        """Transitions that can be sampled."""
        return min(self.total, self.capacity)

    def announcement(self) -> str:
        """One sentence about the memory that it takes, for the log."""
        needed = megabytes(self._table.numel() * self._table.element_size())
        return f"replay memory: {self.capacity} transitions, {needed} on {self._table.device}, taken at once"

    def add(self, row: Array) -> None:
        """Store one transition: see `extend`. row [row_size], float32."""
        self.extend(row[None])

    def extend(self, rows: Array) -> None:
        """Store transitions, oldest first. Returns while they are still being copied to a GPU.

        Args:
            rows: see `replay.rows`; [n, row_size], float32.

        Raises:
            ValueError: another shape or dtype, or a value that is not finite; nothing is stored then.
        """
        if not len(rows):
            return
        if rows.shape[1:] != (self._width,) or rows.dtype != np.float32:
            raise ValueError(f"rows are {rows.dtype} {rows.shape}, expected float32 {(len(rows), self._width)}")
        # Updates on the device look at no value: nothing that cannot be learned from may get there.
        if not np.isfinite(rows).all():
            bad, column = np.argwhere(~np.isfinite(rows))[0]
            raise ValueError(f"row {bad} holds {rows[bad, column]} in column {column}: it cannot be learned from")
        kept = rows[-self.capacity :]
        self.total += len(rows)
        number = self.total - len(kept)
        while number < self.total:
            slot, remaining = number % self.capacity, self.total - number
            count = min(remaining, self.capacity - slot, _COPIED_ROWS)
            piece = torch.from_numpy(kept[len(kept) - remaining :][:count])
            if self._table.is_cuda:
                # From locked memory a copy does not wait; PyTorch gives it to nobody else before the copy is done.
                piece = piece.pin_memory()
            self._table[slot : slot + count].copy_(piece, non_blocking=True)
            number += count
        self._size.fill_(self.size)

    def clear(self) -> None:
        """Forget all transitions."""
        self.total = 0
        self._size.zero_()

    def sample(self, batch_size: int, generator: torch.Generator) -> TensorBatch:
        """Draw transitions uniformly, with replacement, on the device; there must be some. Fields are views of one
        copy.
        """
        drawn = torch.randint(_DRAWN_BELOW, (batch_size,), generator=generator, device=self._table.device)
        rows = self._table.index_select(0, drawn % self._size)
        o, a = self._observation_size, self._action_size
        observation, action, next_observation, reward, bootstrap = rows.split([o, a, o, 1, 1], dim=1)
        return TensorBatch(observation, action, reward.squeeze(1), next_observation, bootstrap.squeeze(1))


def _available_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory_bytes()
