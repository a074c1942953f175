"""The motion loops: how time, robot and gate go together in the two time bases (docs/architecture.md).

No ROS and no clock: what is to be published goes to two functions, times are seconds of one steady clock.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from rosac_common.settings import SettingsError

from robot_bridge.backend import BackendError, Flags, RobotBackend, RobotState, SimulatedBackend, Vector
from robot_bridge.gate import SafetyGate
from robot_bridge.gate_types import Cause, Command, Verdict
from robot_bridge.settings import BridgeSettings

# Lockstep: a lost message is repaired by publishing again after this wall time (docs/architecture.md).
REPEAT_AFTER_S = 0.1
# Realtime: a simulation that fell behind by more than this goes on from where it is, instead of racing after the clock.
LONGEST_CATCH_UP_S = 0.5


class Executed(NamedTuple):
    """What was sent to the motors: one value per joint, the robot's joints first."""

    stamp_ns: int  # of the command: robot time of the state that it answered
    goals_rad: Vector
    torque_on: Flags


class PeriodStatistics:
    """Mean and longest time between events since the last :meth:`take`."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._count, self._sum_s, self._longest_s = 0, 0.0, 0.0

    def add(self, now_s: float) -> None:
        """An event happens."""
        if self._last_s is not None:
            period_s = now_s - self._last_s
            self._count += 1
            self._sum_s += period_s
            self._longest_s = max(self._longest_s, period_s)
        self._last_s = now_s

    def take(self) -> tuple[int, float, float]:
        """Number of periods, their mean and the longest [s] (0 when there was none)."""
        result = self._count, self._sum_s / max(self._count, 1), self._longest_s
        self._count, self._sum_s, self._longest_s = 0, 0.0, 0.0
        return result


class MotionLoop(abc.ABC):
    """What both time bases share.

    Args:
        settings: the bridge's settings.
        backend: an open robot.
        gate: judges every command.
        on_executed: takes what was sent to the motors.
        on_state: takes each new reading, and each one published again.
    """

    def __init__(
        self,
        settings: BridgeSettings,
        backend: RobotBackend,
        gate: SafetyGate,
        on_executed: Callable[[Executed], None],
        on_state: Callable[[RobotState], None],
    ) -> None:
        self._backend = backend
        self._gate = gate
        self._period_s = settings.control_period_s
        self._on_executed = on_executed
        self._on_state = on_state
        self.executed: Executed | None = None
        self.state = backend.read()
        self.periods = PeriodStatistics()
        self.duplicates = 0  # lockstep: commands that answer a state already answered

    @abc.abstractmethod
    def start(self, now_s: float) -> None:
        """Begin: publish the first state."""

    @abc.abstractmethod
    def command(self, stamp_ns: int, command: Command, now_s: float) -> None:
        """A command came, answering the state of that stamp."""

    @abc.abstractmethod
    def tick(self, now_s: float) -> None:
        """Let wall time pass."""

    def enforce(self) -> None:
        """Send the gate's goals and torques to the motors: after arming, disarming or a stop."""
        self._backend.write(self._gate.goals_rad, self._gate.torque_on)

    def end(self) -> None:
        """Torque off."""
        self._gate.disarm()
        self.enforce()

    def figures(self) -> dict[str, object]:
        """What diagnostics show of the loop since the last call."""
        count, mean_s, longest_s = self.periods.take()
        return {
            "periods": count,
            "period_mean_ms": f"{mean_s * 1e3:.3f}",
            "period_longest_ms": f"{longest_s * 1e3:.3f}",
            "commands_duplicate": self.duplicates,
        }

    def _execute(self, stamp_ns: int, goals_rad: Vector, torque_on: Flags) -> None:
        self._backend.write(goals_rad, torque_on)
        self._announce(stamp_ns, goals_rad, torque_on)

    def _announce(self, stamp_ns: int, goals_rad: Vector, torque_on: Flags) -> None:
        self.executed = Executed(stamp_ns, goals_rad, torque_on)
        self._on_executed(self.executed)

    def _read(self) -> bool:
        """Take a new state; a failed read stops the robot and leaves no state that looks new."""
        try:
            self.state = self._backend.read()
        except BackendError as error:
            self._gate.stop(Cause.READ_FAILED, True, f"{error}")
            self.enforce()
            return False
        self._gate.stop(Cause.READ_FAILED, False, "")
        return True


class LockstepLoop(MotionLoop):
    """Each state is answered once: the command moves robot time on by one control period."""

    _backend: SimulatedBackend
    _published_s = -math.inf

    def start(self, now_s: float) -> None:
        self._publish_state(now_s)

    def command(self, stamp_ns: int, command: Command, now_s: float) -> None:
        if stamp_ns < self.state.time_ns:
            self.duplicates += 1
            return
        if stamp_ns > self.state.time_ns:
            self._gate.refuse(Cause.BAD_COMMAND, "its stamp is of no state yet: copy that of joint_states")
            return
        result = self._gate.check(command, self.state.position_rad, self._period_s, now_s)
        if result.verdict is Verdict.REFUSED:
            return
        self._execute(stamp_ns, result.goals_rad, result.torque_on)
        self._backend.advance(self._period_s)
        if self._read():
            self._publish_state(now_s)
            self.periods.add(now_s)

    def tick(self, now_s: float) -> None:
        self._gate.tick(now_s)
        if now_s - self._published_s < REPEAT_AFTER_S:
            return
        # The state at t_k is still unanswered; noise must not be drawn anew, so the same reading goes out again. Only
        # one whose read failed is read now: its time has passed already.
        if self.executed is not None:
            self._on_executed(self.executed)
        if not self._gate.is_active(Cause.READ_FAILED) or self._read():
            self._publish_state(now_s)

    def _publish_state(self, now_s: float) -> None:
        self._published_s = now_s
        self._on_state(self.state)


class RealtimeLoop(MotionLoop):
    """Robot time is the steady clock; each command answers one of the last states."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._known: dict[int, tuple[float, Vector]] = {}  # stamp of a state -> wall time of its reading, positions
        self._simulation = self._backend if isinstance(self._backend, SimulatedBackend) else None
        self._origin_s = 0.0  # wall time from which the simulation's steps count
        self._steps = 0  # of the simulation since then
        self.skipped_s = 0.0  # wall time that the simulation left out because it could not keep up

    def start(self, now_s: float) -> None:
        self._origin_s = now_s
        self.tick(now_s)

    def command(self, stamp_ns: int, command: Command, now_s: float) -> None:
        known = self._known.get(stamp_ns)
        if known is None:
            result = self._gate.refuse(
                Cause.STALE_COMMAND, "its stamp is of no recent state: copy that of joint_states"
            )
        else:
            read_s, position = known
            aged = command._replace(age_s=now_s - read_s)
            result = self._gate.check(aged, position, self._period_s, now_s)
        if result.verdict is Verdict.REFUSED:
            in_force = np.where(result.torque_on, result.goals_rad, self.state.position_rad)
            self._announce(stamp_ns, in_force, result.torque_on)
        else:
            self._execute(stamp_ns, result.goals_rad, result.torque_on)

    def tick(self, now_s: float) -> None:
        if self._simulation is not None:
            self._follow_clock(self._simulation, now_s)
        if self._read():
            self._known[self.state.time_ns] = now_s, self.state.position_rad
            self._forget(now_s)
            self._on_state(self.state)
        self._gate.tick(now_s)
        self.periods.add(now_s)

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
    if abs(steps - round(steps)) > 1e-6:
        raise SettingsError(
            f"control_period_s is {settings.control_period_s:g}; in lockstep it must be a multiple of the physics "
            f"step, {backend.time_step_s:g} s"
        )


def make_gate(settings: BridgeSettings) -> SafetyGate:
    """The gate with the time limits of the time base."""
    gate, period_s = settings.gate, settings.control_period_s
    timeout_s = gate.lockstep_command_timeout_s if settings.lockstep else gate.command_timeout_periods * period_s
    return SafetyGate(settings.robot, gate, timeout_s, gate.command_age_limit_periods * period_s)
