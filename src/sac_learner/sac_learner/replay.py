"""The replay memory: the newest transitions in one table, sampled uniformly. NumPy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rosac_common.transition import EndReason, Transition

Array = npt.NDArray[np.float32]
_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


class ReplayMemoryError(MemoryError):
    """The replay memory does not fit into this machine's memory. The message names sizes and remedy."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Transitions side by side, float32: what one update trains on. The action is the executed one."""

    observation: Array  # [B, O]
    action: Array  # [B, A]
    reward: Array  # [B]
    next_observation: Array  # [B, O]
    bootstrap: Array  # [B], 0 where the episode ended as `terminated`, else 1

    def __iter__(self) -> Iterator[Array]:
        return iter((self.observation, self.action, self.reward, self.next_observation, self.bootstrap))

    def check(self, observation_size: int, action_size: int) -> None:
        """Raise ValueError unless every field has the shape and dtype of these sizes."""
        n = len(self.reward)
        shapes = ((n, observation_size), (n, action_size), (n,), (n, observation_size), (n,))
        for field, array, shape in zip(dataclasses.fields(self), self, shapes, strict=True):
            if array.shape != shape or array.dtype != np.float32:
                raise ValueError(f"batch: {field.name} is {array.dtype} {array.shape}, expected float32 {shape}")


class ReplayBuffer:
    """Ring buffer of a fixed capacity. Transition number i lies in slot i % capacity.

    Memory is reserved at once but taken page by page as transitions come.
    """

    def __init__(self, capacity: int, observation_size: int, action_size: int) -> None:
        """Reserve the table.

        Raises:
            ReplayMemoryError: the full table would not fit into the memory that is available now.
        """
        self.observation_size, self.action_size = observation_size, action_size
        self.capacity, self.total = capacity, 0
        width = self.row_size(observation_size, action_size)
        needed, available = capacity * width * 4, available_memory_bytes()
        if needed > available:
            fits = available // (width * 4)
            raise ReplayMemoryError(
                f"a replay memory of {capacity} transitions takes {_megabytes(needed)}, available are "
                f"{_megabytes(available)}: set sac.replay_capacity to at most {fits}"
            )
        # Zero pages cost nothing until they are written.
        self._table = np.zeros((capacity, width), dtype=np.float32)

    @staticmethod
    def row_size(observation_size: int, action_size: int) -> int:
        """Numbers per transition: observation, executed action, next observation, reward, bootstrap."""
        return 2 * observation_size + action_size + 2

    @property
    def size(self) -> int:
        """Transitions that can be sampled."""
        return min(self.total, self.capacity)

    def announcement(self) -> str:
        """One sentence about the memory that it may take, for the log."""
        return (
            f"replay memory: at most {self.capacity} transitions, {_megabytes(self._table.nbytes)}, taken as they come"
        )

    def add(self, row: Array) -> None:
        """Store one transition, given as a row (see `row` and `rows`)."""
        self._table[self.total % self.capacity] = row
        self.total += 1

    def extend(self, rows: Array) -> None:
        """Store many transitions, oldest first: the same as `add` for each."""
        if not len(rows):
            return
        first = max(0, len(rows) - self.capacity)
        slots = np.arange(self.total + first, self.total + len(rows)) % self.capacity
        self._table[slots] = rows[first:]
        self.total += len(rows)

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        """Draw transitions uniformly, with replacement.

        Raises:
            ValueError: the buffer is empty.
        """
        if self.total == 0:
            raise ValueError("cannot sample: the replay memory is empty")
        rows = self._table[rng.integers(0, self.size, batch_size)]
        o, a = self.observation_size, self.action_size
        return Batch(
            observation=rows[:, :o],
            action=rows[:, o : o + a],
            next_observation=rows[:, o + a : 2 * o + a],
            reward=rows[:, -2],
            bootstrap=rows[:, -1],
        )


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


def available_memory_bytes() -> int:
    """Memory that this process may still take: of the machine, and of its control group where that is limited."""
    available = 2**63
    for line in _MEMINFO.read_text().splitlines() if _MEMINFO.exists() else ():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if limit.exists() and used.exists() and (text := limit.read_text().strip()) != "max":
        available = min(available, max(0, int(text) - int(used.read_text())))
    return available


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
