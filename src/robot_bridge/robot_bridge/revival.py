"""A simulated robot that has stopped by itself is set up again without a person: it can hurt nobody."""

from __future__ import annotations

from robot_bridge.causes import Cause
from robot_bridge.gate import SafetyGate
from robot_bridge.gate_types import GateState

# The bridge reports once a second: by then everybody has heard of the stop, and the task has ended its episode.
PAUSE_S = 2.0
# Whoever stopped the robot on purpose, or must beat, decides when it goes on; an error of the program is to be mended.
_NOT_THE_ROBOT = {
    Cause.OPERATOR_STOP,
    Cause.HEARTBEAT_LOST,
    Cause.DEAD_MAN_RELEASED,
    Cause.MANAGER_LOST,
    Cause.BACKEND_FAILED,
}


class Revival:
    """Says when it is time to do what a person would do: `safety/reset`, put the robot back, `safety/arm`."""

    def __init__(self, gate: SafetyGate) -> None:
        self._gate = gate
        self._since_s: float | None = None  # of the stop, or of the last try
        self._begun = False  # disarmed, and nobody but this arms it

    def begin(self) -> None:
        """The robot could not be armed at the start: it lay wrong, could not be read, or somebody who must beat was not
        there yet. Try as after a stop."""
        self._begun = True

    def due(self, now_s: float) -> bool:
        """Whether the robot has stopped by itself, or could not be armed at the start, for long enough. True once in
        PAUSE_S, until it is armed."""
        state = self._gate.state
        if state is GateState.STOPPED:
            self._begun = not {report.cause for report in self._gate.report().causes} & _NOT_THE_ROBOT
        elif state is not GateState.DISARMED:
            self._begun = False
        if not self._begun:
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s < PAUSE_S:
            return False
        self._since_s = now_s
        return True
