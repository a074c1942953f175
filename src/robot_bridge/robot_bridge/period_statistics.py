"""How regularly something happens, for diagnostics."""

from __future__ import annotations


class PeriodStatistics:
    """Mean and longest time between events since the last :meth:`take`."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._count, self._sum_s, self._longest_s = 0, 0.0, 0.0

    def add(self, now_s: float) -> None:
        """An event happens."""
        if self._last_s is not None:
            period_s = now_s - self._last_s
            self._count += 1
            self._sum_s += period_s
            self._longest_s = max(self._longest_s, period_s)
        self._last_s = now_s

    def take(self) -> tuple[int, float, float]:
        """Number of periods, their mean and the longest [s] (0 when there was none)."""
        result = self._count, self._sum_s / max(self._count, 1), self._longest_s
        self._count, self._sum_s, self._longest_s = 0, 0.0, 0.0
        return result
