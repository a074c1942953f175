"""A robot of Dynamixel servos: one sync read and one sync write a control period, slow registers in between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from robot_bridge.backend import BackendError, ConnectionLostError, Flags, RobotHealth, RobotState, Vector
from robot_bridge.dynamixel.bus import DynamixelBus
from robot_bridge.dynamixel.confirmed_write import ConfirmedWrite
from robot_bridge.dynamixel.connection import reboot_faulty, servos_of, set_up, switch_on_ticks, watchdog_ticks
from robot_bridge.dynamixel.control_table import TICKS_PER_REVOLUTION, WATCHDOG_UNIT_S
from robot_bridge.dynamixel.joint_reader import JointReader, counts
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.dynamixel.slow_registers import SlowRegisters
from robot_bridge.dynamixel.units import Counts, Units
from robot_bridge.robot import RobotSettings

# So many readings in a row may show other goals than were written, though they are written again each time (own figure,
# as safety.read_failures_stop).
_LOST_WRITES = 5
_TRIPPED = -1  # register bus_watchdog, once it has stopped the servo


class DynamixelRobot:
    """Servos on one bus. Joint vectors have the order of `RobotSettings.all_joint_names`.

    Args:
        robot: the robot file, with its block `servos`.
        settings: of the port.
        clock: steady time [s].
        epoch_ns: robot time when that clock shows 0 [ns].
    """

    def __init__(
        self, robot: RobotSettings, settings: BusSettings, clock: Callable[[], float], epoch_ns: int = 0
    ) -> None:
        self._settings, self._clock, self._epoch_ns = settings, clock, epoch_ns
        self._servos = servos_of(robot)
        self._ids = robot.all_joint_ids
        self._units = Units(robot)
        self._watchdog_ticks = watchdog_ticks(robot)
        self.bus = DynamixelBus(settings.port, robot.servos.baud_rate, settings.reply_timeout_s)
        # All models of the series have these at the same place.
        registers = ("goal_position", "torque_enable", "bus_watchdog")
        self._goal, self._torque, self._watchdog = map(self._servos[0].model.register, registers)
        low = [servo.settings["min_position_limit"] for servo in self._servos]
        high = [servo.settings["max_position_limit"] for servo in self._servos]
        self._low, self._high = np.array(low), np.array(high)
        self._margin = switch_on_ticks(robot)
        count = len(self._ids)
        self._own = np.arange(count) < len(robot.joint_names)
        self._torque_on = np.zeros(count, dtype=bool)
        self._goals = np.zeros(count, dtype=np.int64)  # written last
        self._told = np.zeros(count, dtype=bool)  # whether that counts: under torque
        self._turns = np.zeros(count, dtype=np.int64)  # what servos count less than at the newest reading [ticks]
        self._lost_writes = 0  # in a row
        self._reader = JointReader(self.bus, self._servos, settings, self._times_s, self._check_watchdogs)
        self._set = ConfirmedWrite(self.bus, self._servos, clock)
        self._slow = SlowRegisters(self.bus, self._servos, clock)
        self._lost = ""  # why the servos no longer do what they are told, until recover()
        self._closed = ""  # why there is no port, until recover()
        self._watchdogs_next = False  # whether their turn is next, in poll_health()

    # RobotBackend

    def open(self) -> None:
        """Connect, check and set every servo up; torque off. The port is closed again if that fails."""
        self._connect(reboot=False)

    def _connect(self, reboot: bool) -> None:
        self._closed = ""
        try:
            self.bus.open()
            # Until all of them are set up, nobody knows.
            self._torque_on[:] = True
            self._told[:] = False
            if reboot:
                reboot_faulty(self.bus, self._servos)
            all_fast = set_up(self.bus, self._servos, self._watchdog_ticks)
        except BackendError as error:
            remedy = "mend that, then call safety/reset"
            self._closed = f"{self.bus.path} is closed since the servos could not be set up ({error}): {remedy}"
            self.bus.close(self._closed)
            raise
        self._reader.begin(all_fast and self._settings.fast_read)
        self._torque_on[:] = False
        self._turns[:] = 0
        self._lost_writes = 0
        self._lost = ""
        self._watchdogs_next = False
        self._slow.forget()

    def close(self) -> None:
        """Torque off, then close the port. One that has closed is opened again for that; of one that is gone nothing is
        known, but that the servos' bus watchdogs have stopped them."""
        try:
            if self.bus.is_open or self._torque_on.any():
                self._switch_off(np.ones_like(self._torque_on))
        except ConnectionLostError:
            pass
        finally:
            self.bus.close()

    def read(self) -> RobotState:
        """One sync read of position, velocity and current, and of the goals: where a write was lost it is repeated.

        Raises:
            ReadError: besides what the bus raises: a servo's clock says that its answer is old.
            BackendError: besides what the bus raises: a servo does not take its goal, has stopped by itself or
                restarted; the last two until :meth:`recover`.
        """
        if self._torque_on.any() and self.bus.silent_s > self._watchdog_ticks * WATCHDOG_UNIT_S:
            self._look_at_watchdogs()
        self._check_lost()
        values = self._reader.read()
        # Of the instruction that was answered: a first try that failed has taken its time.
        time_ns = self._epoch_ns + round(self._reader.sent_s * 1e9)
        current_a = self._units.current_a(counts(values, "present_current"))
        return RobotState(
            time_ns,
            self._units.position_rad(self._positions(values)),
            self._units.velocity_rad_s(counts(values, "present_velocity")),
            self._units.effort_nm(current_a),
            current_a,
            self._mend_goals(counts(values, "goal_position")),
            self._take_turns(),
        )

    def _take_turns(self) -> Vector | None:
        """With a reading, which counts anew: goals after it are no longer those of the count before."""
        turns, self._turns = self._turns, np.zeros_like(self._turns)
        return self._units.angle_rad(turns) if turns.any() else None

    def _positions(self, values: npt.NDArray[np.void]) -> Counts:
        """Without torque servos count turn after turn. A joint of the robot's own is in the turn around its range all
        the same, whatever its servo counts since it was powered on, or turned by hand."""
        ticks = counts(values, "present_position")
        first = (self._low + self._high - TICKS_PER_REVOLUTION) // 2
        around = first + (ticks - first) % TICKS_PER_REVOLUTION
        return np.where(self._own & ~self._torque_on, around, ticks)

    def _times_s(self) -> tuple[float, float]:
        """When the last instruction went out, and now, when it has been answered."""
        now_s = self._clock()
        return now_s - self.bus.silent_s, now_s

    def _mend_goals(self, goals: Counts) -> Flags:
        """Which joints hold the goal that they were told; the others are told again, for nobody answers a sync write.

        Raises:
            BackendError: they were told again and again.
        """
        held = ~self._told | (goals == self._goals)
        if held.all():
            self._lost_writes = 0
            return held
        self.bus.failures["lost_write"] += 1
        self._lost_writes += 1
        if self._lost_writes > _LOST_WRITES:
            self._check_watchdogs()
            i = int(np.argmin(held))
            raise BackendError(
                f"{self._servos[i]}: goal_position is {goals[i]}, not {self._goals[i]}, after it was written "
                f"{self._lost_writes} times: look at the bus with `rosac bus check`"
            )
        self.bus.sync_write(self._goal, self._by_id(self._goals, ~held))
        return held

    def _repeat_lost_goals(self) -> None:
        """Write the goals until the servos hold them, a few times at most."""
        self._set.repeat_where_lost(self._goal, self._by_id(self._goals, self._told), fast=self._reader.fast)

    def write(self, goals_rad: Vector, torque_on: Flags) -> None:
        """Torque off where it goes off, then goals, then torque on where it goes on: nothing jumps.

        Torque goes off also over a port that was lost and is back; for all else it must be set up by :meth:`recover`.

        Raises:
            BackendError: besides what the bus raises: a servo does not switch its torque, or as in :meth:`read`.
        """
        off, on = self._torque_on & ~torque_on, torque_on & ~self._torque_on
        if off.any():
            self._switch_off(off)
        if not torque_on.any():
            return
        self._check_lost()
        goals = self._units.ticks(goals_rad)
        if on.any():
            self._turns += self._switch_on(on)
        # Also goals of the count before that are told once more, or answer the reading before.
        goals -= self._turns
        self._goals = np.where(torque_on, np.clip(goals, self._low, self._high), self._goals)
        self._told = torque_on.copy()
        self.bus.sync_write(self._goal, self._by_id(self._goals, torque_on))

    def poll_health(self) -> RobotHealth:
        """One short read: a hardware error that is new, else in turn the bus watchdogs of all servos, whose findings
        :meth:`read` tells, or the slow registers of one servo."""
        self._slow.heed_alerts()
        if not self._slow.read_error():
            watchdogs, self._watchdogs_next = self._watchdogs_next, not self._watchdogs_next
            if watchdogs:
                self._look_at_watchdogs()
            else:
                self._slow.read_next()
        return self._slow.health

    def _look_at_watchdogs(self) -> None:
        """A servo whose register bus_watchdog is not what was set has stopped by itself, or forgotten everything."""
        answers = self.bus.sync_read(self._ids, self._watchdog.address, self._watchdog.size)
        values = [(f"{servo}", self._watchdog.decode(answers[servo.identifier])) for servo in self._servos]
        stopped = [servo for servo, value in values if value == _TRIPPED]
        restarted = [servo for servo, value in values if value not in (_TRIPPED, self._watchdog_ticks)]
        if restarted:
            self._lost = (
                f"{', '.join(restarted)}: restarted, without settings: check supply and cable, then call safety/reset"
            )
        elif stopped:
            self._lost = (
                f"{', '.join(stopped)}: stopped after hearing nothing for {self._watchdog_ticks * WATCHDOG_UNIT_S:g} s "
                "(bus watchdog): is this computer too busy, or the cable loose? Then call safety/reset"
            )

    def _check_watchdogs(self) -> None:
        """Something is wrong with a servo: have any stopped or restarted?"""
        self._look_at_watchdogs()
        self._check_lost()

    def _check_lost(self) -> None:
        if self._lost:
            raise BackendError(self._lost)

    def recover(self) -> None:
        """Open the port anew, torque off, reboot servos with hardware errors, set everything up again.

        The port is closed if that fails. Which servos have torque is not known then, until :meth:`write` or
        :meth:`close` has switched it off.
        """
        self._connect(reboot=True)

    def figures(self) -> dict[str, object]:
        """Transactions and failures of the bus."""
        failures = {f"bus_{kind}": count for kind, count in sorted(self.bus.failures.items())}
        return {"bus_transactions": self.bus.transactions, "bus_fast_read": self._reader.fast, **failures}

    # torque

    def _by_id(self, values: np.ndarray, which: Flags) -> dict[int, int]:
        return {self._ids[i]: int(values[i]) for i in np.flatnonzero(which)}

    def _switch_on(self, which: Flags) -> Counts:
        """Goals to where the servos stand, then torque on, each read back: a goal of yesterday would make them jump.

        Returns:
            (joints,) what the servos count less from now on: with torque on they count within one turn, without it on
            and on [ticks].

        Raises:
            BackendError: a servo did not take its goal, did not switch on, or would pull its joint far.
        """
        ticks = self._positions(self._reader.read())
        turns = np.where(which, ticks - ticks % TICKS_PER_REVOLUTION, 0)
        start = np.clip(ticks - turns, self._low, self._high)
        self._check_start(np.where(which, np.abs(start - (ticks - turns)), 0), ticks)
        self._set(self._goal, self._by_id(start, which), "look at it with `rosac bus check`")
        # Counts as on from here: what is not confirmed must be switched off again.
        self._torque_on |= which
        self._set(self._torque, self._by_id(which, which), "a hardware error? safety/reset reboots it")
        return turns

    def _check_start(self, pulled: Counts, ticks: Counts) -> None:
        """Who looked before it was to be switched on may have looked too early."""
        i = int(np.argmax(pulled))
        if pulled[i] > self._margin:
            raise BackendError(
                f"{self._servos[i]}: switched on at tick {ticks[i]} it would turn by {pulled[i]} ticks into its range, "
                f"{self._low[i]} .. {self._high[i]}, limit {self._margin}: move it into its range by hand, then call "
                "safety/reset"
            )

    def _switch_off(self, which: Flags) -> None:
        """All at once, then each asked whether it is off. A port that has closed is opened for that moment."""
        if self.bus.is_open:
            self._say_off(which)
            return
        self.bus.open()
        try:
            self._say_off(which)
        finally:
            self.bus.close(self._closed)

    def _say_off(self, which: Flags) -> None:
        stops_ms = 1e3 * self._watchdog_ticks * WATCHDOG_UNIT_S
        off = self._by_id(np.zeros_like(self._low), which)
        self._told &= ~which
        remedy = f"cut the power; its bus watchdog stops it {stops_ms:g} ms after the last instruction"
        try:
            self._set(self._torque, off, remedy)
        except BackendError:
            self.bus.sync_write(self._torque, off)  # the last word, should the others have been lost
            raise
        self._torque_on &= ~which
