"""The control table of Dynamixel X-series servos: where each register lies, what it holds and who may write it.

Source: ROBOTIS e-manual, page of the XM430-W210; `models` says where others differ. Registers that nothing here needs
are left out: PWM slope, external ports.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

TICKS_PER_REVOLUTION = 4096
# One unit of velocity, 0.229 rpm, in rad/s.
VELOCITY_UNIT_RAD_S = 0.229 * 2.0 * math.pi / 60.0
# One unit of the profile's acceleration, 214.577 rev/min^2, in rad/s^2.
ACCELERATION_UNIT_RAD_S2 = 214.577 * 2.0 * math.pi / 3600.0
VOLTAGE_UNIT_V = 0.1
RETURN_DELAY_UNIT_S = 2e-6
WATCHDOG_UNIT_S = 0.02
# As firmware from which a model knows something: never, register firmware_version has one byte.
NEVER = 256
# Registers below are EEPROM: writable only while torque is off, kept without power.
EEPROM_END = 64
TABLE_SIZE = 662

BAUD_RATES = {0: 9_600, 1: 57_600, 2: 115_200, 3: 1_000_000, 4: 2_000_000, 5: 3_000_000, 6: 4_000_000, 7: 4_500_000}
POSITION_CONTROL = 3  # register operating_mode
FULL_PWM = 885  # registers pwm_limit, goal_pwm, present_pwm: all of the supply's voltage
LOAD_UNIT = 1e-3  # register present_load, in parts of the full output
# Register hardware_error_status: bit -> what it means.
HARDWARE_ERRORS = {0: "input voltage", 2: "overheating", 3: "encoder", 4: "electrical shock", 5: "overload"}


def describe_errors(bits: int) -> str:
    """The bits of register hardware_error_status in words."""
    names = [HARDWARE_ERRORS.get(bit, f"unknown bit {bit}") for bit in range(8) if bits >> bit & 1]
    return f"hardware error {' and '.join(names)}" if names else "no hardware error"


@dataclasses.dataclass(frozen=True, slots=True)
class Register:
    """One entry of the control table. Values outside [minimum, maximum] are answered with a data range error."""

    name: str
    address: int
    size: int  # bytes, little-endian
    default: int
    writable: bool = True
    signed: bool = False
    minimum: int | None = None
    maximum: int | None = None
    firmware: int = 0  # first one that has it

    @property
    def eeprom(self) -> bool:
        """Whether it can be written only while torque is off."""
        return self.address < EEPROM_END

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.size

    def encode(self, value: int) -> bytes:
        """The value as it goes over the bus: little-endian, two's complement if signed.

        Raises:
            OverflowError: it does not fit into the register's bytes.
        """
        return value.to_bytes(self.size, "little", signed=self.signed)

    def decode(self, data: bytes) -> int:
        """The inverse of :meth:`encode`."""
        return int.from_bytes(data, "little", signed=self.signed)


@dataclasses.dataclass(frozen=True)
class Model:
    """One model of servo. Units: amperes per count of the current registers."""

    name: str
    number: int
    registers: Mapping[str, Register]
    current_unit_a: float  # 0: it has no current registers; present_load lies where others have present_current
    fast_read_firmware: int  # first firmware that knows fast sync read, or NEVER

    def register(self, name: str) -> Register:
        """The register of that name.

        Raises:
            KeyError: this model has none; the message names model and register.
        """
        if name not in self.registers:
            raise KeyError(f"{self.name} has no register '{name}'")
        return self.registers[name]


def _read_only(name: str, address: int, size: int, default: int, signed: bool = False) -> Register:
    return Register(name, address, size, default, writable=False, signed=signed)


# Limits as in the e-manual; None: any value of that size. Indirect addresses and data: `models`.
XM430_W210 = (
    _read_only("model_number", 0, 2, 1030),
    _read_only("model_information", 2, 4, 0),
    _read_only("firmware_version", 6, 1, 45),
    Register("id", 7, 1, 1, minimum=0, maximum=252),
    Register("baud_rate", 8, 1, 1, minimum=0, maximum=7),
    Register("return_delay_time", 9, 1, 250, minimum=0, maximum=254),
    Register("drive_mode", 10, 1, 0, minimum=0, maximum=13),
    Register("operating_mode", 11, 1, POSITION_CONTROL, minimum=0, maximum=16),
    Register("secondary_id", 12, 1, 255, minimum=0, maximum=255),
    Register("protocol_type", 13, 1, 2, minimum=1, maximum=2),
    Register("homing_offset", 20, 4, 0, signed=True, minimum=-1_044_479, maximum=1_044_479),
    Register("moving_threshold", 24, 4, 10, minimum=0, maximum=1023),
    Register("temperature_limit", 31, 1, 80, minimum=0, maximum=100),
    Register("max_voltage_limit", 32, 2, 160, minimum=95, maximum=160),
    Register("min_voltage_limit", 34, 2, 95, minimum=95, maximum=160),
    Register("pwm_limit", 36, 2, 885, minimum=0, maximum=885),
    Register("current_limit", 38, 2, 1193, minimum=0, maximum=1193),
    Register("velocity_limit", 44, 4, 330, minimum=0, maximum=1023),
    Register("max_position_limit", 48, 4, 4095, minimum=0, maximum=4095),
    Register("min_position_limit", 52, 4, 0, minimum=0, maximum=4095),
    # Bit 0: torque on at start-up; bit 1: the backup's gains, profile and indirect addresses at start-up.
    Register("startup_configuration", 60, 1, 0, minimum=0, maximum=3, firmware=45),
    Register("shutdown", 63, 1, 52),
    Register("torque_enable", 64, 1, 0, minimum=0, maximum=1),
    Register("led", 65, 1, 0, minimum=0, maximum=1),
    Register("status_return_level", 68, 1, 2, minimum=0, maximum=2),
    _read_only("registered_instruction", 69, 1, 0),
    _read_only("hardware_error_status", 70, 1, 0),
    Register("velocity_i_gain", 76, 2, 1920, minimum=0, maximum=16_383),
    Register("velocity_p_gain", 78, 2, 100, minimum=0, maximum=16_383),
    Register("position_d_gain", 80, 2, 0, minimum=0, maximum=16_383),
    Register("position_i_gain", 82, 2, 0, minimum=0, maximum=16_383),
    Register("position_p_gain", 84, 2, 800, minimum=0, maximum=16_383),
    Register("feedforward_2nd_gain", 88, 2, 0, minimum=0, maximum=16_383),
    Register("feedforward_1st_gain", 90, 2, 0, minimum=0, maximum=16_383),
    Register("bus_watchdog", 98, 1, 0, signed=True, minimum=0, maximum=127),
    Register("goal_pwm", 100, 2, 885, signed=True),
    Register("goal_current", 102, 2, 1193, signed=True),
    Register("goal_velocity", 104, 4, 330, signed=True),
    Register("profile_acceleration", 108, 4, 0, minimum=0, maximum=32_767),
    Register("profile_velocity", 112, 4, 0, minimum=0, maximum=32_767),
    Register("goal_position", 116, 4, 2048, signed=True, minimum=-1_048_575, maximum=1_048_575),
    _read_only("realtime_tick", 120, 2, 0),
    _read_only("moving", 122, 1, 0),
    _read_only("moving_status", 123, 1, 0),
    _read_only("present_pwm", 124, 2, 0, signed=True),
    _read_only("present_current", 126, 2, 0, signed=True),
    _read_only("present_velocity", 128, 4, 0, signed=True),
    _read_only("present_position", 132, 4, 2048, signed=True),
    _read_only("velocity_trajectory", 136, 4, 0, signed=True),
    _read_only("position_trajectory", 140, 4, 2048, signed=True),
    _read_only("present_input_voltage", 144, 2, 120),
    _read_only("present_temperature", 146, 1, 30),
    Register("backup_ready", 147, 1, 0, writable=False, firmware=45),
)
