"""Servos and joints together: goals become torque, motion becomes registers, load becomes warmth. Time is given."""

from __future__ import annotations

import collections
import math
import struct
from collections.abc import Sequence

import numpy as np

from robot_bridge.backend import Vector
from robot_bridge.body_state import BodyState
from robot_bridge.dynamixel.control_table import (
    FULL_PWM,
    TICKS_PER_REVOLUTION,
    VELOCITY_UNIT_RAD_S,
    VOLTAGE_UNIT_V,
    WATCHDOG_UNIT_S,
)
from robot_bridge.emulator.plant import MovablePlant, Plant
from robot_bridge.emulator.present import show_present
from robot_bridge.emulator.rules import CURRENT_BASED_POSITION
from robot_bridge.emulator.servo import RAD_PER_TICK, Notice, Servo
from robot_bridge.robot import RobotSettings

AMBIENT_C = 25.0
# Own figures, chosen so that a stalled servo reaches its limit in minutes and cools in about ten: no source gives them.
HEATING_C_PER_S_AT_LIMIT = 0.5
COOLING_TIME_S = 300.0
# Time at the limit that counts as overload (own figure; the e-manual gives no curve).
OVERLOAD_S = 1.0
_OVERLOAD_SHARE = 0.98
_VOLTAGE, _OVERHEATING, _OVERLOAD = 0, 2, 5  # bits of register hardware_error_status
# Physics steps between two looks at warmth and watchdogs, when no goal moves by itself.
_STEPS_AT_ONCE = 8
# Registers goal_position and present_position, with what lies between.
_READING_ADDRESS, _READING = 116, struct.Struct("<i12xi")
# At 100 Hz those of the last minute.
_READINGS_KEPT = 6000


class Drives:
    """Args:
    robot: directions, offsets, gains and the block `servos`.
    plant: the joints.
    servos: one per joint.
    notice: what the servos tell.
    """

    def __init__(self, robot: RobotSettings, plant: Plant, servos: Sequence[Servo], notice: Notice) -> None:
        self.plant, self.servos, self._notice = plant, servos, notice
        self._direction = np.array([*robot.direction, *robot.auxiliary_direction], dtype=float)
        self._offset = np.array([*robot.position_offset_rad, *robot.auxiliary_position_offset_rad])
        self._kp = plant.gains_nm_rad.copy()
        self._torque_constant = np.array(robot.servos.torque_constant_nm_a)
        self._stall_a = np.array(robot.servos.stall_current_a)
        # A motor gives nothing at the speed that it reaches without load, a register's default (within 2%, e-manual).
        limits = [servo.model.register("velocity_limit").default for servo in servos]
        self._fastest_rad_s = VELOCITY_UNIT_RAD_S * np.array(limits)
        self._loss_nm_s = self._torque_constant * self._stall_a / self._fastest_rad_s
        self._nominal_voltage_v = robot.servos.voltage_v
        count = len(servos)
        self.temperature_c = np.full(count, AMBIENT_C)
        self.voltage_v = np.full(count, self._nominal_voltage_v)
        self._at_limit_s = np.zeros(count)
        self.now_s = 0.0
        self.left_out_s = 0.0  # time that the servos' own clocks have passed and the plant has not
        # Time on the servos' clock [s] and what each servo held and showed.
        self._readings: collections.deque[tuple[float, list[bytes]]] = collections.deque(maxlen=_READINGS_KEPT)
        self._read_settings()
        self._fresh = False
        self.refresh()
        for servo in servos:
            servo.stay()

    # time

    def advance(self, until_s: float, fed: bool = False) -> None:
        """Let the plant run until that time, in whole steps of it.

        Args:
            until_s: time at the end [s].
            fed: the bus watchdogs hear of no silence, as if instructions came all the time.
        """
        step_s = self.plant.time_step_s
        steps = int((until_s - self.now_s) / step_s + 1e-6)
        while steps > 0:
            moving = [servo for servo in self.servos if servo.profile is not None and servo.drives]
            chunk = 1 if moving else min(steps, _STEPS_AT_ONCE)
            self._command(moving, step_s)
            self.plant.advance(chunk * step_s)
            self._fresh = False
            self.now_s += chunk * step_s
            steps -= chunk
            for servo in self.servos if fed else ():
                servo.last_instruction_s = self.now_s
            self._watch()
            self._age(chunk * step_s)

    def _command(self, moving: Sequence[Servo], step_s: float) -> None:
        """Give the plant what the servos want, when that has changed."""
        notice = self._notice
        if notice.settings:
            self._read_settings()
        if not notice.motion and not moving:
            return
        notice.motion = False
        for servo in moving:
            if servo.profile is not None and servo.profile.advance(step_s):
                servo.profile = None
        angles = [
            (servo.get("goal_position") if servo.profile is None else servo.profile.position_rad / RAD_PER_TICK)
            - servo.offset_ticks
            for servo in self.servos
        ]
        self.plant.write(
            self._direction * angles * RAD_PER_TICK + self._offset, np.array([servo.drives for servo in self.servos])
        )

    def _read_settings(self) -> None:
        """Registers that seldom change: gains and limits."""
        self._notice.settings = False
        servos = self.servos
        share = [servo.get("position_p_gain") / servo.model.register("position_p_gain").default for servo in servos]
        self._limit_a = np.array([_most_a(servo, self._stall_a[servo.place]) for servo in servos])
        self._hottest_c = np.array([servo.get("temperature_limit") for servo in servos])
        self._lowest_v = VOLTAGE_UNIT_V * np.array([servo.get("min_voltage_limit") for servo in servos]) - 1e-9
        self._highest_v = VOLTAGE_UNIT_V * np.array([servo.get("max_voltage_limit") for servo in servos]) + 1e-9
        self._homing_ticks = np.array([servo.offset_ticks for servo in servos])
        self._moving_speed = [servo.get("moving_threshold") for servo in servos]
        self.plant.set_gains(self._kp * share)
        self.plant.set_effort_limits(self._limit_a * self._torque_constant, self._loss_nm_s)

    def randomise(self, seed: int) -> None:
        """Draw the plant's dynamics anew, gains included."""
        self.plant.randomise(np.random.default_rng(seed))
        self._kp = self.plant.gains_nm_rad.copy()
        self._notice.settings = True

    def put_back(self) -> None:
        """Set the robot on its mark; the servos then pull towards their goals from there.

        Raises:
            ValueError: it does not move about.
        """
        if not isinstance(self.plant, MovablePlant):
            raise ValueError("this robot does not move about: its robot file names no model that does")
        self.plant.put_back()
        self._notice.motion = True
        self._fresh = False

    def body(self) -> BodyState:
        """How the robot's body moves now; its time is the plant's.

        Raises:
            ValueError: it does not move about.
        """
        body = self.plant.read().body
        if body is None:
            raise ValueError("this robot does not move about: its robot file names no model that does")
        return body

    # what happens by itself

    def _watch(self) -> None:
        """Trip the bus watchdogs of servos with torque that heard no instruction for too long."""
        for servo in self.servos:
            ticks = servo.watchdog
            if ticks > 0 and servo.torque_on and self.now_s - servo.last_instruction_s > ticks * WATCHDOG_UNIT_S:
                self.refresh()
                self.tell_time(self.now_s)
                servo.stop_by_watchdog(self.now_s)

    def _age(self, elapsed_s: float) -> None:
        """Warmth, overload and voltage, and the hardware errors that come of them."""
        current_a = np.abs(self.plant.read().effort_nm) / self._torque_constant
        share = current_a / self._limit_a
        warmer = HEATING_C_PER_S_AT_LIMIT * share**2 - (self.temperature_c - AMBIENT_C) / COOLING_TIME_S
        self.temperature_c += elapsed_s * warmer
        self._at_limit_s = np.where(share > _OVERLOAD_SHARE, self._at_limit_s + elapsed_s, 0.0)
        for bit, wrong in (
            (_OVERLOAD, self._at_limit_s > OVERLOAD_S),
            (_OVERHEATING, self.temperature_c > self._hottest_c),
            (_VOLTAGE, (self.voltage_v < self._lowest_v) | (self.voltage_v > self._highest_v)),
        ):
            if wrong.any():
                for place in np.flatnonzero(wrong):
                    self.servos[place].raise_error(bit)

    def forget_load(self, place: int) -> None:
        """A servo that starts anew has no history of load."""
        self._at_limit_s[place] = 0.0

    def warm(self, place: int, celsius: float) -> None:
        """A servo is that warm from now on, whatever it does."""
        self.temperature_c[place] = celsius
        self._fresh = False

    def supply(self, place: int, volts: float) -> None:
        """A servo is supplied with that voltage."""
        self.voltage_v[place] = volts
        self._fresh = False

    def restore_voltage(self) -> None:
        """The supply gives what it should."""
        self.voltage_v[:] = self._nominal_voltage_v
        self._fresh = False

    # what the registers show

    def refresh(self) -> None:
        """Bring the present registers up to date, but for the servos' clocks."""
        if self._notice.single_turn:
            self._count_turns_anew()
        if self._fresh:
            return
        self._fresh = True
        if self._notice.settings:
            self._read_settings()
        state = self.plant.read()
        ticks = np.rint(self._own_angle(state.position_rad) / RAD_PER_TICK).astype(int) + self._homing_ticks
        velocity_rad_s = self._direction * state.velocity_rad_s
        speeds = np.rint(velocity_rad_s / VELOCITY_UNIT_RAD_S).astype(int).tolist()
        current_a = self._direction * state.effort_nm / self._torque_constant
        # Of the supply: what drives the current, and what the motor's own turning takes.
        outputs = np.clip(current_a / self._stall_a + velocity_rad_s / self._fastest_rad_s, -1.0, 1.0).tolist()
        volts = np.rint(self.voltage_v / VOLTAGE_UNIT_V).astype(int).tolist()
        warmth = np.rint(self.temperature_c).astype(int).tolist()
        columns = ticks.tolist(), speeds, current_a.tolist(), outputs, volts, warmth
        for servo, *values in zip(self.servos, *columns, strict=True):
            show_present(servo, self._moving_speed[servo.place], *values)

    def tell_time(self, now_s: float) -> None:
        """It is that time of the bus [s]: the servos' own clocks show it, which no machine stops."""
        self._notice.clock_s = now_s + self.left_out_s
        for servo in self.servos:
            servo.show_time()

    def _own_angle(self, position_rad: Vector) -> Vector:
        return self._direction * (position_rad - self._offset)

    def _count_turns_anew(self) -> None:
        """Present position is counted from 0 to 4095 again when torque or operating mode are switched, and at start
        (e-manual, torque_enable). The joint stands where it stood: a hinge that is turned by whole turns is the same.
        """
        state = self.plant.read()
        ticks = np.rint(self._own_angle(state.position_rad) / RAD_PER_TICK)
        turns = np.floor(ticks / TICKS_PER_REVOLUTION)
        for place in self._notice.single_turn:
            if turns[place]:
                self.plant.turn_back(place, self._direction[place] * turns[place] * 2.0 * math.pi)
                self._fresh = False
        self._notice.single_turn.clear()

    def note_reading(self) -> None:
        """The servos are asked together: what they show and hold now."""
        blocks = [servo.block(_READING_ADDRESS, _READING.size) for servo in self.servos]
        self._readings.append((self._notice.clock_s, blocks))

    def take_readings(self) -> list[tuple[float, list[float], list[float]]]:
        """What was read since the last call, or in the last minute: when [s, on the servos' clock], position and goal
        of each joint [rad]."""
        told = []
        for at_s, blocks in self._readings:
            held, shown = zip(*map(_READING.unpack, blocks), strict=True)
            told.append((at_s, self._joints_rad(shown), self._joints_rad(held)))
        self._readings.clear()
        return told

    def _joints_rad(self, ticks: Sequence[int]) -> list[float]:
        return [self._joint_rad(place, count) for place, count in enumerate(ticks)]

    def _joint_rad(self, place: int, ticks: int) -> float:
        own_rad = (ticks - self.servos[place].offset_ticks) * RAD_PER_TICK
        return float(self._direction[place] * own_rad + self._offset[place])

    def status(self) -> dict[str, object]:
        """Joints and servos, for tests and people; times are the bus' own [s]."""
        state = self.plant.read()
        return {
            "time_s": self.now_s,
            "time_step_s": self.plant.time_step_s,
            "position_rad": state.position_rad.tolist(),
            "velocity_rad_s": state.velocity_rad_s.tolist(),
            "servos": [
                {
                    "id": servo.identifier,
                    "torque_on": servo.torque_on,
                    "goal_rad": self._joint_rad(servo.place, servo.get("goal_position")),
                    "temperature_c": float(self.temperature_c[servo.place]),
                    "voltage_v": float(self.voltage_v[servo.place]),
                    "hardware_error": servo.get("hardware_error_status"),
                    "bus_watchdog": servo.watchdog,
                    "torque_off_s": servo.torque_off_s,
                    "watchdog_tripped_s": servo.tripped_s,
                }
                for servo in self.servos
            ],
        }


def _most_a(servo: Servo, stall_a: float) -> float:
    """What it may draw [A]: its part of what it draws at full PWM; the current registers count in their own mode only
    (e-manual: current_limit, goal_current)."""
    pwm = min(servo.get("pwm_limit"), abs(servo.get("goal_pwm")))
    limit_a = stall_a * pwm / FULL_PWM
    if servo.get("operating_mode") == CURRENT_BASED_POSITION:
        current = min(servo.get("current_limit"), abs(servo.get("goal_current")))
        limit_a = min(limit_a, current * servo.model.current_unit_a)
    return max(limit_a, 1e-9)
