"""Faults on command: what goes wrong on a bus, drawn with a seed and counted."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robot_bridge.dynamixel.control_table import HARDWARE_ERRORS

# Fault -> the values that it takes, with their types. A rate is the share of packets, both ways.
FAULTS: Mapping[str, Mapping[str, type]] = {
    "lost": {"rate": float},
    "corrupt": {"rate": float},
    "duplicated": {"rate": float},
    "late": {"rate": float, "delay_s": float},
    "lost_writes": {"rate": float},
    "silent": {"id": int},
    "reboot": {"id": int},
    "hardware_error": {"id": int, "bit": int},
    "stale_encoder": {"id": int},
    "voltage": {"id": int, "volts": float},
    "temperature": {"id": int, "celsius": float},
    "unplug": {},
    "replug": {},
    "clear": {},  # none of the others any more
}
_RATES = ("lost", "corrupt", "duplicated", "late")


class FaultError(ValueError):
    """An unknown fault, values that it does not take, or a servo that is not there."""


def checked_fault(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a fault in their types.

    Raises:
        FaultError: unknown fault, missing or unknown values, no number, a rate outside 0 .. 1, a negative delay, a bit
            that no hardware error has.
    """
    if kind not in FAULTS:
        raise FaultError(f"unknown fault '{kind}'; known: {', '.join(FAULTS)}")
    wanted = FAULTS[kind]
    if set(values) != set(wanted):
        raise FaultError(f"fault '{kind}' takes {sorted(wanted) or 'no values'}, got {sorted(values)}")
    try:
        result = {name: checked_number(name, value, wanted[name]) for name, value in values.items()}
        _check_range("rate", result.get("rate", 0.0), 1.0)
        _check_range("delay_s", result.get("delay_s", 0.0), math.inf)
        if result.get("bit", 0) not in HARDWARE_ERRORS:
            raise FaultError(f"bit is {result['bit']}, it must be one of {', '.join(map(str, HARDWARE_ERRORS))}")
    except FaultError as error:
        raise FaultError(f"fault '{kind}': {error}") from error
    return result


def checked_number(name: str, value: Any, kind: type = float) -> Any:
    """A value of a fault, a number or a text that is one, in its type.

    Raises:
        FaultError: it is none, or not finite, or not whole where that is wanted.
    """
    try:
        number = kind(value)
        if math.isfinite(number) and number == float(value):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise FaultError(f"{name} is {value!r}, it must be {'a whole' if kind is int else 'a finite'} number")


def _check_range(name: str, value: float, highest: float) -> None:
    if not 0.0 <= value <= highest:
        limit = "0 or more" if math.isinf(highest) else f"in 0 .. {highest:g}"
        raise FaultError(f"{name} is {value:g}, it must be {limit}")


def check_id(identifier: int, ids: Sequence[int]) -> None:
    """Refuse a servo that is not there.

    Raises:
        FaultError: it is not among these.
    """
    if identifier not in ids:
        raise FaultError(f"no servo has id {identifier}; there are {list(ids)}")


def parse_fault(text: str) -> tuple[str, dict[str, Any]]:
    """A fault as people type it, such as "silent id=20" or "late rate=0.1 delay_s=0.05".

    Raises:
        FaultError: as `checked_fault`, or a value without a name.
    """
    kind, *words = text.split()
    pairs = [word.partition("=") for word in words]
    nameless = [word for word, (_, sign, _) in zip(words, pairs, strict=True) if not sign]
    if nameless:
        raise FaultError(f"'{nameless[0]}' has no name: write name=value, such as 'silent id=20'")
    return kind, checked_fault(kind, {name: value for name, _, value in pairs})


@dataclasses.dataclass
class Line:
    """The wire between robot and servos: what happens to a packet on it.

    `rates` holds the share of packets that each fault of a packet befalls, `counts` how often it did, `unseen` how many
    of these were instructions that nobody answers, so that the host cannot know.
    """

    rng: np.random.Generator
    rates: dict[str, float] = dataclasses.field(default_factory=dict)
    delay_s: float = 0.0
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    unseen: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def set(self, kind: str, values: Mapping[str, Any]) -> None:
        """Give a fault of packets its rate."""
        self.rates[kind] = values["rate"]
        self.delay_s = values.get("delay_s", self.delay_s)

    def clear(self) -> None:
        """No more faults of packets; the counts stay."""
        self.rates.clear()

    def instruction(self, answered: bool) -> str:
        """What befalls the next instruction on its way to the servos: "", "lost" or "corrupt"."""
        for kind in ("lost", "corrupt") if answered else ("lost", "corrupt", "lost_writes"):
            if self.rates and self.rng.random() < self.rates.get(kind, 0.0):
                self.counts[kind] += 1
                self.unseen[kind] += not answered
                return "corrupt" if kind == "corrupt" else "lost"
        return ""

    def status(self, packet: bytes) -> tuple[list[bytes], float]:
        """What arrives of a servo's packet, and how much later than it should [s]."""
        if not self.rates:
            return [packet], 0.0
        befalls = {kind: self.rng.random() < self.rates.get(kind, 0.0) for kind in _RATES}
        for kind, happens in befalls.items():
            self.counts[kind] += happens
            if happens and kind == "lost":
                return [], 0.0
        if befalls["corrupt"]:
            place = int(self.rng.integers(len(packet)))
            flipped = packet[place] ^ (1 << int(self.rng.integers(8)))
            packet = packet[:place] + bytes([flipped]) + packet[place + 1 :]
        return [packet] * (1 + befalls["duplicated"]), self.delay_s if befalls["late"] else 0.0
