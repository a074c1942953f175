"""The motion loops: how time, robot and gate go together in the two time bases (docs/architecture.md)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from rosac_common.settings import SettingsError

from robot_bridge.backend import Flags, RobotBackend, SimulatedBackend, Vector
from robot_bridge.causes import Cause
from robot_bridge.gate import SafetyGate
from robot_bridge.gate_types import Command, GateState, Verdict
from robot_bridge.motion import MEASURED, Executed, MotionLoop
from robot_bridge.settings import BridgeSettings

# Lockstep: a lost message is repaired by publishing again after this wall time (docs/architecture.md).
REPEAT_AFTER_S = 0.1
# Realtime: a simulation that fell behind by more than this goes on from where it is, instead of racing after the clock.
LONGEST_CATCH_UP_S = 0.5
# Realtime: a state older than so many of its periods does not show where the robot is (own figure: one may be late).
_FRESH_STATES = 2.0

# Lockstep: a stopped robot comes to rest in this time, without torque.
_REST_S = 1.0


class LockstepLoop(MotionLoop):
    """Each state is answered once: the command moves robot time on by one control period."""

    _backend: SimulatedBackend
    _published_s = -math.inf

    def start(self, now_s: float) -> None:
        super().start(now_s)
        self._judge_body(now_s)
        self._publish_state(now_s)

    def command(self, stamp_ns: int, command: Command, now_s: float) -> None:
        if stamp_ns < self.state.time_ns or (self._failures and stamp_ns == self.state.time_ns):
            self.duplicates += 1  # executed before; the reading of what came of it may have failed
            return
        if stamp_ns > self.state.time_ns:
            self._gate.refuse(Cause.BAD_COMMAND, "its stamp is of no state yet: copy that of joint_states")
            return
        result = self._gate.check(command, self.state.position_rad, self._period_s, now_s)
        if result.verdict is Verdict.REFUSED:
            return
        self._execute(stamp_ns, result.goals_rad, result.torque_on)
        if self._gate.state is GateState.STOPPED:
            return
        self._backend.advance(self._period_s)
        if self._read(now_s):
            self._publish_state(now_s)
            self.periods.add(now_s)

    def tick(self, now_s: float) -> None:
        self._pass_time(now_s)
        self.watch(now_s)
        self._poll_health(now_s)
        if now_s - self._published_s < REPEAT_AFTER_S:
            return
        # The state at t_k is still unanswered; noise must not be drawn anew, so the same reading goes out again. Only
        # one whose read failed is read now: its time has passed already.
        if self.executed is not None:
            self._on_executed(self.executed)
        if not (self._gate.is_active(Cause.READ_FAILED) or self._failures) or self._read(now_s):
            self._publish_state(now_s)

    def recover(self, now_s: float) -> None:
        super().recover(now_s)
        if any(self._gate.is_active(cause) for cause in (*MEASURED, Cause.BODY_SENSOR, Cause.UPSIDE_DOWN)):
            # Without time a joint that is too fast, or outside its range, would stay so.
            self._backend.advance(round(_REST_S / self._period_s) * self._period_s)
            self._read(now_s)

    def _publish_state(self, now_s: float) -> None:
        self._published_s = now_s
        self._on_state(self.state)


class CommandPace:
    """For how long a command may move the goals at their speed limit: a control period each, and all together no longer
    than time has passed, so that many commands move the robot no faster. What comes late may be followed by one on
    time.

    Args:
        period_s: of the control.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s, self._most_s = period_s, 2 * period_s
        self._left_s, self._spent_s = self._most_s, -math.inf

    def left_s(self, now_s: float) -> float:
        """Time that commands may use now [s]."""
        return min(self._most_s, self._left_s + now_s - self._spent_s)

    def spend(self, now_s: float) -> None:
        """A command has used a period, or what was left."""
        self._left_s, self._spent_s = max(0.0, self.left_s(now_s) - self._period_s), now_s


class RealtimeLoop(MotionLoop):
    """Robot time is the steady clock; each command answers one of the last states."""

    def __init__(self, settings: BridgeSettings, *arguments: Any) -> None:
        super().__init__(settings, *arguments)
        self._known: dict[int, tuple[float, Vector]] = {}  # stamp of a state -> wall time of its reading, positions
        self._torque_on = np.zeros(len(settings.robot.all_joint_names), dtype=bool)  # as the robot was told
        self._simulation = self._backend if isinstance(self._backend, SimulatedBackend) else None
        self._origin_s = 0.0  # wall time from which the simulation's steps count
        self._steps = 0  # of the simulation since then
        self._fresh_s = _FRESH_STATES / settings.state_rate_hz
        self._pace = CommandPace(self._period_s)
        self.skipped_s = 0.0  # wall time that the simulation left out because it could not keep up

    def start(self, now_s: float) -> None:
        super().start(now_s)
        self._origin_s = self._read_s = now_s
        self.tick(now_s)

    def command(self, stamp_ns: int, command: Command, now_s: float) -> None:
        known = self._known.get(stamp_ns)
        if known is None:
            result = self._gate.refuse(
                Cause.STALE_COMMAND, "its stamp is of no recent state: copy that of joint_states"
            )
        elif self._blind:
            result = self._gate.refuse(None, f"the last {self._failures} reads have failed: wait for joint_states")
        else:
            read_s, position = known
            aged = command._replace(age_s=now_s - read_s)
            result = self._gate.check(aged, position, self._period_s, now_s, self._pace.left_s(now_s))
            if result.verdict is not Verdict.REFUSED:
                self._pace.spend(now_s)
        if result.verdict is Verdict.REFUSED:
            if self._gate.state in (GateState.ARMED, GateState.HOLD):  # else none is in force
                in_force = np.where(result.torque_on, result.goals_rad, self.state.position_rad)
                self._unseen = Executed(stamp_ns, in_force, result.torque_on)
        else:
            self._execute(stamp_ns, result.goals_rad, result.torque_on)

    def tick(self, now_s: float) -> None:
        if self._simulation is not None:
            self._follow_clock(self._simulation, now_s)
        if self._read(now_s):
            self._known[self.state.time_ns] = now_s, self.state.position_rad
            self._forget(now_s)
            self._on_state(self.state)
            self._gate.stop(Cause.STALE_STATE, False, "")
        self._pass_time(now_s)
        self.watch(now_s)
        self._poll_health(now_s)
        self._watch_silence(now_s)
        self.periods.add(now_s)

    def look(self, now_s: float) -> str:
        if self._read(now_s):
            return ""
        return "where the robot is cannot be read just now: try again, or look at the bus (rosac bus check)"

    def _sees(self, now_s: float) -> bool:
        return super()._sees(now_s) and now_s - self._read_s <= self._fresh_s

    def _tell(self, goals_rad: Vector, torque_on: Flags) -> None:
        if (torque_on & ~self._torque_on).any():
            # A servo counts anew from here, and a limp joint may have moved on: no command may answer what was before.
            self._known.clear()
        self._torque_on = torque_on
        super()._tell(goals_rad, torque_on)

    def _watch_silence(self, now_s: float) -> None:
        """Nothing is moved blindly, nor held for ever because nobody says otherwise."""
        if not self._gate.may_move:
            return
        limits, blind_s, silent_s = self._limits, now_s - self._read_s, self._gate.silence_s(now_s)
        if blind_s > limits.state_timeout_s:
            detail = f"the newest joint state is {blind_s:.3f} s old, limit {limits.state_timeout_s:g} s: see the bus"
            self.stop(Cause.STALE_STATE, detail, now_s)
        elif silent_s > limits.task_timeout_s:
            silence = f"no good command for {silent_s:.1f} s, limit {limits.task_timeout_s:g} s"
            detail = f"{silence}: start the task or the actor, or look at their logs"
            self.stop(Cause.TASK_LOST, detail, now_s)
            self._gate.stop(Cause.TASK_LOST, False, "")  # it is over with the stop; reset and arm go on

    def figures(self) -> dict[str, object]:
        return {**super().figures(), "simulated_time_skipped_s": f"{self.skipped_s:.3f}"}

    def _follow_clock(self, simulation: SimulatedBackend, now_s: float) -> None:
        step_s = simulation.time_step_s
        due = math.floor((now_s - self._origin_s) / step_s) - self._steps
        most = round(LONGEST_CATCH_UP_S / step_s)
        if due > most:
            left_out_s = (due - most) * step_s
            self.skipped_s += left_out_s
            self._origin_s += left_out_s
            due = most
        simulation.advance(due * step_s)
        self._steps += due

    def _forget(self, now_s: float) -> None:
        """Drop states too old to be answered; twice the limit, so that a late command still learns its age."""
        while self._known:
            stamp_ns, (read_s, _) = next(iter(self._known.items()))
            if now_s - read_s <= 2 * self._gate.command_age_limit_s:
                return
            del self._known[stamp_ns]


def check_period(settings: BridgeSettings, backend: RobotBackend) -> None:
    """Check that lockstep is possible with this robot.

    Raises:
        SettingsError: time does not wait for this robot, or the period is not a whole number of physics steps.
    """
    if not settings.lockstep:
        return
    if not isinstance(backend, SimulatedBackend):
        raise SettingsError(
            f"time_base is lockstep, but time does not wait for backend {settings.backend}: use realtime"
        )
    steps = settings.control_period_s / backend.time_step_s
    if abs(steps - max(1, round(steps))) > 1e-6:
        raise SettingsError(
            f"control_period_s is {settings.control_period_s:g}; in lockstep it must be a multiple of the physics "
            f"step, {backend.time_step_s:g} s"
        )


def make_gate(settings: BridgeSettings) -> SafetyGate:
    """The gate with the time limits of the time base."""
    limits, period_s = settings.robot.safety, settings.control_period_s
    timeout_s = limits.lockstep_command_timeout_s if settings.lockstep else limits.command_timeout_periods * period_s
    return SafetyGate(settings.robot, timeout_s, limits.command_age_limit_periods * period_s)
