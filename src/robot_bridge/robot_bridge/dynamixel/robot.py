"""A robot of Dynamixel servos: one sync read and one sync write a control period, slow registers in between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from robot_bridge.backend import BackendError, ConnectionLostError, Flags, ReadError, RobotHealth, RobotState, Vector
from robot_bridge.dynamixel.bus import DynamixelBus
from robot_bridge.dynamixel.connection import reboot_faulty, repeat, servos_of, set_up, watchdog_ticks
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.dynamixel.units import Units
from robot_bridge.robot import RobotSettings

# Registers present_current, present_velocity, present_position, and the two bytes of present_pwm before them: reads of
# either length take turns, so that a late answer to the read before is recognised by its length.
_ADDRESS, _SIZE, _END = 126, 10, 136
_EXTRA_BYTES = 2
# Registers present_input_voltage and present_temperature, side by side.
_SLOW_ADDRESS, _SLOW_SIZE = 144, 3
# Torque-off is sent so often: nobody answers a sync write, and single packets are lost.
_OFF_REPEATS = 3


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
        self._goal = self._servos[0].model.register("goal_position")
        self._torque = self._servos[0].model.register("torque_enable")
        low = [servo.settings["min_position_limit"] for servo in self._servos]
        high = [servo.settings["max_position_limit"] for servo in self._servos]
        self._low, self._high = np.array(low), np.array(high)
        count = len(self._ids)
        self._torque_on = np.zeros(count, dtype=bool)
        self._ticks = np.zeros(count, dtype=np.int64)  # present positions of the newest read
        self._fast = False
        self._fast_failures = 0
        self._extra = 0
        self._next_health = 0
        self._forget_health()

    def _forget_health(self) -> None:
        count = len(self._ids)
        self._health = RobotHealth(
            np.full(count, np.nan), np.full(count, np.nan), np.zeros(count, np.uint8), np.full(count, -np.inf)
        )

    # RobotBackend

    def open(self) -> None:
        """Connect, check and set every servo up; torque off."""
        self.bus.open()
        self._fast = set_up(self.bus, self._servos, self._watchdog_ticks) and self._settings.fast_read
        self._torque_on[:] = False
        self._forget_health()

    def close(self) -> None:
        """Torque off, then close the port. A port that is gone needs no torque-off: the bus watchdog does it."""
        try:
            if self.bus.is_open:
                self._switch_off(np.ones_like(self._torque_on))
        except ConnectionLostError:
            self._torque_on[:] = False
        finally:
            self.bus.close()

    def read(self) -> RobotState:
        """One sync read of position, velocity and current."""
        time_ns = self._epoch_ns + round(self._clock() * 1e9)
        answers = self._sync_read()
        raw = np.frombuffer(b"".join(answers[identifier] for identifier in self._ids), dtype=np.uint8)
        raw = raw.reshape(len(self._ids), -1)[:, -_SIZE:]
        current = np.ascontiguousarray(raw[:, 0:2]).view("<i2")[:, 0].astype(np.int64)
        velocity = np.ascontiguousarray(raw[:, 2:6]).view("<i4")[:, 0].astype(np.int64)
        self._ticks = np.ascontiguousarray(raw[:, 6:10]).view("<i4")[:, 0].astype(np.int64)
        current_a = self._units.current_a(current)
        return RobotState(
            time_ns,
            self._units.position_rad(self._ticks),
            self._units.velocity_rad_s(velocity),
            self._units.effort_nm(current_a),
            current_a,
        )

    def _sync_read(self) -> dict[int, bytes]:
        """The read, once more after a failure if there is time for that."""
        for retries_left in range(self._settings.read_retries, -1, -1):
            self._extra = _EXTRA_BYTES - self._extra
            address, size = _END - _SIZE - self._extra, _SIZE + self._extra
            try:
                answers = self.bus.sync_read(self._ids, address, size, self._fast)
                self._fast_failures = 0
                return answers
            except ReadError:
                self._note_fast_failure()
                if not retries_left:
                    raise
        raise AssertionError

    def _note_fast_failure(self) -> None:
        """Mixed buses and some adapters never complete a fast read: after a few failures it is given up for good."""
        if self._fast:
            self._fast_failures += 1
            self._fast = self._fast_failures < self._settings.fast_read_failures

    def write(self, goals_rad: Vector, torque_on: Flags) -> None:
        """Torque off where it goes off, then goals, then torque on where it goes on: nothing jumps."""
        off, on = self._torque_on & ~torque_on, torque_on & ~self._torque_on
        if off.any():
            self._switch_off(off)
        goals = np.clip(self._units.ticks(goals_rad), self._low, self._high)
        if on.any():
            # The servo's goal is set to where it stands before its torque comes on.
            start = np.clip(self._ticks, self._low, self._high)
            self.bus.sync_write(self._goal, self._by_id(start, on))
            self._switch_on(on)
        if torque_on.any():
            self.bus.sync_write(self._goal, self._by_id(goals, torque_on))

    def poll_health(self) -> RobotHealth:
        """Voltage, temperature and, after an alert, the hardware error of one more servo."""
        alerted = [i for i, identifier in enumerate(self._ids) if identifier in self.bus.alerts]
        place = next((i for i in alerted if not self._health.hardware_error[i]), self._next_health)
        if place == self._next_health:
            self._next_health = (self._next_health + 1) % len(self._ids)
        servo = self._servos[place]
        data = self.bus.read_bytes(servo.identifier, _SLOW_ADDRESS, _SLOW_SIZE, "voltage and temperature")
        error = 0
        if servo.identifier in self.bus.alerts:
            error = self.bus.read(servo.identifier, servo.model.register("hardware_error_status"))
        health = self._health
        health.voltage_v[place] = 0.1 * int.from_bytes(data[:2], "little")
        health.temperature_c[place] = data[2]
        health.hardware_error[place] = error
        health.read_s[place] = self._clock()
        return health

    def recover(self) -> None:
        """Open the port anew if it was lost, reboot servos with hardware errors, set everything up again."""
        self.bus.open()
        reboot_faulty(self.bus, self._servos)
        self.open()

    def figures(self) -> dict[str, object]:
        """Transactions and failures of the bus."""
        failures = {f"bus_{kind}": count for kind, count in sorted(self.bus.failures.items())}
        return {"bus_transactions": self.bus.transactions, "bus_fast_read": self._fast, **failures}

    # torque

    def _by_id(self, values: np.ndarray, which: Flags) -> dict[int, int]:
        return {self._ids[i]: int(values[i]) for i in np.flatnonzero(which)}

    def _switch_on(self, which: Flags) -> None:
        """One by one and with an answer: a servo with a latched error refuses."""
        for i in np.flatnonzero(which):
            repeat(lambda i=i: self.bus.write(self._ids[i], self._torque, 1))
            self._torque_on[i] = True

    def _switch_off(self, which: Flags) -> None:
        """All at once, then each asked whether it is off.

        Raises:
            BackendError: a servo does not confirm that its torque is off.
        """
        values = {self._ids[i]: 0 for i in np.flatnonzero(which)}
        unsure = list(values)
        for _ in range(_OFF_REPEATS):
            self.bus.sync_write(self._torque, values)
            unsure = [identifier for identifier in unsure if not self._is_off(identifier)]
            if not unsure:
                self._torque_on[which] = False
                return
        raise BackendError(
            f"servos {unsure} do not confirm that their torque is off: cut the power. Their bus watchdog stops them "
            f"{self._watchdog_ticks * 20} ms after the last instruction"
        )

    def _is_off(self, identifier: int) -> bool:
        with contextlib.suppress(ReadError):
            return self.bus.read(identifier, self._torque) == 0
        return False
