"""Which goals emulated servos have held, and when: what a witness holds against what others say of it."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

import numpy as np

from robot_bridge.backend import Vector


class GoalHistory:
    """Goals as `EmulatorProcess.take_goals` tells them, kept for ever.

    Args:
        joints: number of joints.
    """

    def __init__(self, joints: int) -> None:
        self._times_s: list[list[float]] = [[] for _ in range(joints)]
        self._goals_rad: list[list[float]] = [[] for _ in range(joints)]

    def add(self, goals: Iterable[tuple[float, int, float]]) -> None:
        """Later ones: from when on [s], place of the joint, its goal [rad]."""
        for at_s, place, goal_rad in goals:
            # In this order: another thread may look meanwhile.
            self._goals_rad[place].append(goal_rad)
            self._times_s[place].append(at_s)

    def around(self, time_s: float, longest_s: float) -> Vector:
        """Goals (n, joints) held at that time and at each change until so much later [rad]; NaN: not known."""
        times = {time_s}
        for times_s in self._times_s:
            first = bisect.bisect_right(times_s, time_s)
            times.update(times_s[first : bisect.bisect_right(times_s, time_s + longest_s)])
        return np.stack([self._at(moment_s) for moment_s in sorted(times)])

    def _at(self, time_s: float) -> Vector:
        held = np.full(len(self._times_s), np.nan)
        for place, times_s in enumerate(self._times_s):
            newest = bisect.bisect_right(times_s, time_s) - 1
            if newest >= 0:
                held[place] = self._goals_rad[place][newest]
        return held
