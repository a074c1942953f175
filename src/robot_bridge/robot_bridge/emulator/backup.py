"""The backup area of one servo: instruction Control Table Backup of the e-manual's page Protocol 2.0."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from robot_bridge.dynamixel.control_table import Model

# Parameters of the instruction.
STORE, RESTORE = b"\x01CTRL", b"\x02CTRL"
# What is stored besides EEPROM and the indirect addresses.
_RAM = (
    "velocity_i_gain",
    "velocity_p_gain",
    "position_d_gain",
    "position_i_gain",
    "position_p_gain",
    "feedforward_2nd_gain",
    "feedforward_1st_gain",
    "profile_acceleration",
    "profile_velocity",
)


class Backup:
    """Values that outlive everything but the next ones.

    Args:
        model: of the servo.
    """

    def __init__(self, model: Model) -> None:
        registers = model.registers.items()
        self._eeprom = [name for name, register in registers if register.eeprom and register.writable]
        self._ram = [name for name, _ in registers if name in _RAM or name.startswith("indirect_address_")]
        self._values: dict[str, int] = {}

    @property
    def ready(self) -> bool:
        """Register backup_ready: whether there is any."""
        return bool(self._values)

    def store(self, get: Callable[[str], int]) -> None:
        """Take the value of each register from `get`."""
        self._values = {name: get(name) for name in (*self._eeprom, *self._ram)}

    @property
    def eeprom(self) -> Mapping[str, int]:
        """What the instruction restores."""
        return {name: self._values[name] for name in self._eeprom}

    @property
    def ram(self) -> Mapping[str, int]:
        """What comes back at start-up if bit 1 of register startup_configuration is set."""
        return {name: self._values[name] for name in self._ram}
