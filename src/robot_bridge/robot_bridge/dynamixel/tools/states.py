"""One servo as its registers describe it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from robot_bridge.backend import ReadError
from robot_bridge.dynamixel.bus import DynamixelBus, Ping, ServoError
from robot_bridge.dynamixel.control_table import VOLTAGE_UNIT_V, Model, Register
from robot_bridge.dynamixel.models import model_by_number

T = TypeVar("T")

MODES: Mapping[int, str] = {
    0: "current",
    1: "velocity",
    3: "position",
    4: "extended position",
    5: "current-based position",
    16: "PWM",
}
# What the tools read of every servo; a model without one of them has none.
_NAMES = (
    "id", "baud_rate", "return_delay_time", "drive_mode", "operating_mode", "secondary_id", "protocol_type",
    "homing_offset", "temperature_limit", "max_voltage_limit", "min_voltage_limit", "pwm_limit", "current_limit",
    "velocity_limit", "max_position_limit", "min_position_limit", "startup_configuration", "shutdown", "torque_enable",
    "status_return_level", "hardware_error_status", "position_d_gain", "position_i_gain", "position_p_gain",
    "bus_watchdog", "goal_pwm", "profile_acceleration", "profile_velocity", "realtime_tick", "moving", "moving_status",
    "present_pwm", "present_current", "present_load", "present_velocity", "present_position", "velocity_trajectory",
    "position_trajectory", "present_input_voltage", "present_temperature",
)  # fmt: skip
# Two servos with one id are silent together, or garble each other; so often, no chance is left that it was noise.
_LOOKS = 4


@dataclasses.dataclass(frozen=True)
class ServoState:
    """What one servo says of itself; `registers` is empty where its model is not in the control table."""

    identifier: int
    ping: Ping
    registers: Mapping[str, int]

    @property
    def model(self) -> Model | None:
        """Which servo it is; None: a model that rosac does not know."""
        return model_by_number(self.ping.model_number)

    @property
    def model_name(self) -> str:
        """For people."""
        return self.model.name if self.model else f"model number {self.ping.model_number}"

    @property
    def voltage_v(self) -> float:
        """Of its supply [V]."""
        return VOLTAGE_UNIT_V * self.registers["present_input_voltage"]

    @property
    def temperature_c(self) -> int:
        """Inside it [C]."""
        return self.registers["present_temperature"]

    @property
    def mode_name(self) -> str:
        """Its operating mode, for people."""
        mode = self.registers["operating_mode"]
        return MODES.get(mode, f"unknown mode {mode}")


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A servo that is there but cannot be read."""

    identifier: int
    damaged: int  # answers that could not be read
    twins: bool  # so were all: two servos have this id. Of one kind, they answer a ping alike, but measure unlike
    reason: str


def identify(bus: DynamixelBus, identifier: int) -> Ping | Unreadable | None:
    """Ask who has an id. None: nobody answers."""
    found = _ask(bus, identifier, lambda: bus.ping(identifier))
    silent = isinstance(found, Unreadable) and not found.damaged
    return None if silent else found


def read_state(bus: DynamixelBus, identifier: int, ping: Ping) -> ServoState | Unreadable:
    """All that the tools want to know of a servo that answered a ping.

    Raises:
        ConnectionLostError: the port is gone.
    """
    model = model_by_number(ping.model_number)
    if model is None:
        return ServoState(identifier, ping, {})
    values: dict[str, int] = {}
    known = [model.registers[name] for name in _NAMES if name in model.registers]
    for run in _runs([register for register in known if register.firmware <= ping.firmware]):
        start, end = run[0].address, run[-1].end
        what = run[0].name if len(run) == 1 else f"{run[0].name} to {run[-1].name}"
        data = _ask(bus, identifier, lambda s=start, e=end, w=what: bus.read_bytes(identifier, s, e - s, w))
        if isinstance(data, Unreadable):
            return data
        values |= {r.name: r.decode(data[r.address - start : r.end - start]) for r in run}
    return ServoState(identifier, ping, values)


def look_at(bus: DynamixelBus, identifier: int) -> ServoState | Unreadable | None:
    """Who has an id, and how it is. None: nobody answers."""
    found = identify(bus, identifier)
    return read_state(bus, identifier, found) if isinstance(found, Ping) else found


def _ask(bus: DynamixelBus, identifier: int, action: Callable[[], T]) -> T | Unreadable:
    """Try an instruction a few times: single packets are lost or damaged."""
    damaged, reason = 0, ""
    for _ in range(_LOOKS):
        before = bus.failures["damaged_answer"]
        try:
            return action()
        except (ReadError, ServoError) as error:
            damaged += bus.failures["damaged_answer"] - before
            reason = str(error)
    return Unreadable(identifier, damaged, damaged == _LOOKS, reason)


def _runs(registers: Sequence[Register]) -> Iterator[list[Register]]:
    """Registers that lie side by side: a read over a gap may be refused."""
    run: list[Register] = []
    for register in sorted(registers, key=lambda register: register.address):
        if run and register.address != run[-1].end:
            yield run
            run = []
        run.append(register)
    if run:
        yield run
