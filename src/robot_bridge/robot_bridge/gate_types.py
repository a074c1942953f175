"""What goes into the safety gate and what comes out of it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from robot_bridge.backend import Flags, Vector
from robot_bridge.causes import Cause


class GateState(enum.IntEnum):
    """SafetyState.DISARMED and so on."""

    DISARMED = 0
    ARMED = 1
    HOLD = 2
    STOPPED = 3


class Verdict(enum.Enum):
    """What became of a command."""

    ACCEPTED = "accepted"  # executed as it is
    LIMITED = "limited"  # executed after clamping
    REFUSED = "refused"  # the goals before it stay


class Command(NamedTuple):
    """A joint command as it came in."""

    names: Sequence[str]
    position_rad: Sequence[float]
    effort: Sequence[float] = ()  # empty, or per joint 1.0 (torque on) or 0.0 (torque off)
    age_s: float = 0.0  # of the state that it answers


class GateResult(NamedTuple):
    """What goes to the motors: one value per joint, the robot's joints first, then the auxiliary ones."""

    verdict: Verdict
    goals_rad: Vector
    torque_on: Flags
    detail: str  # what was limited or refused and why; empty when accepted


class CauseReport(NamedTuple):
    """One cause of hold or stop."""

    cause: Cause
    active: bool
    detail: str


class GateReport(NamedTuple):
    """What SafetyState.msg holds."""

    state: GateState
    causes: tuple[CauseReport, ...]
    accepted: int
    limited: int
    refused: int
