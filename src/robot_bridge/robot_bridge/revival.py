"""A simulated robot that an error of its own has stopped is set up again without a person: it can hurt nobody."""

from __future__ import annotations

from robot_bridge.causes import Cause
from robot_bridge.gate import SafetyGate
from robot_bridge.gate_types import GateState

# The bridge reports once a second: by then everybody has heard of the stop, and the task has ended its episode.
PAUSE_S = 2.0


class Revival:
    """Says when it is time to do what a person would do with `safety/reset` and `safety/arm`."""

    def __init__(self, gate: SafetyGate) -> None:
        self._gate = gate
        self._since_s: float | None = None  # of the stop, or of the last try

    def due(self, now_s: float) -> bool:
        """Whether the robot stands still for long enough because of its motors alone. True once in PAUSE_S."""
        if self._gate.state is not GateState.STOPPED:
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s < PAUSE_S:
            return False
        self._since_s = now_s
        return {report.cause for report in self._gate.report().causes} == {Cause.HARDWARE_ERROR}
