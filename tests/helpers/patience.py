"""How long tests wait, and waiting for conditions outside of ROS."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# Longest wait for anything that must happen [s]. Far above what a slow machine needs: only a test that fails waits so
# long.
PATIENCE_S = 180.0
_LOOK_S = 0.01


def until(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Look again and again until the condition holds; AssertionError with `what` after the time-out."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s} s"
        time.sleep(_LOOK_S)


def best_of(trials: int, measure: Callable[[], float], limit_s: float) -> float:
    """The shortest of several measured times [s]: the first one below the limit ends the trials.

    For times that are themselves what is tested: a pause of the machine only makes them longer.
    """
    times_s: list[float] = []
    while len(times_s) < trials and min(times_s, default=limit_s) >= limit_s:
        times_s.append(measure())
    return min(times_s)
