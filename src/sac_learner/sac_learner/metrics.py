"""Scalars of a run as TensorBoard events."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

_FLUSH_S = 10


class MetricsWriter:
    """Writes scalars against the number of transitions; a resumed run goes on in the same curves."""

    def __init__(self, directory: Path, *, resumed_at: int) -> None:
        """Args: resumed_at: transitions at the checkpoint; points beyond it, from before a crash, are hidden."""
        self._directory, self._resumed_at = directory, resumed_at
        self._writer: SummaryWriter | None = None

    def write(self, step: int, scalars: Mapping[str, float]) -> str | None:
        """Add one point to every curve; returns what went wrong, or None."""
        try:
            if self._writer is None:
                self._writer = SummaryWriter(
                    str(self._directory), purge_step=self._resumed_at or None, flush_secs=_FLUSH_S
                )
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, step)
        except OSError as error:
            # The writer's own thread is dead after an error: a new writer is made for the next point.
            self.close()
            self._resumed_at = 0
            return f"cannot write TensorBoard events into {self._directory}: {error}; free space, it is tried again"
        return None

    def close(self) -> None:
        """Write what is held and end; errors of an already failed writer are known by then."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()
