"""One emulated servo as the bus sees it: its control table with the access rules, and the goal that it follows.

The joint that it turns is the plant's; positions here are the servo's own ticks.
"""

from __future__ import annotations

import dataclasses
import math

from robot_bridge.dynamixel.control_table import (
    HARDWARE_ERRORS,
    POSITION_CONTROL,
    TABLE_SIZE,
    TICKS_PER_REVOLUTION,
    Model,
    Register,
)
from robot_bridge.emulator.backup import RESTORE, STORE, Backup
from robot_bridge.emulator.packets import ALERT, Error
from robot_bridge.emulator.profile import Profile
from robot_bridge.emulator.rules import EXTENDED_POSITION, LIMITED_BY, POSITION_MODES, TRIPPED, refusal

RAD_PER_TICK = 2.0 * math.pi / TICKS_PER_REVOLUTION
# What a switch to another operating mode sets back to its default.
_OF_MODE = (
    "position_p_gain",
    "position_i_gain",
    "position_d_gain",
    "feedforward_1st_gain",
    "feedforward_2nd_gain",
    "velocity_i_gain",
    "velocity_p_gain",
    "profile_velocity",
    "profile_acceleration",
)
_TORQUE_ON, _RESTORE_RAM = 0x01, 0x02  # bits of register startup_configuration
# Register realtime_tick starts anew after so many milliseconds.
_TICK_PERIOD = 32_768


@dataclasses.dataclass
class Notice:
    """What changed in the servos since somebody looked; shared by all servos of a bus."""

    motion: bool = True  # a goal or a torque
    settings: bool = True  # a gain or a limit
    address: bool = True  # an id or a baud rate
    single_turn: set[int] = dataclasses.field(default_factory=set)  # places whose position is counted anew
    clock_s: float = 0.0  # what a servo's own clock shows that was never restarted


class Servo:
    """Registers and rules of one servo.

    Args:
        model: which servo it is.
        place: its place among the joints.
        identifier: its id.
        baud_code: register baud_rate.
        notice: told of changes.
    """

    def __init__(self, model: Model, place: int, identifier: int, baud_code: int, notice: Notice) -> None:
        self.model, self.place, self._notice = model, place, notice
        self._table = bytearray(TABLE_SIZE)
        self._layout = {name: (r.address, r.end, r.signed) for name, r in model.registers.items()}
        # Address of an indirect data register -> register that holds where it leads.
        self._pointers = {
            register.address: model.register(name.replace("data", "address"))
            for name, register in model.registers.items()
            if name.startswith("indirect_data_")
        }
        self._first_pointer = min(self._pointers)
        self._know(model.register("firmware_version").default)
        self._backup = Backup(model)
        self.silent = self.frozen = False
        self.deaf_until_s = -math.inf  # it starts after a reboot
        self.last_instruction_s = 0.0
        self._started_s = 0.0  # on the clock of the notice
        self.torque_off_s: float | None = None  # when an instruction last switched torque off
        self.tripped_s: float | None = None  # when the bus watchdog last stopped it
        self.profile: Profile | None = None  # None: at the goal at once
        self._registered: tuple[int, bytes] | None = None
        self._load_defaults(keep=())
        self.set("id", identifier)
        self.set("baud_rate", baud_code)

    def _know(self, firmware: int) -> None:
        """Which registers there are."""
        registers = [register for register in self.model.registers.values() if register.firmware <= firmware]
        self._by_address = {register.address: register for register in registers}
        self._known = {a for register in registers for a in range(register.address, register.end)}

    # registers, from inside

    def get(self, name: str) -> int:
        """Value of a register."""
        start, end, signed = self._layout[name]
        return int.from_bytes(self._table[start:end], "little", signed=signed)

    def set(self, name: str, value: int) -> None:
        """Change a register without any rule; a value too large for its bytes is cut to them."""
        register = self.model.register(name)
        bits = 8 * register.size
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if register.signed else (0, (1 << bits) - 1)
        self._store(register, min(max(value, low), high))
        if name == "firmware_version":
            self._know(value)

    def block(self, address: int, length: int) -> bytes:
        """Registers that lie side by side."""
        return bytes(self._table[address : address + length])

    def store_block(self, address: int, data: bytes) -> None:
        """Registers that lie side by side, without any rule."""
        self._table[address : address + len(data)] = data

    def _store(self, register: Register, value: int) -> None:
        self._table[register.address : register.end] = register.encode(value)

    def _load_defaults(self, keep: tuple[str, ...]) -> None:
        """Every register as it left the factory, but those named and what is measured."""
        for register in self.model.registers.values():
            if register.name not in keep and not register.name.startswith("present_"):
                self._store(register, register.default)
        self._start()

    @property
    def identifier(self) -> int:
        """Its id."""
        return self.get("id")

    @property
    def torque_on(self) -> bool:
        """Register torque_enable."""
        return self._table[64] != 0

    @property
    def drives(self) -> bool:
        """Whether its motor turns the joint: torque on, in a mode that the emulator knows to drive."""
        return self.torque_on and self._table[11] in POSITION_MODES

    @property
    def offset_ticks(self) -> int:
        """Reported minus true position: register homing_offset. In position control only a quarter turn counts."""
        offset = self.get("homing_offset")
        ignored = self._table[11] == POSITION_CONTROL and abs(offset) > TICKS_PER_REVOLUTION // 4
        return 0 if ignored else offset

    @property
    def watchdog(self) -> int:
        """Register bus_watchdog: 0 off, TRIPPED, else its time in units of 20 ms."""
        value = self._table[98]
        return TRIPPED if value == 0xFF else value

    def show_time(self) -> None:
        """Bring register realtime_tick up to date: milliseconds since it started."""
        tick = int(1e3 * (self._notice.clock_s - self._started_s)) % _TICK_PERIOD
        self._table[120:122] = tick.to_bytes(2, "little")

    @property
    def alert(self) -> int:
        """The alert bit of every status, set while a hardware error is there."""
        return ALERT if self._table[70] else 0

    # registers, from the bus

    def read(self, address: int, length: int) -> tuple[int, bytes]:
        """Error and data of a read. Gaps between registers read as 0."""
        if length == 0:
            return Error.DATA_LENGTH, b""
        end = address + length
        if end <= self._first_pointer:
            if address not in self._known and self._known.isdisjoint(range(address, end)):
                return Error.ACCESS, b""
            return Error.NONE, bytes(self._table[address:end])
        if end > TABLE_SIZE or self._known.isdisjoint(range(address, end)):
            return Error.ACCESS, b""
        return Error.NONE, bytes(self._table[self._led_to(place)] for place in range(address, end))

    def write(self, address: int, data: bytes, now_s: float, dry: bool = False) -> int:
        """Error of a write; nothing is changed when it is not NONE, or when `dry`."""
        if not data:
            return Error.DATA_LENGTH
        places = [self._led_to(address + i) for i in range(len(data))]
        changes, start = [], 0
        while start < len(data):
            register = self._by_address.get(places[start])
            if register is None or not register.writable:
                return Error.ACCESS
            end = start + register.size
            if places[start:end] != list(range(register.address, register.end)):
                return Error.DATA_LENGTH
            value = register.decode(data[start:end])
            error = refusal(self.model, self.get, register, value)
            if error:
                return error
            changes.append((register, value))
            start = end
        if not dry:
            for register, value in changes:
                self._apply(register, value, now_s)
        return Error.NONE

    def _led_to(self, address: int) -> int:
        """Where an address leads: an indirect one to another register, any other to itself."""
        pointer = self._pointers.get(address)
        if pointer is None:
            return address
        target = pointer.decode(self._table[pointer.address : pointer.end])
        return address if target in self._pointers else target

    def _apply(self, register: Register, value: int, now_s: float) -> None:
        name, was_on = register.name, self.torque_on
        switched = name == "operating_mode" and value != self.get(name)
        self._store(register, value)
        if name == "torque_enable":
            self._notice.motion = True
            # The goal stays what it was, so that a driver that forgets it is found out; the e-manual is silent.
            if value and not was_on and self.get("operating_mode") == POSITION_CONTROL:
                self.clear_turns()
            if not value:
                self.profile = None
                self.torque_off_s = now_s if was_on else self.torque_off_s  # said again, it is not switched again
        elif name == "goal_position":
            self._notice.motion = True
            self._plan()
        elif switched:
            self._switch_mode()
        elif name in ("id", "baud_rate"):
            self._notice.address = True
        elif register.eeprom or name in ("position_p_gain", "goal_current", "goal_pwm"):
            self._notice.settings = self._notice.motion = True

    def _switch_mode(self) -> None:
        """Gains, profile and goals as after switching on (e-manual)."""
        for name in _OF_MODE:
            self.set(name, self.model.register(name).default)
        self._set_goals()
        if self.get("operating_mode") in (POSITION_CONTROL, EXTENDED_POSITION):
            self.clear_turns()

    def clear_turns(self) -> None:
        """Position is counted from 0 to 4095 again."""
        self._notice.single_turn.add(self.place)

    def _set_goals(self) -> None:
        """Goals that limit to their limits, the position to where it is."""
        for goal, limit in LIMITED_BY.items():
            if goal in self.model.registers:
                self.set(goal, self.get(limit))
        self.stay()
        self.profile = None
        self._notice.motion = self._notice.settings = True

    def stay(self) -> None:
        """The goal is where it stands."""
        self.set("goal_position", self.get("present_position"))

    def _plan(self) -> None:
        """Follow a profile to the new goal, if one is set."""
        velocity, acceleration = self.get("profile_velocity"), self.get("profile_acceleration")
        if not velocity and not acceleration:
            self.profile = None
            return
        at_rad, at_rad_s = self.get("present_position") * RAD_PER_TICK, 0.0
        if self.profile is not None:
            at_rad, at_rad_s = self.profile.position_rad, self.profile.velocity_rad_s
        self.profile = Profile(at_rad, at_rad_s, self.get("goal_position") * RAD_PER_TICK, velocity, acceleration)

    # other instructions

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
            return Error.INSTRUCTION
        address, data = self._registered
        self._registered = None
        self.set("registered_instruction", 0)
        return self.write(address, data, now_s)

    def clear(self) -> int:
        """Instruction Clear: turns are forgotten, if the joint stands."""
        if self.get("moving"):
            return Error.RESULT_FAIL
        self.clear_turns()
        return Error.NONE

    def back_up(self, order: bytes) -> int:
        """Instruction Control Table Backup. After `RESTORE` the servo reboots."""
        if self.get("firmware_version") < self.model.register("backup_ready").firmware:
            return Error.INSTRUCTION
        if order not in (STORE, RESTORE):
            return Error.DATA_RANGE
        if self.torque_on or (order == RESTORE and not self._backup.ready):
            return Error.RESULT_FAIL
        if order == STORE:
            self._backup.store(self.get)
            self.set("backup_ready", 1)
        else:
            for name, value in self._backup.eeprom.items():
                self.set(name, value)
        return Error.NONE

    def reboot(self) -> None:
        """RAM as after switching on: torque off, no goals, hardware errors gone (they come back with their reason)."""
        self._load_defaults(keep=tuple(name for name, register in self.model.registers.items() if register.eeprom))
        self._started_s = self._notice.clock_s

    def factory_reset(self, keep: tuple[str, ...]) -> None:
        """Every register as it left the factory, but those named."""
        self._load_defaults(keep)

    def _start(self) -> None:
        """What follows from the registers after switching on."""
        self.set("backup_ready", self._backup.ready)
        startup = self.get("startup_configuration")
        if startup & _RESTORE_RAM and self._backup.ready:
            for name, value in self._backup.ram.items():
                self.set(name, value)
        self._set_goals()
        turns = (self.get("goal_position") - self.offset_ticks) // TICKS_PER_REVOLUTION
        self.set("goal_position", self.get("goal_position") - turns * TICKS_PER_REVOLUTION)
        self.set("torque_enable", startup & _TORQUE_ON)
        self._registered = None
        self._notice.address = True
        self.clear_turns()

    # what happens by itself

    def stop_by_watchdog(self, now_s: float) -> None:
        """No instruction came for too long: stand still, forget the profile, and take no goals until register
        bus_watchdog is set to 0."""
        self.set("bus_watchdog", TRIPPED)
        self.set("profile_velocity", 0)
        self.set("profile_acceleration", 0)
        self.stay()
        self.profile, self.tripped_s = None, now_s
        self._notice.motion = True

    def raise_error(self, bit: int) -> None:
        """A hardware error: torque goes off if the register shutdown names it.

        Raises:
            ValueError: no such error.
        """
        if bit not in HARDWARE_ERRORS:
            raise ValueError(f"no hardware error has bit {bit}; there are {sorted(HARDWARE_ERRORS)}")
        bits = self.get("hardware_error_status") | 1 << bit
        self.set("hardware_error_status", bits)
        if bits & self.get("shutdown") and self.torque_on:
            self.set("torque_enable", 0)
            self._notice.motion = True
