"""What the task knows of the bridge: the newest state and its age, the gate, and whether time is still the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from robot_bridge.backend import RobotState
from robot_bridge.gate_types import GateState

from valve_task.machine_io import ExecutedView, GateView, Vector

_OPEN = (GateState.ARMED, GateState.HOLD)
# What is measured at a time of its own. All but the position in `odom` is observed.
_JOINTS, _BODY = ("the joint state",), ("imu/data", "odom")
_OBSERVED = 2


class BridgeLink:
    """Newest messages of the bridge. Ages are measured by receipt on the steady clock; in lockstep there are none.

    Args:
        lockstep: time base.
        moves_about: whether states hold the body.
        longest_step_ns: in lockstep robot time never leaps further than this, unless the bridge was restarted.
        now_s: steady time.
    """

    def __init__(self, lockstep: bool, moves_about: bool, longest_step_ns: int, now_s: float) -> None:
        self._lockstep, self._longest_step_ns = lockstep, longest_step_ns
        self.sensors = (*_JOINTS, *_BODY) if moves_about else _JOINTS
        self.state: RobotState | None = None
        self.gate: GateView | None = None
        self._newest_ns: int | None = None
        self._state_received_s = self._gate_received_s = now_s
        self._executed: ExecutedView | None = None

    def is_another_time_base(self, time_ns: int) -> bool:
        """Whether a state of that time means that the bridge was restarted."""
        if self._newest_ns is None:
            return False
        leapt = self._lockstep and time_ns > self._newest_ns + self._longest_step_ns
        return time_ns < self._newest_ns or leapt

    def receive_state(self, state: RobotState, now_s: float) -> None:
        """Take a state. In real time a repeated reading (same time) is as old as when it came first."""
        if self._lockstep or state.time_ns != self._newest_ns:
            self._state_received_s = now_s
        self.state, self._newest_ns = state, state.time_ns

    def receive_gate(self, gate: GateView, now_s: float) -> None:
        """Take the gate's state."""
        self.gate, self._gate_received_s = gate, now_s

    def receive_executed(self, executed: ExecutedView) -> None:
        """Take what the motors hold."""
        self._executed = executed

    def executed_for(self, time_ns: int | None) -> Vector | None:
        """Goals that were in force, for the command with that stamp, when the newest state was read; None: that is not
        known, or a motor did not hold its goal. Messages of two topics may come in any order, and late."""
        if not self.has_executed(time_ns) or self.state.time_ns < self._executed.since_ns:
            return None
        goals_rad = self._executed.goals_rad
        return goals_rad if np.isfinite(goals_rad).all() else None

    def has_executed(self, time_ns: int | None) -> bool:
        """Whether the bridge has said up to the newest state what became of the command with that stamp."""
        executed = self._executed
        return executed is not None and executed.command_ns == time_ns and self.state.time_ns <= executed.until_ns

    def forget(self) -> None:
        """The bridge is gone: its state is no longer valid."""
        self.state = self._executed = None

    def leave_time_base(self) -> None:
        """Another bridge speaks. What the gate said before its predecessor's last state is no longer valid either."""
        self.forget()
        self._newest_ns = None
        if self._gate_received_s <= self._state_received_s:
            self.gate = None

    @property
    def gate_is_open(self) -> bool:
        """Whether commands reach the motors."""
        return self.gate is not None and self.gate.state in _OPEN

    def silence_s(self, now_s: float) -> float:
        """Time since the last state, in real time since the last new reading."""
        return now_s - self._state_received_s

    def ages_s(self, now_s: float) -> npt.NDArray[np.float32]:
        """Age of what each of `sensors` measured last; those of the body count from their stamps."""
        ages = np.zeros(len(self.sensors), dtype=np.float32)
        if self._lockstep:
            return ages
        ages += self.silence_s(now_s)
        if self.state is not None and self.state.body is not None:
            body = self.state.body
            ages[1:] += (self.state.time_ns - np.array([body.time_ns, body.placed_ns])) * 1e-9
        return ages

    def oldest(self, now_s: float) -> tuple[str, float]:
        """Which sensor's part of an observation would be the oldest, and how old [s]."""
        ages_s = self.ages_s(now_s)[:_OBSERVED]
        place = int(ages_s.argmax())
        return self.sensors[place], float(ages_s[place])
