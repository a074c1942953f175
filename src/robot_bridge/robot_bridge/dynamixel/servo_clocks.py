"""The servos' own clocks beside the computer's: whether an answer is as young as it should be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robot_bridge.backend import Flags

# Register realtime_tick counts milliseconds, from 0 when the servo starts, and starts anew after 32,767 (e-manual).
_PERIOD_MS = 32_768.0
_HALF_MS = 0.5 * _PERIOD_MS
# A servo's time is known to a millisecond; two more for one that brings its registers up to date in a loop of its own
# (own figure).
_TICK_MS = 3.0
# How much faster or slower than the computer's clock a servo's may go. The e-manual gives no accuracy; with more than
# about 2% between sender and receiver the last bits of a byte are misread, and nothing would be understood at all.
_DRIFT = 0.02
# After so long without a reading nothing can be said.
_LONGEST_MS = _PERIOD_MS / (8.0 * _DRIFT)


class ServoClocks:
    """Keeps for each servo how far its clock is ahead of the computer's: between what the newest of its answers allow.

    An answer was made between the instruction and its arrival. The shortest such times bound the difference, so that an
    answer to an earlier instruction, which is older by at least the reply time that was waited for it, falls outside.

    Args:
        count: number of servos.
    """

    def __init__(self, count: int) -> None:
        self._low_ms, self._high_ms = np.full(count, np.nan), np.full(count, np.nan)  # NaN: not known
        self._seen_ms = -np.inf  # when they were

    def forget(self, which: Flags) -> None:
        """Any time of these servos (servos,) is right the next time."""
        self._low_ms[which] = np.nan

    def lag_ms(self, ticks: npt.NDArray[np.integer], sent_s: float, received_s: float) -> npt.NDArray[np.float64]:
        """How far each servo's clock is behind the computer's (ahead: negative); 0 where it may be right. Only answers
        that are all right are learned from.

        Args:
            ticks: (servos,) registers realtime_tick.
            sent_s: when the instruction went out [s].
            received_s: when all answers were there [s].
        """
        received_ms = 1e3 * received_s
        passed_ms, width_ms = received_ms - self._seen_ms, received_ms - 1e3 * sent_s + _TICK_MS
        if passed_ms > _LONGEST_MS:
            self._low_ms[:] = np.nan
            passed_ms = 0.0
        earliest, latest = self._low_ms - _DRIFT * passed_ms, self._high_ms + _DRIFT * passed_ms
        offset = ticks - received_ms
        unknown = np.isnan(earliest)
        if unknown.any():
            earliest = np.where(unknown, offset, earliest)
            latest = np.where(unknown, offset + width_ms, latest)
        # What this answer allows, in the turn of the register that is nearest: from low to high.
        low = earliest + (offset - earliest + _HALF_MS) % _PERIOD_MS - _HALF_MS
        high = low + width_ms
        lag_ms = np.maximum(earliest - high, 0.0) - np.maximum(low - latest, 0.0)
        if not lag_ms.any():
            self._low_ms, self._high_ms = np.maximum(low, earliest), np.minimum(high, latest)
            self._seen_ms = received_ms
        return lag_ms
