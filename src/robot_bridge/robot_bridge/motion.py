"""What the motion loops of both time bases share: how readings are judged, commands executed and failures met.

No ROS and no clock: what is to be published goes to two functions, times are seconds of one steady clock.
"""

from __future__ import annotations

import abc
import contextlib
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from robot_bridge.backend import (
    BackendError,
    ConnectionLostError,
    Flags,
    ReadError,
    RobotBackend,
    RobotHealth,
    RobotState,
    Vector,
)
from robot_bridge.body_link import BodyWatch, imu_of, odometry_of
from robot_bridge.causes import Cause
from robot_bridge.gate import SafetyGate
from robot_bridge.gate_types import Command
from robot_bridge.monitor import Beats, FrozenReadings, JointMonitor
from robot_bridge.period_statistics import PeriodStatistics
from robot_bridge.settings import BridgeSettings

# One short reading each time; ten servos are through in a second.
_HEALTH_PERIOD_S = 0.05
MEASURED = (Cause.JOINT_RANGE, Cause.JOINT_SPEED, Cause.MOTOR_CURRENT, Cause.FROZEN_JOINT)
# Of the robot itself: it may have lost its settings, so that a reset sets it up again.
OF_THE_ROBOT = (
    Cause.CONNECTION_LOST,
    Cause.READ_FAILED,
    Cause.STALE_STATE,
    Cause.HARDWARE_ERROR,
    Cause.ROBOT_FAILED,
)
# A robot that could not be told is told again after this time; each try takes as long as several missing answers.
_TELL_AGAIN_S = 0.2


class Executed(NamedTuple):
    """What the motors were told and hold: one value per joint, the robot's joints first."""

    stamp_ns: int  # of the command: robot time of the state that it answered
    goals_rad: Vector  # NaN: a motor under torque that did not hold its goal all the time
    torque_on: Flags
    since_ns: int = 0  # robot time of the first reading with these goals in force
    until_ns: int = 0  # and of the newest one


class MotionLoop(abc.ABC):
    """What both time bases share.

    Args:
        settings: the bridge's settings.
        backend: an open robot.
        gate: judges every command.
        beats: who must be heard; what was heard before this loop counts, too.
        on_executed: takes what the motors hold, with each reading.
        on_state: takes each new reading, and each one published again.
    """

    def __init__(
        self,
        settings: BridgeSettings,
        backend: RobotBackend,
        gate: SafetyGate,
        beats: Beats,
        on_executed: Callable[[Executed], None],
        on_state: Callable[[RobotState], None],
    ) -> None:
        self._backend = backend
        self._gate = gate
        self._beats = beats
        self._period_s = settings.control_period_s
        self._on_executed = on_executed
        self._on_state = on_state
        self._limits = settings.robot.safety
        self._monitor = JointMonitor(settings.robot, settings.fastest_rad_s)
        self._frozen = FrozenReadings(settings.robot)
        self.body: BodyWatch | None = None
        self._failures = 0  # of reads, in a row
        self._read_s = -math.inf  # wall time of the newest reading
        self._obeyed = gate.orders  # how many of the gate's orders the robot has heard
        self._tried = gate.orders  # how many it was told, heard or not
        self._tell_again_s: float | None = None
        self.health: RobotHealth | None = None
        self._health_s = -math.inf
        self.executed: Executed | None = None
        self._unseen: Executed | None = None  # what no reading has shown yet
        self._body_limits = settings.robot.body
        self.state = self._read_anew()
        self.periods = PeriodStatistics()
        self.duplicates = 0  # lockstep: commands that answer a state already answered

    def _read_anew(self) -> RobotState:
        """Of a robot that has just been set up; a lost answer is no reason to give it up, as little as later."""
        for _ in range(self._limits.read_failures_stop - 1):
            with contextlib.suppress(ReadError):  # counted by the bus; the last try speaks
                return self._backend.read()
        return self._backend.read()

    def start(self, now_s: float) -> None:
        """Begin: publish the first state."""
        if self._body_limits.sensed:
            self.body = BodyWatch(self._body_limits, now_s, real=self.state.body is None)

    @abc.abstractmethod
    def command(self, stamp_ns: int, command: Command, now_s: float) -> None:
        """A command came, answering the state of that stamp."""

    @abc.abstractmethod
    def tick(self, now_s: float) -> None:
        """Let wall time pass."""

    def enforce(self) -> None:
        """Send the gate's goals and torques to the motors: after arming, disarming or a stop.

        A robot that cannot be told is stopped, and told again by later ticks until it has heard.
        """
        orders, torque_on = self._gate.orders, self._gate.torque_on
        self.executed = self._unseen = None  # no command is in force any more
        try:
            self._tell(self._gate.goals_rad, torque_on)
            self._obeyed = orders
        except BackendError as error:
            self._fail(error)
        # Torque off that was not heard is not tried again at once: each missing answer takes its time.
        self._tried = orders if torque_on.any() else self._gate.orders

    @property
    def _untold(self) -> bool:
        """Whether the robot has not heard the gate's newest order."""
        return self._gate.orders != self._obeyed

    def _tell(self, goals_rad: Vector, torque_on: Flags) -> None:
        """Write; once more if an answer was lost, which is no reason to stop."""
        try:
            self._backend.write(goals_rad, torque_on)
        except ReadError:
            self._backend.write(goals_rad, torque_on)

    def end(self) -> str:
        """Torque off. Returns why it is not known to be off; empty: it is off."""
        self._gate.disarm()
        self.enforce()
        return "; ".join(f"{cause.cause}: {cause.detail}" for cause in self._gate.report().causes if self._untold)

    def recover(self, now_s: float) -> None:
        """Before a reset: bring the robot back, if it is the robot itself that has failed.

        Raises:
            BackendError: what is still wrong with it.
        """
        failed = [cause for cause in OF_THE_ROBOT if self._gate.is_latched(cause)]
        if not failed:
            return
        self._backend.recover()
        if self.body is not None:
            self.body.put_back()
        self._tell(self._gate.goals_rad, self._gate.torque_on)
        self.state = self._read_anew()
        self._failures = 0
        self.health = None
        for cause in failed:
            self._gate.stop(cause, False, "")

    def refresh(self, now_s: float) -> None:
        """Somebody moved the robot while it stands: see where it is now."""
        self._read(now_s)

    def look(self, now_s: float) -> str:
        """See where the robot is before it is switched on, since somebody may have moved it; returns why that is not
        known, else empty. Where time stands still between commands, the newest state is where it is."""
        return ""

    def obstacles(self, now_s: float) -> list[str]:
        """Why the robot must not be armed now: who does not beat, and joints outside their range."""
        silent = [problem for beat in self._beats.all if (problem := beat.problem(now_s))]
        return silent + [detail for _, detail in self._monitor.arm_problems(self.state)]

    def arm_problem(self, now_s: float) -> tuple[Cause, str] | None:
        """Why the robot must not be armed as it lies there, or None."""
        if self.body is None:
            return None
        self._take_own_body(now_s)
        if problem := self._body_problem(now_s):
            return Cause.BODY_SENSOR, problem
        problem = self.body.arm_problem()
        return (Cause.UPSIDE_DOWN, problem) if problem else None

    def _take_own_body(self, now_s: float) -> None:
        """Readings of the body: a simulation brings its own with the state, others come by topic."""
        if self.body is not None and self.state.body is not None:
            self.body.imu(imu_of(self.state.body), now_s)
            self.body.odometry(odometry_of(self.state.body), now_s)

    def _body_problem(self, now_s: float) -> str:
        """Why the body's state cannot be trusted. Stamps are compared with the joints' where drivers give them."""
        return self.body.problem(now_s, self.state.time_ns if self.state.body is None else None)

    def _judge_body(self, now_s: float) -> None:
        if self.body is None:
            return
        self._take_own_body(now_s)
        problem = self._body_problem(now_s)
        if not problem:
            self._gate.stop(Cause.BODY_SENSOR, False, "")
        elif self._gate.may_move or self._gate.is_active(Cause.BODY_SENSOR):
            self.stop(Cause.BODY_SENSOR, problem, now_s)
        if self._gate.is_active(Cause.UPSIDE_DOWN) and not self.body.arm_problem():
            self._gate.stop(Cause.UPSIDE_DOWN, False, "")

    def watch(self, now_s: float) -> None:
        """Look at those who must beat; while the robot stands, only whether they are back."""
        for beat in self._beats.all:
            problem = beat.problem(now_s)
            if not problem:
                self._gate.stop(beat.cause, False, "")
            elif self._gate.may_move or self._gate.is_active(beat.cause):
                self.stop(beat.cause, problem, now_s)

    def stop(self, cause: Cause, detail: str, now_s: float) -> None:
        """Stop for this cause, and tell the motors, unless that has been done. What was measured a while ago is no
        place to hold: joints have moved on, and would be thrown back. The goals in force stay then."""
        before = self._gate.orders
        hold_rad = self.state.position_rad if self._sees(now_s) else self._gate.goals_rad
        self._gate.stop(cause, True, detail, hold_rad, now_s)
        if self._gate.orders != before:
            self.enforce()

    def _sees(self, now_s: float) -> bool:
        """Whether the newest state shows where the robot is now."""
        return not self._failures

    def _fail(self, error: BackendError, otherwise: Cause = Cause.ROBOT_FAILED) -> None:
        """Stop because the robot failed: its port is gone, or what the error says."""
        lost = isinstance(error, ConnectionLostError)
        self._gate.stop(Cause.CONNECTION_LOST if lost else otherwise, True, f"{error}")

    def _pass_time(self, now_s: float) -> None:
        """The gate's own times, torque that is due to go off, and what could not be said before, whatever the reason:
        servos behind a cable that was pulled have torque when it is back."""
        self._gate.tick(now_s)
        if not self._untold:
            self._tell_again_s = None
            return
        if self._gate.orders != self._tried or (self._tell_again_s is not None and now_s >= self._tell_again_s):
            self.enforce()
            self._tell_again_s = None
        if self._tell_again_s is None:
            self._tell_again_s = now_s + _TELL_AGAIN_S

    def figures(self) -> dict[str, object]:
        """What diagnostics show of the loop since the last call."""
        count, mean_s, longest_s = self.periods.take()
        return {
            "periods": count,
            "period_mean_ms": f"{mean_s * 1e3:.3f}",
            "period_longest_ms": f"{longest_s * 1e3:.3f}",
            "commands_duplicate": self.duplicates,
            "reads_failed_in_a_row": self._failures,
            **self._backend.figures(),
        }

    def _execute(self, stamp_ns: int, goals_rad: Vector, torque_on: Flags) -> None:
        try:
            self._tell(goals_rad, torque_on)
        except BackendError as error:
            self._fail(error)
            self.enforce()
            return
        self._unseen = Executed(stamp_ns, goals_rad, torque_on)

    def _tell_executed(self) -> None:
        """With each reading, which shows whether the motors hold their goals: a write may be lost, or a motor forget
        it. Who takes a reading that was made before a command can tell it from one after."""
        executed, read_ns = self._unseen or self.executed, self.state.time_ns
        if executed is None:
            return
        if self._unseen is not None:
            executed = executed._replace(since_ns=read_ns)
        if self.state.goals_held is not None:
            lost = executed.torque_on & ~self.state.goals_held
            executed = executed._replace(goals_rad=np.where(lost, np.nan, executed.goals_rad))
        self.executed, self._unseen = executed._replace(until_ns=read_ns), None
        self._on_executed(self.executed)

    def _read(self, now_s: float) -> bool:
        """Take a new state; a failed read leaves none that looks new, and too many of them stop the robot."""
        if self._gate.is_active(Cause.CONNECTION_LOST):
            return False  # until safety/reset
        try:
            self.state = self._backend.read()
        except ReadError as error:
            self._count_failure(error)
            return False
        except BackendError as error:
            self._fail(error, Cause.READ_FAILED)
            self.enforce()
            return False
        self._failures, self._read_s = 0, now_s
        self._gate.stop(Cause.READ_FAILED, False, "")
        if self.state.turned_rad is not None:
            self._count_anew(self.state.turned_rad)
        self._tell_executed()
        self._judge(now_s)
        return True

    def _count_anew(self, turned_rad: Vector) -> None:
        """Joints whose torque came on show whole turns less: so do the goals that were told before this reading."""
        self._gate.count_anew(turned_rad)
        if self._unseen is not None:
            self._unseen = self._unseen._replace(goals_rad=self._unseen.goals_rad - turned_rad)

    @property
    def _blind(self) -> bool:
        """Whether reads fail so often that nothing may move."""
        return self._failures >= self._limits.read_failures_hold

    def _count_failure(self, error: ReadError) -> None:
        self._failures += 1
        limits = self._limits
        detail = f"{self._failures} failed reads in a row, limit {limits.read_failures_stop}; the last one: {error}"
        if self._failures >= limits.read_failures_stop:
            self._gate.stop(Cause.READ_FAILED, True, detail)
            self.enforce()
        elif self._blind:
            self._gate.hold(Cause.READ_FAILED, detail)

    def _judge(self, now_s: float) -> None:
        """Measured values against their limits."""
        self._judge_body(now_s)
        found = dict(self._monitor.problems(self.state, self._gate.judged))
        strained = self._monitor.strained(self.state)
        found |= dict(self._frozen.problems(self.state, self._gate.goals_rad, self._gate.torque_on, strained))
        for cause in MEASURED:
            if cause in found:
                self.stop(cause, found[cause], now_s)
            else:
                self._gate.stop(cause, False, "")

    def _poll_health(self, now_s: float) -> None:
        """One more joint's slow values; a failed reading is the bus' to count, the next one comes soon."""
        if self._gate.is_active(Cause.CONNECTION_LOST) or now_s - self._health_s < _HEALTH_PERIOD_S:
            return
        self._health_s = now_s
        try:
            self.health = self._backend.poll_health()
        except ReadError:
            pass  # counted by the bus; the monitor sees how old the values are
        except BackendError as error:
            self._fail(error)
            self.enforce()
            return
        if self.health is None:
            return
        found = dict(self._monitor.health_problems(self.health, self._gate.judged, now_s))
        for cause in (Cause.TEMPERATURE, Cause.HARDWARE_ERROR):
            if cause in found:
                self.stop(cause, found[cause], now_s)
            elif cause is Cause.TEMPERATURE:  # a hardware error is cleared by recover() alone
                self._gate.stop(cause, False, "")
