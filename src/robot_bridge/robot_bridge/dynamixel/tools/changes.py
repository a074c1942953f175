"""Changes to single servos: a new id, a new baud rate, a restart. Each looks before and after."""

from __future__ import annotations

import contextlib

from robot_bridge.backend import BackendError, ReadError
from robot_bridge.dynamixel.bus import DynamixelBus, Ping
from robot_bridge.dynamixel.connection import Servo, set_register, unsafe_guards
from robot_bridge.dynamixel.control_table import BAUD_RATES
from robot_bridge.dynamixel.models import model_by_number
from robot_bridge.dynamixel.tools.findings import Commands, RefusedError
from robot_bridge.dynamixel.tools.states import ServoState, Unreadable, look_at
from robot_bridge.dynamixel.tools.survey import RATES

_LAST_ID = 252
# A servo is deaf while it starts; each look waits for the bus' reply time, several times over.
_LOOKS_AFTER_REBOOT = 20


def set_id(bus: DynamixelBus, old: int, new: int, commands: Commands) -> ServoState:
    """Give a servo another id, and find it there.

    Raises:
        RefusedError: nobody, or more than one, has the old id; somebody has the new one; torque is on.
        BackendError: the servo did not take it, or does not answer any more.
    """
    if not 0 <= new <= _LAST_ID:
        raise RefusedError(f"a servo cannot have id {new}: 0 to {_LAST_ID}")
    if new == old:
        raise RefusedError(f"{new} is the id that it has")
    state = _only_servo(bus, old, commands)
    if look_at(bus, new) is not None:
        raise RefusedError(f"another servo already has id {new}: two with one id could not be told apart any more")
    _write_answered_or_not(bus, state, "id", new)
    found = look_at(bus, new)
    if not isinstance(found, ServoState) or found.ping.model_number != state.ping.model_number:
        raise _vanished(f"servo {old} after it was told to be {new}", look_at(bus, old), commands)
    if look_at(bus, old) is not None:
        raise BackendError(f"there are now servos {old} and {new}: two servos had id {old}. Connect one alone")
    return found


def baud_code(identifier: int, ping: Ping, rate: int) -> int:
    """Register baud_rate for a rate.

    Raises:
        RefusedError: no such rate, or the servo or dynamixel-sdk do not know it.
    """
    model = model_by_number(ping.model_number)
    codes = {value: code for code, value in BAUD_RATES.items()}
    if rate not in RATES:
        raise RefusedError(f"{rate} baud is not possible; choose one of {', '.join(map(str, sorted(RATES)))}")
    if model is None:
        raise RefusedError(f"servo {identifier} has model number {ping.model_number}, which rosac does not know")
    highest = model.register("baud_rate").maximum
    if highest is not None and codes[rate] > highest:
        raise RefusedError(f"servo {identifier} ({model.name}) ends at {BAUD_RATES[highest]} baud")
    return codes[rate]


def set_baud_rate(bus: DynamixelBus, identifier: int, rate: int, commands: Commands) -> ServoState:
    """Give a servo another baud rate, and find it there. The bus stays at its own.

    Raises:
        RefusedError: nobody, or more than one, has the id; somebody has it at the new rate; torque is on; no such rate.
        BackendError: the servo did not take it, or does not answer any more.
    """
    home = bus.baud_rate
    if rate == home:
        raise RefusedError(f"{rate} baud is the rate that it has")
    state = _only_servo(bus, identifier, commands)
    code = baud_code(identifier, state.ping, rate)
    try:
        bus.set_baud_rate(rate)
        if look_at(bus, identifier) is not None:
            raise RefusedError(f"another servo already has id {identifier} at {rate} baud: give this one another id")
        bus.set_baud_rate(home)
        _write_answered_or_not(bus, state, "baud_rate", code)
        bus.set_baud_rate(rate)
        found = look_at(bus, identifier)
    finally:
        bus.set_baud_rate(home)
    if not isinstance(found, ServoState):
        who = f"servo {identifier} after it was told to talk at {rate} baud"
        raise _vanished(who, look_at(bus, identifier), commands)
    return found


def reboot(bus: DynamixelBus, identifier: int) -> ServoState:
    """Restart a servo, whose torque goes off, and wait until it is back.

    Raises:
        BackendError: it does not come back.
    """
    # Its answer may be lost, or it has been told not to give any; whether it is back is all that counts.
    with contextlib.suppress(ReadError):
        bus.reboot(identifier)
    found: ServoState | Unreadable | None = None
    for _ in range(_LOOKS_AFTER_REBOOT):
        found = look_at(bus, identifier)
        if isinstance(found, ServoState):
            return found
    reason = f": {found.reason}" if found else ""
    raise BackendError(f"servo {identifier} has not come back after its restart{reason}: switch its power off and on")


def restore_guards(bus: DynamixelBus, servo: Servo, state: ServoState) -> None:
    """Registers that must not be less safe than they left the factory, as they were there. Torque must be off.

    Raises:
        BackendError: the servo does not take one.
    """
    for name, default in unsafe_guards(servo.model, state.registers).items():
        set_register(bus, servo, name, default)


def _only_servo(bus: DynamixelBus, identifier: int, commands: Commands) -> ServoState:
    """The one servo with this id, torque off: only then can its EEPROM be written."""
    state = look_at(bus, identifier)
    if state is None:
        raise RefusedError(
            f"no servo answers to id {identifier} at {bus.baud_rate} baud; find it with "
            f"{commands('scan', '--all-baud-rates')}"
        )
    if isinstance(state, Unreadable):
        why = "two servos have that id: connect one alone" if state.twins else state.reason
        raise RefusedError(f"servo {identifier} cannot be read: {why}")
    if state.registers.get("torque_enable"):
        raise RefusedError(
            f"torque of servo {identifier} is on, which locks such settings: "
            f"{commands('reboot', f'--id {identifier}')} lets its joint go"
        )
    return state


def _write_answered_or_not(bus: DynamixelBus, state: ServoState, name: str, value: int) -> None:
    """Write a register that changes how the servo answers: whether an answer comes is not said anywhere."""
    if state.model is None:
        raise RefusedError(f"servo {state.identifier} has {state.model_name}, which rosac does not know")
    with contextlib.suppress(ReadError):  # counted by the bus; the caller looks whether it was heard
        bus.write(state.identifier, state.model.register(name), value)


def _vanished(who: str, old: ServoState | Unreadable | None, commands: Commands) -> BackendError:
    if isinstance(old, ServoState):
        return BackendError(f"{who}: it has not changed; try again")
    return BackendError(f"{who}: it does not answer; look for it with {commands('scan', '--all-baud-rates')}")
