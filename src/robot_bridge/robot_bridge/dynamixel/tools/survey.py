"""A look at the whole bus: which of the robot's servos are there, and where those are that are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import dynamixel_sdk as sdk

from robot_bridge.dynamixel.bus import DynamixelBus
from robot_bridge.dynamixel.control_table import BAUD_RATES
from robot_bridge.dynamixel.serial_port import SerialPort
from robot_bridge.dynamixel.tools.states import ServoState, Unreadable, look_at, read_state

# dynamixel-sdk for Python sets these; new servos have the first.
RATES = (57_600, *(rate for rate in BAUD_RATES.values() if rate not in (57_600, 4_500_000)))
_NEW_ID = 1  # of a servo as it left the factory


@dataclasses.dataclass(frozen=True)
class Survey:
    """What was found. Lost servos: id -> baud rate that it answers at, or 0: it speaks Protocol 1.0."""

    baud_rate: int
    states: Mapping[int, ServoState]
    unreadable: Mapping[int, Unreadable] = dataclasses.field(default_factory=dict)
    elsewhere: Mapping[int, int] = dataclasses.field(default_factory=dict)
    protocol_1: Sequence[int] = ()
    new: bool = False  # a servo as it left the factory hangs on the bus too


def find_all(bus: DynamixelBus, rates: Iterable[int]) -> list[tuple[int, ServoState | Unreadable]]:
    """Every servo at these baud rates, with its rate [bit/s]. Takes a second or more for each rate.

    Raises:
        BackendError: the port is gone.
    """
    found: list[tuple[int, ServoState | Unreadable]] = []
    for rate in rates:
        bus.set_baud_rate(rate)
        found += [(rate, read_state(bus, identifier, ping)) for identifier, ping in bus.scan().items()]
    return found


def survey(bus: DynamixelBus, identifiers: Sequence[int], reply_timeout_s: float) -> Survey:
    """Look at the robot's servos, and at strangers among them; search for those that are missing.

    Args:
        bus: open, at the robot's baud rate, which it has again afterwards.
        identifiers: that should be there.
        reply_timeout_s: of the bus [s].

    Raises:
        BackendError: the port is gone.
    """
    rate = bus.baud_rate
    states: dict[int, ServoState] = {}
    unreadable: dict[int, Unreadable] = {}
    for identifier in sorted({*identifiers, *bus.scan()}):
        found = look_at(bus, identifier)
        if isinstance(found, ServoState):
            states[identifier] = found
        elif found is not None:
            unreadable[identifier] = found
    missing = [identifier for identifier in identifiers if identifier not in states | unreadable]
    if not missing:
        return Survey(rate, states, unreadable)
    elsewhere, new = _search(bus, missing)
    left = [identifier for identifier in missing if identifier not in elsewhere]
    return Survey(rate, states, unreadable, elsewhere, _old_protocol(bus, left, reply_timeout_s), new)


def _search(bus: DynamixelBus, missing: Sequence[int]) -> tuple[dict[int, int], bool]:
    """Missing servos at other baud rates, and whether there is one as it left the factory."""
    home = bus.baud_rate
    elsewhere: dict[int, int] = {}
    new = False
    try:
        for rate in (rate for rate in RATES if rate != home):
            bus.set_baud_rate(rate)
            found = bus.scan()
            elsewhere |= {identifier: rate for identifier in missing if identifier in found}
            new = new or (rate == RATES[0] and _NEW_ID in found and _NEW_ID not in missing)
    finally:
        bus.set_baud_rate(home)
    return elsewhere, new


def _old_protocol(bus: DynamixelBus, identifiers: Sequence[int], reply_timeout_s: float) -> list[int]:
    """Those that answer a ping of Protocol 1.0, at the bus' baud rate. The bus is closed meanwhile."""
    if not identifiers:
        return []
    bus.close()
    port = SerialPort(bus.path, bus.baud_rate, reply_timeout_s)
    handler = sdk.PacketHandler(1.0)
    try:
        port.openPort()
        return [i for i in identifiers if handler.ping(port, i)[1] == sdk.COMM_SUCCESS]
    finally:
        port.closePort()
        bus.open()
