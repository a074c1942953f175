"""What emulated servos showed and held at each reading: a witness holds against it what others say of a reading."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

import numpy as np

from robot_bridge.backend import Vector

# A reading's time is that of its instruction, which the servos hear later, an emulator that gets no processor much
# later; never sooner, but stamps are rounded and offsets of clocks measured. Two readings may be a millisecond apart.
_BEFORE_S, _AFTER_S = 5e-5, 1.0
# Positions are whole ticks of 1.5 mrad, told as float32.
_SAME_RAD = 1e-5


def _time_s(reading: tuple[float, list[float], list[float]]) -> float:
    return reading[0]


class ReadingHistory:
    """Readings as `EmulatorProcess.take_readings` tells them, kept for ever."""

    def __init__(self) -> None:
        self._readings: list[tuple[float, list[float], list[float]]] = []

    def add(self, readings: Iterable[tuple[float, list[float], list[float]]]) -> None:
        """More of them: time [s], positions and goals [rad]. Seldom one comes from later than those after it: the
        servos hear an instruction when answers before it have left the line, unless these are given up."""
        for reading in readings:
            bisect.insort(self._readings, reading, key=_time_s)

    def goals(self, time_s: float, position_rad: Vector) -> Vector | None:
        """What the servos held when they showed those positions.

        Args:
            time_s: when they were asked [s].
            position_rad: shape (n,), of the first n joints.

        Returns:
            Shape (n,) [rad]; None: they did not show these positions within a second from then on.
        """
        return self._first(time_s - _BEFORE_S, time_s + _AFTER_S, position_rad)

    def showed(self, since_s: float, until_s: float, position_rad: Vector) -> bool:
        """Whether the servos showed those positions (n,) [rad] at some reading between these times [s]."""
        return self._first(since_s - _BEFORE_S, until_s, position_rad) is not None

    def _first(self, since_s: float, until_s: float, position_rad: Vector) -> Vector | None:
        """Goals at the first reading between these times that showed those positions."""
        first = bisect.bisect_left(self._readings, since_s, key=_time_s)
        last = bisect.bisect_right(self._readings, until_s, key=_time_s)
        for _, shown_rad, goals_rad in self._readings[first:last]:
            if np.abs(np.subtract(shown_rad[: len(position_rad)], position_rad)).max() < _SAME_RAD:
                return np.array(goals_rad[: len(position_rad)])
        return None
