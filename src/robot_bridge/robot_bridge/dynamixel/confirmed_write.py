"""Writing a register of several servos at once, and reading it back: nobody answers a sync write."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

from robot_bridge.backend import BackendError, ReadError
from robot_bridge.dynamixel.bus import DynamixelBus, PartialReadError, ServoError
from robot_bridge.dynamixel.connection import Servo
from robot_bridge.dynamixel.control_table import Register

# What was written is read back, and sent so often: single packets are lost.
_TRIES = 3
# Who does not answer is asked no more after this time, or so many missing answers if that is longer: torque off is
# tried twice when a bridge ends, which has a second for it.
_WAIT_S, _MISSING_ANSWERS = 0.2, 5


class ConfirmedWrite:
    """Args:
    bus: open while anything is written.
    servos: of the bus, for messages.
    clock: steady time [s].
    """

    def __init__(self, bus: DynamixelBus, servos: Sequence[Servo], clock: Callable[[], float]) -> None:
        self._bus, self._servos, self._clock = bus, servos, clock

    def __call__(self, register: Register, values: Mapping[int, int], remedy: str) -> None:
        """Set a register of the servos with these identifiers to their values.

        Raises:
            BackendError: a servo does not show its value after a few tries, or a moment; the message ends with the
                remedy.
        """
        end_s = self._clock() + max(_WAIT_S, _MISSING_ANSWERS * self._bus.reply_timeout_s)
        left, tries = dict(values), 0
        while left and tries < _TRIES and (not tries or self._clock() < end_s):
            tries += 1
            self._bus.sync_write(register, left)
            left = self._not_set(register, left, end_s)
        if not left:
            return
        names = ", ".join(str(servo) for servo in self._servos if servo.identifier in left)
        wanted = ", ".join(sorted({str(value) for value in left.values()}))
        raise BackendError(f"{names}: {register.name} is not {wanted} (tries: {tries}): {remedy}")

    def repeat_where_lost(self, register: Register, values: Mapping[int, int], *, fast: bool) -> None:
        """Write what was written before once more to those who do not show it, a few times at most; how often that is
        needed counts as failures `lost_write` of the bus.

        Raises:
            BackendError: as the bus.
        """
        left = dict(values)
        for _ in range(_TRIES):
            if not left:
                return
            answers = self._bus.sync_read(list(left), register.address, register.size, fast)
            left = {i: value for i, value in left.items() if register.decode(answers[i]) != value}
            if left:
                self._bus.failures["lost_write"] += 1
                self._bus.sync_write(register, left)

    def _not_set(self, register: Register, values: dict[int, int], end_s: float) -> dict[int, int]:
        """Those of the values that their servos do not show, asked until then."""
        answers: dict[int, bytes] = {}
        try:
            answers |= self._bus.sync_read(list(values), register.address, register.size)
        except PartialReadError as error:  # counted by the bus
            answers |= error.answers
            # One servo that is silent must not hide the others, which wait for its answer.
            for identifier in values.keys() - answers.keys() if len(values) > 1 else ():
                if self._clock() > end_s:
                    break
                with contextlib.suppress(ReadError, ServoError):
                    answers[identifier] = self._bus.read_bytes(
                        identifier, register.address, register.size, register.name
                    )
        return {i: v for i, v in values.items() if i not in answers or register.decode(answers[i]) != v}
