"""One reading of all servos: the registers that lie side by side in one sync read, and whether they are of now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from robot_bridge.backend import ReadError
from robot_bridge.dynamixel.bus import DynamixelBus
from robot_bridge.dynamixel.connection import Servo
from robot_bridge.dynamixel.servo_clocks import ServoClocks
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.dynamixel.units import Counts

# All models of the series have these at the same place: registers goal_position to present_position.
ADDRESS = 116
FIELDS = np.dtype(
    [
        ("goal_position", "<i4"),
        ("realtime_tick", "<u2"),
        ("moving", "u1"),
        ("moving_status", "u1"),
        ("present_pwm", "<i2"),
        ("present_current", "<i2"),
        ("present_velocity", "<i4"),
        ("present_position", "<i4"),
    ]
)
SIZE = FIELDS.itemsize
# Reads of this length and of one byte more take turns, so that a late answer to the read before is recognised by its
# length. While answers are missing, each read has a length that none had since the last answer, as what is late comes
# in order; and none that was not answered in the last half second (own figure: a busy computer was seen to hand bytes
# over 190 ms late, docs/hardware.md). Ten lengths last until the robot has stopped (safety.read_failures_stop).
_LATE_LENGTHS, _LATE_S = 10, 0.5


class JointReader:
    """Args:
    bus: open while anything is read.
    servos: in the order of the joints.
    settings: tries, and whether reads are fast.
    times_s: when the last instruction went out, and now [s].
    check_watchdogs: raises `BackendError` if a servo has restarted or stopped by itself.
    """

    def __init__(
        self,
        bus: DynamixelBus,
        servos: Sequence[Servo],
        settings: BusSettings,
        times_s: Callable[[], tuple[float, float]],
        check_watchdogs: Callable[[], None],
    ) -> None:
        self._bus, self._servos, self._settings = bus, servos, settings
        self._times_s, self._check_watchdogs = times_s, check_watchdogs
        self._ids = [servo.identifier for servo in servos]
        self._clocks = ServoClocks(len(servos))
        self._fast_failures = 0
        self._extra = 0  # bytes
        self._unanswered = 0  # reads in a row
        self._missing_s: dict[int, float] = {}  # extra bytes of those -> when they were sent, on the bus' clock
        self.fast = False  # one answer of all servos
        self.sent_s = 0.0  # when the instruction went out that was answered last [s]

    def begin(self, fast: bool) -> None:
        """With servos that have just been set up."""
        self.fast, self._fast_failures = fast, 0
        self._forget_missing()
        self._clocks.forget(np.ones(len(self._ids), dtype=bool))

    def read(self) -> npt.NDArray[np.void]:
        """The `FIELDS` (joints,) of all servos; a fast read that fails is followed by a plain one, which names who is
        silent.

        Raises:
            ReadError: an answer is missing or damaged; or a servo's clock says that its answer is old, or stands still.
            BackendError: a servo has restarted.
        """
        retries = max(self._settings.read_retries, int(self.fast))
        for retries_left in range(retries, -1, -1):
            fast = self.fast and retries_left == retries
            try:
                values = self._try(fast)
            except ReadError:
                self._unanswered += 1
                self._fast_failures += fast
                self.fast = self.fast and self._fast_failures < self._settings.fast_read_failures
                if not retries_left:
                    raise
                continue
            self._forget_missing()
            if fast:
                self._fast_failures = 0
            return values
        raise AssertionError

    def _forget_missing(self) -> None:
        """Something was answered: what was late has come before it."""
        self._unanswered = 0
        self._missing_s.clear()

    def _try(self, fast: bool) -> npt.NDArray[np.void]:
        self._extra = self._extra_bytes()
        now_s = self._bus.now_s
        if now_s - self._missing_s.get(self._extra, -np.inf) < _LATE_S:
            raise ReadError(
                f"{self._unanswered} reads in a row without an answer: the next ones wait until answers can no longer "
                f"come, {_LATE_S:g} s; is the bus powered and connected? `rosac bus check` looks at it"
            )
        self._missing_s[self._extra] = now_s
        size = SIZE + self._extra
        answers = self._bus.sync_read(self._ids, ADDRESS, size, fast)
        raw = np.frombuffer(b"".join(answers[identifier] for identifier in self._ids), dtype=np.uint8)
        values = np.ascontiguousarray(raw.reshape(len(self._ids), size)[:, :SIZE]).view(FIELDS)[:, 0]
        self.sent_s, received_s = self._times_s()
        lag_ms = self._clocks.lag_ms(values["realtime_tick"], self.sent_s, received_s)
        if lag_ms.any():
            self._explain(lag_ms)
        return values

    def _extra_bytes(self) -> int:
        if not self._unanswered:
            return 1 if self._extra == 0 else 0
        return 2 + (self._unanswered - 1) % _LATE_LENGTHS

    def _explain(self, lag_ms: npt.NDArray[np.float64]) -> None:
        """Clocks of servos that are not where they should be."""
        self._check_watchdogs()
        ahead = lag_ms < 0.0
        if ahead.any():  # not theirs but the computer's clock has stood still
            self._bus.failures["clock_ahead"] += 1
            self._clocks.forget(ahead)
        i = int(np.argmax(lag_ms))
        if lag_ms[i] > 0.0:
            self._bus.failures["old_answer"] += 1
            raise ReadError(
                f"{self._servos[i]}: its clock is {lag_ms[i]:.0f} ms behind: an answer to an earlier instruction, held "
                "back by a busy computer or adapter (docs/hardware.md), or a servo whose clock stands still"
            )


def counts(values: npt.NDArray[np.void], register: str) -> Counts:
    """A register of all servos."""
    return values[register].astype(np.int64)
