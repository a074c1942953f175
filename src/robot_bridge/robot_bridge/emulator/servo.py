"""One emulated servo: its control table with access rules, the motion that it decides itself, its health.

The joint that it turns is the plant's; positions here are the servo's own ticks.
"""

from __future__ import annotations

import math

from robot_bridge.dynamixel.control_table import (
    ACCELERATION_UNIT_RAD_S2,
    HARDWARE_ERRORS,
    POSITION_CONTROL,
    TABLE_SIZE,
    TICKS_PER_REVOLUTION,
    VELOCITY_UNIT_RAD_S,
    WATCHDOG_UNIT_S,
    Model,
    Register,
)
from robot_bridge.emulator.packets import ALERT, Error

RAD_PER_TICK = 2.0 * math.pi / TICKS_PER_REVOLUTION
AMBIENT_C = 25.0
# Own figures, chosen so that a stalled servo reaches its limit in minutes and cools in about ten: no source gives them.
HEATING_C_PER_S_AT_LIMIT = 0.5
COOLING_TIME_S = 300.0
# Time at the current limit that counts as overload (own figure; the e-manual gives no curve).
OVERLOAD_S = 1.0
_GOALS = ("goal_pwm", "goal_current", "goal_velocity", "goal_position")
_TRIPPED = -1


class Servo:
    """Registers and rules of one servo.

    Args:
        model: which servo it is.
        identifier: its id.
        baud_code: register baud_rate.
    """

    def __init__(self, model: Model, identifier: int, baud_code: int) -> None:
        self.model = model
        self._table = bytearray(TABLE_SIZE)
        self._known = bytearray(TABLE_SIZE)  # 1 where a register lies
        self._by_address = {}
        for register in model.registers.values():
            self._known[register.address : register.end] = b"\x01" * register.size
            self._by_address[register.address] = register
        self.power_on_defaults()
        self.set("id", identifier)
        self.set("baud_rate", baud_code)
        self.goal_start = self.get("goal_position")
        self._registered: tuple[int, bytes] | None = None
        self.temperature_c = AMBIENT_C
        self.voltage_v = 12.0
        self.silent = False
        self.frozen = False
        self.last_instruction_s = 0.0
        self._at_limit_s = 0.0
        self._trajectory_rad: float | None = None  # of the profile; None: at the goal at once
        self._trajectory_rad_s = 0.0
        self.torque_off_s = -math.inf  # when torque was last switched off by a write
        self.revision = 0  # grows when something changes that the plant must know

    def power_on_defaults(self) -> None:
        """Every register as it left the factory."""
        for register in self.model.registers.values():
            self._store(register, register.default)

    # registers

    def get(self, name: str) -> int:
        """Value of a register."""
        register = self.model.register(name)
        return register.decode(self._table[register.address : register.end])

    def set(self, name: str, value: int) -> None:
        """Change a register from inside, without any rule; too large values are cut to its bytes."""
        self._store(self.model.register(name), value)

    def _store(self, register: Register, value: int) -> None:
        bits = 8 * register.size
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if register.signed else (0, (1 << bits) - 1)
        self._table[register.address : register.end] = register.encode(min(max(value, low), high))

    @property
    def identifier(self) -> int:
        return self.get("id")

    @property
    def torque_on(self) -> bool:
        return bool(self.get("torque_enable"))

    @property
    def error_bits(self) -> int:
        """Register hardware_error_status."""
        return self.get("hardware_error_status")

    @property
    def alert(self) -> int:
        """The alert bit of every status, set while a hardware error is there."""
        return ALERT if self.error_bits else 0

    def read(self, address: int, length: int) -> tuple[int, bytes]:
        """Error and data of a read."""
        if length == 0:
            return Error.DATA_LENGTH, b""
        if address + length > TABLE_SIZE:
            return Error.ACCESS, b""
        data = bytearray(self._table[address : address + length])
        for i in range(length):
            target = self._indirect(address + i)
            if target is not None:
                data[i] = self._table[target]
        return Error.NONE, bytes(data)

    def write(self, address: int, data: bytes, now_s: float, dry: bool = False) -> int:
        """Error of a write; nothing is changed when it is not NONE, or when `dry`."""
        if not data:
            return Error.DATA_LENGTH
        changes, position = [], 0
        while position < len(data):
            place = address + position
            target = self._indirect(place)
            place = place if target is None else target
            register = self._by_address.get(place)
            if register is None or not register.writable:
                return Error.ACCESS
            width = 1 if target is not None else register.size
            piece = data[position : position + width]
            if target is not None and register.size > 1:  # bytes of a wide register through as many indirect ones
                piece = self._gathered(address + position, register, data[position:])
                width = register.size
            if len(piece) < register.size:
                return Error.DATA_LENGTH
            error = self._refusal(register, register.decode(piece))
            if error:
                return error
            changes.append((register, register.decode(piece)))
            position += width
        if not dry:
            for register, value in changes:
                self._apply(register, value, now_s)
        return Error.NONE

    def _gathered(self, address: int, register: Register, data: bytes) -> bytes:
        """As many of the bytes as go, one after the other, through indirect registers to this one."""
        count = 0
        while count < register.size and self._indirect(address + count) == register.address + count:
            count += 1
        return data[:count]

    def _indirect(self, address: int) -> int | None:
        """Where an indirect data register leads, None for any other register."""
        register = self._by_address.get(address)
        if register is None or not register.name.startswith("indirect_data_"):
            return None
        target = self.get("indirect_address_" + register.name.rsplit("_", 1)[1])
        other = self._by_address.get(target)
        if target == address or (other is not None and other.name.startswith("indirect_data_")):
            return None
        return target

    def _refusal(self, register: Register, value: int) -> int:
        if register.eeprom and self.torque_on:
            return Error.ACCESS
        if register.name in _GOALS and self.get_watchdog() == _TRIPPED:
            return Error.DATA_RANGE
        low, high = register.minimum, register.maximum
        if register.name == "goal_position" and self.get("operating_mode") == POSITION_CONTROL:
            low, high = self.get("min_position_limit"), self.get("max_position_limit")
        elif register.name == "goal_current":
            high = self.get("current_limit")
            low = -high
        elif register.name == "goal_velocity":
            high = self.get("velocity_limit")
            low = -high
        elif register.name == "goal_pwm":
            high = self.get("pwm_limit")
            low = -high
        if (low is not None and value < low) or (high is not None and value > high):
            return Error.DATA_LIMIT
        if register.name == "torque_enable" and value and self.error_bits & self.get("shutdown"):
            return Error.RESULT_FAIL
        return Error.NONE

    def _apply(self, register: Register, value: int, now_s: float) -> None:
        was_on = self.torque_on
        self._store(register, value)
        if register.name == "torque_enable":
            if value and not was_on:
                self.set("goal_position", self.get("present_position"))
                self._trajectory_rad = None
            if not value:
                self.torque_off_s = now_s
            self.revision += 1
        elif register.name == "goal_position":
            self.revision += 1
            if self.get("profile_velocity") or self.get("profile_acceleration"):
                if self._trajectory_rad is None:
                    self._trajectory_rad = self.get("present_position") * RAD_PER_TICK
                    self._trajectory_rad_s = 0.0
            else:
                self._trajectory_rad = None
        elif register.name in ("position_p_gain", "current_limit", "goal_current"):
            self.revision += 1
        elif register.name == "operating_mode":
            self.set("goal_position", self.get("present_position"))

    def register_write(self, address: int, data: bytes, now_s: float) -> int:
        """Keep a write until :meth:`action`."""
        error = self.write(address, data, now_s, dry=True)
        if not error:
            self._registered = (address, data)
            self.set("registered_instruction", 1)
        return error

    def action(self, now_s: float) -> int:
        """Carry out what was registered."""
        if self._registered is None:
            return Error.RESULT_FAIL
        address, data = self._registered
        self._registered = None
        self.set("registered_instruction", 0)
        return self.write(address, data, now_s)

    def reboot(self) -> None:
        """RAM as after switching on; torque off, hardware errors gone unless their reason is still there."""
        for register in self.model.registers.values():
            if not register.eeprom and not register.name.startswith("present_"):
                self._store(register, register.default)
        self.set("goal_current", self.get("current_limit")) if "goal_current" in self.model.registers else None
        self.set("goal_position", self.get("present_position"))
        self._trajectory_rad, self._registered, self._at_limit_s = None, None, 0.0
        self.revision += 1

    def factory_reset(self, keep: set[str]) -> None:
        """Every register as it left the factory, but those named."""
        kept = {name: self.get(name) for name in keep}
        position = self.get("present_position")
        self.power_on_defaults()
        for name, value in kept.items():
            self.set(name, value)
        self.set("present_position", position)
        self.revision += 1

    # motion and health

    def get_watchdog(self) -> int:
        """Register bus_watchdog: 0 off, -1 tripped, else its time in units of 20 ms."""
        return self.get("bus_watchdog")

    def watch(self, now_s: float) -> None:
        """Trip the bus watchdog when no instruction came for its time while torque is on."""
        ticks = self.get_watchdog()
        if ticks > 0 and self.torque_on and now_s - self.last_instruction_s > ticks * WATCHDOG_UNIT_S:
            self.set("bus_watchdog", _TRIPPED)
            self.set("goal_position", self.get("present_position"))
            self._trajectory_rad = None
            self.revision += 1

    @property
    def follows_profile(self) -> bool:
        """Whether its goal moves along a profile now."""
        return self._trajectory_rad is not None and self.torque_on

    def goal_rad(self, step_s: float) -> float:
        """Where the motor should be now, in the servo's own angle; moves the profile on by one step."""
        goal_rad = self.get("goal_position") * RAD_PER_TICK
        if self._trajectory_rad is None:
            return goal_rad
        limit = self.get("profile_velocity") * VELOCITY_UNIT_RAD_S or math.inf
        acceleration = self.get("profile_acceleration") * ACCELERATION_UNIT_RAD_S2 or math.inf
        distance = goal_rad - self._trajectory_rad
        fastest = min(limit, math.sqrt(2.0 * acceleration * abs(distance)), abs(distance) / step_s)
        wanted = math.copysign(fastest, distance)
        change = acceleration * step_s
        self._trajectory_rad_s += min(max(wanted - self._trajectory_rad_s, -change), change)
        self._trajectory_rad += self._trajectory_rad_s * step_s
        if abs(goal_rad - self._trajectory_rad) < RAD_PER_TICK / 2.0:
            self._trajectory_rad = None
            return goal_rad
        return self._trajectory_rad

    @property
    def current_limit_a(self) -> float:
        """What it may draw [A]; infinite for a model without the register."""
        if "current_limit" not in self.model.registers:
            return math.inf
        return self.get("current_limit") * self.model.current_unit_a

    def observe(self, position_rad: float, velocity_rad_s: float, current_a: float, elapsed_s: float) -> None:
        """Take over what the joint does: the present registers, warmth and overload after `elapsed_s` of it."""
        self._age(abs(current_a), elapsed_s)
        self.set("present_input_voltage", round(self.voltage_v * 10.0))
        self.set("present_temperature", round(self.temperature_c))
        if self.frozen:
            return
        self.set("present_position", round(position_rad / RAD_PER_TICK))
        self.set("present_velocity", round(velocity_rad_s / VELOCITY_UNIT_RAD_S))
        if self.model.current_unit_a:
            self.set("present_current", round(current_a / self.model.current_unit_a))
        self.set("moving", int(abs(velocity_rad_s) > self.get("moving_threshold") * VELOCITY_UNIT_RAD_S))

    def _age(self, current_a: float, elapsed_s: float) -> None:
        share = current_a / self.current_limit_a if math.isfinite(self.current_limit_a) else 0.0
        heat = HEATING_C_PER_S_AT_LIMIT * share * share
        self.temperature_c += elapsed_s * (heat - (self.temperature_c - AMBIENT_C) / COOLING_TIME_S)
        self._at_limit_s = self._at_limit_s + elapsed_s if share > 0.98 else 0.0
        if self._at_limit_s > OVERLOAD_S:
            self.raise_error(5)
        if self.temperature_c > self.get("temperature_limit"):
            self.raise_error(2)
        low, high = self.get("min_voltage_limit") / 10.0, self.get("max_voltage_limit") / 10.0
        if not low <= self.voltage_v <= high:
            self.raise_error(0)

    def raise_error(self, bit: int) -> None:
        """A hardware error: torque goes off if the register shutdown names it."""
        assert bit in HARDWARE_ERRORS, bit
        bits = self.error_bits | (1 << bit)
        self.set("hardware_error_status", bits)
        if bits & self.get("shutdown") and self.torque_on:
            self.set("torque_enable", 0)
            self.revision += 1
