"""What changes slowly in a servo: its hardware error, temperature and supply voltage, one short read at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import numpy as np

from robot_bridge.backend import UNREAD_ERROR, ReadError, RobotHealth
from robot_bridge.dynamixel.bus import DynamixelBus
from robot_bridge.dynamixel.connection import Servo
from robot_bridge.dynamixel.control_table import VOLTAGE_UNIT_V

# Registers present_input_voltage and present_temperature, side by side.
_ADDRESS, _SIZE = 144, 3


class SlowRegisters:
    """Args:
    bus: open while anything is read.
    servos: in the order of the joints.
    clock: steady time [s].
    """

    def __init__(self, bus: DynamixelBus, servos: Sequence[Servo], clock: Callable[[], float]) -> None:
        self._bus, self._clock = bus, clock
        self._ids = [servo.identifier for servo in servos]
        # All models of the series have it at the same place.
        self._error = servos[0].model.register("hardware_error_status")
        self._alerted: set[int] = set()  # places of servos that say that they have a hardware error
        self._unread_errors: set[int] = set()  # places of servos whose hardware error is to be read
        self._reads = 0  # of temperature and voltage
        self.forget()

    def forget(self) -> None:
        """Servos that have just been set up: nothing is known."""
        count = len(self._ids)
        self._alerted.clear()
        self._unread_errors.clear()
        self._reads = 0
        self.health = RobotHealth(
            np.full(count, np.nan), np.full(count, np.nan), np.zeros(count, np.uint8), np.full(count, -np.inf)
        )

    def heed_alerts(self) -> None:
        """Servos say with every answer whether they have a hardware error; which one is still to be read."""
        alerted = {i for i, identifier in enumerate(self._ids) if identifier in self._bus.alerts}
        for place in alerted - self._alerted:
            self.health.hardware_error[place] |= UNREAD_ERROR
            self._unread_errors.add(place)
        self._alerted = alerted

    def read_error(self) -> bool:
        """Read a hardware error that is new; False: there is none. The alert alone is known already, so that this
        reading may be lost: it is counted by the bus, and asked for again after the servo's next slow values."""
        if not self._unread_errors:
            return False
        place = self._unread_errors.pop()
        with contextlib.suppress(ReadError):
            self.health.hardware_error[place] = self._bus.read(self._ids[place], self._error)
        return True

    def read_next(self) -> None:
        """Temperature and voltage of one more servo, in turn.

        Raises:
            BackendError: as the bus.
        """
        place = self._reads % len(self._ids)
        self._reads += 1
        identifier, health = self._ids[place], self.health
        data = self._bus.read_bytes(identifier, _ADDRESS, _SIZE, "voltage and temperature")
        health.voltage_v[place] = VOLTAGE_UNIT_V * int.from_bytes(data[:2], "little")
        health.temperature_c[place] = data[2]
        health.read_s[place] = self._clock()
        if identifier in self._bus.alerts:
            self._unread_errors.add(place)  # once more: a second error may have come
        else:
            health.hardware_error[place] = 0
