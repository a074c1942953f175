"""Watches what is measured and who must beat. Knows no ROS and no clock; the gate decides what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from robot_bridge.backend import UNREAD_ERROR, Flags, RobotHealth, RobotState, Vector
from robot_bridge.causes import Cause
from robot_bridge.dynamixel.control_table import describe_errors
from robot_bridge.robot import RobotSettings

# A cause, and value, limit and remedy in words.
Problem = tuple[Cause, str]
# Register hardware_error_status; motors of other kinds report their heat as servos do.
_OVERHEATING = 1 << 2
# Between two tries to read a slow value.
_LONGEST_PAUSE_S = 1.0


class JointMonitor:
    """Measured values against the limits of the robot file. Only joints under torque are judged.

    Args:
        robot: the robot file.
        fastest_rad_s: (joints,) speed above which a joint stops the robot [rad/s].
    """

    def __init__(self, robot: RobotSettings, fastest_rad_s: Sequence[float]) -> None:
        self._fastest_rad_s = np.array(fastest_rad_s)
        self._limits, self._names = robot.safety, robot.all_joint_names
        self._low = np.array([*robot.position_min_rad, *robot.auxiliary_position_min_rad])
        self._high = np.array([*robot.position_max_rad, *robot.auxiliary_position_max_rad])
        self._hottest_c = np.array(robot.hottest_c)
        self._read_s = np.full(len(self._names), -np.inf)  # when each temperature was read, as the robot tells it
        self._unread_s = np.zeros(len(self._names))  # for how long it was not read anew
        self._polled_s: float | None = None
        self._own = np.arange(len(self._names)) < len(robot.joint_names)
        self._current_a = robot.safety.current_stop_share * np.array(robot.servos.current_limit_a)
        self._full_a = [
            None if model.current_unit_a else stall_a
            for model, stall_a in zip(robot.servos.models, robot.servos.stall_current_a, strict=True)
        ]  # of those that measure a load
        self._too_much_since_ns: int | None = None
        # Which joints were too fast at the reading before.
        self._was_fast = np.zeros(len(self._names), dtype=bool)
        self._first_fast_ns = np.zeros(len(self._names), dtype=np.int64)  # robot time of the first reading of that kind

    def problems(self, state: RobotState, torque_on: Flags) -> Iterator[Problem]:
        """What is wrong with a new state. Time is the robot's: in lockstep it stands still while a machine is busy."""
        yield from self._range(state, torque_on, self._limits.position_margin_rad)
        yield from self._speed(state, torque_on)
        yield from self._current(state, torque_on)

    def arm_problems(self, state: RobotState) -> Iterator[Problem]:
        """Why the robot must not be armed where it stands."""
        return self._range(state, self._own, self._limits.arming_margin_rad)

    def _range(self, state: RobotState, which: Flags, margin_rad: float) -> Iterator[Problem]:
        position = state.position_rad
        excess = np.maximum(self._low - position, position - self._high)
        outside = which & (excess > margin_rad)
        if outside.any():
            i = int(np.argmax(np.where(which, excess, -np.inf)))
            yield (
                Cause.JOINT_RANGE,
                f"joint '{self._names[i]}' is at {position[i]:.3f} rad, {excess[i]:.3f} outside its range "
                f"{self._low[i]:g} .. {self._high[i]:g}, limit {margin_rad:g}: move it back by hand, or correct its "
                "offset with `rosac bus calibrate`",
            )

    def _speed(self, state: RobotState, torque_on: Flags) -> Iterator[Problem]:
        speed = np.abs(state.velocity_rad_s)
        fast = torque_on & (speed > self._fastest_rad_s)
        self._first_fast_ns = np.where(fast & self._was_fast, self._first_fast_ns, state.time_ns)
        self._was_fast = fast
        for_s = np.where(fast, 1e-9 * (state.time_ns - self._first_fast_ns), -1.0)
        i = int(np.argmax(for_s))
        if for_s[i] >= self._limits.speed_time_s:
            yield (
                Cause.JOINT_SPEED,
                f"joint '{self._names[i]}' moves at {speed[i]:.2f} rad/s for {for_s[i]:.2f} s, limit "
                f"{self._fastest_rad_s[i]:g} rad/s for {self._limits.speed_time_s:g} s: look for slipping gears, a "
                "wrong model or wrong gains",
            )

    def _current(self, state: RobotState, torque_on: Flags) -> Iterator[Problem]:
        if state.current_a is None:
            return
        excess = np.where(torque_on, np.abs(state.current_a) - self._current_a, -np.inf)
        i = int(np.argmax(excess))
        if excess[i] <= 0.0:
            self._too_much_since_ns = None
            return
        if self._too_much_since_ns is None:
            self._too_much_since_ns = state.time_ns
        for_s = 1e-9 * (state.time_ns - self._too_much_since_ns)
        if for_s > self._limits.current_time_s:
            full_a = self._full_a[i]
            verb, unit, scale = ("draws", " A", 1.0) if full_a is None else ("pushes with", "% load", 100.0 / full_a)
            yield (
                Cause.MOTOR_CURRENT,
                f"joint '{self._names[i]}' {verb} {scale * abs(state.current_a[i]):.3g}{unit} for {for_s:.2f} s, limit "
                f"{scale * self._current_a[i]:.3g}{unit} for {self._limits.current_time_s:g} s: what blocks it?",
            )

    def strained(self, state: RobotState) -> Flags:
        """Which joints (joints,) are above their limit of current, for however short a time."""
        if state.current_a is None:
            return np.zeros(len(self._names), dtype=bool)
        return np.abs(state.current_a) > self._current_a

    def health_problems(self, health: RobotHealth, torque_on: Flags, now_s: float) -> Iterator[Problem]:
        """What is wrong with the slow values: the newest ones, as they are after each try to read one more."""
        excess_k = np.nan_to_num(health.temperature_c, nan=-np.inf) - self._hottest_c
        i, old = int(np.argmax(excess_k)), self._old_temperature(health, torque_on, now_s)
        if excess_k[i] > 0.0:
            yield (
                Cause.TEMPERATURE,
                f"joint '{self._names[i]}' is at {health.temperature_c[i]:.0f} C, limit {self._hottest_c[i]:g} C: "
                "let it cool down, then call safety/reset",
            )
        elif old:
            yield Cause.TEMPERATURE, old
        if health.hardware_error.any():
            i = int(np.argmax(health.hardware_error))
            bits = int(health.hardware_error[i])
            yield (Cause.HARDWARE_ERROR, f"joint '{self._names[i]}' reports {_hardware_error(bits)}")

    def _old_temperature(self, health: RobotHealth, torque_on: Flags, now_s: float) -> str:
        """Which joint under torque may be hot without anybody knowing; empty: none."""
        # A pause of this process is nobody's silence.
        pause_s = 0.0 if self._polled_s is None else min(now_s - self._polled_s, _LONGEST_PAUSE_S)
        self._polled_s = now_s
        self._unread_s = np.where(health.read_s != self._read_s, 0.0, self._unread_s + pause_s)
        self._read_s = health.read_s.copy()
        unread_s = np.where(torque_on, self._unread_s, 0.0)
        i = int(np.argmax(unread_s))
        if unread_s[i] <= self._limits.temperature_timeout_s:
            return ""
        return (
            f"the temperature of joint '{self._names[i]}' could not be read for {unread_s[i]:.0f} s, limit "
            f"{self._limits.temperature_timeout_s:g} s: see the bus' failures in diagnostics"
        )


def _hardware_error(bits: int) -> str:
    """What a motor has, and the remedy, for motors of every kind."""
    if bits == UNREAD_ERROR:
        return "a hardware error that could not be read yet: safety/reset clears it"
    bits &= ~UNREAD_ERROR
    first = "let it cool down, look for what loads it" if bits & _OVERHEATING else "look for the reason"
    return f"{describe_errors(bits)} (bits {bits:#04x}): {first}, then call safety/reset, which clears it"


class Repeats:
    """Compares each reading with the one before.

    Args:
        joints: number of joints, from the first one on, that are looked at.
    """

    def __init__(self, joints: int) -> None:
        self._reading = np.full((3, joints), np.nan)

    def of(self, state: RobotState) -> Flags:
        """Which joints (joints,) show position, velocity and effort that are the same to the bit as before."""
        joints = self._reading.shape[1]
        reading = np.stack([values[:joints] for values in (state.position_rad, state.velocity_rad_s, state.effort_nm)])
        same = (reading == self._reading).all(axis=0)
        self._reading = reading
        return same


class FrozenReadings:
    """Finds an encoder that shows its last values for ever.

    A joint that is blocked shows the same position too, but its motor pushes more or less as the goal moves. Position,
    velocity and effort that all stay the same to the bit while the goal moves are no measurement, unless the motor
    gives all that it may: then nothing changes either.
    """

    def __init__(self, robot: RobotSettings) -> None:
        self._limits, self._names = robot.safety, robot.all_joint_names
        count = len(self._names)
        self._repeats = Repeats(count)
        self._torque_on = np.zeros(count, dtype=bool)  # at the reading before
        self._lowest_rad, self._highest_rad = np.zeros(count), np.zeros(count)  # goals since it is the same
        self._since_ns = np.zeros(count, dtype=np.int64)  # when the goal had moved far enough

    def problems(self, state: RobotState, goals_rad: Vector, torque_on: Flags, strained: Flags) -> Iterator[Problem]:
        """Which joint under torque, told these goals, does not measure any more. Those that are strained are the
        current limit's to stop."""
        # Goals from before torque came on were nobody's.
        same = torque_on & self._torque_on & self._repeats.of(state) & ~strained
        self._torque_on = torque_on.copy()
        self._lowest_rad = np.where(same, np.minimum(self._lowest_rad, goals_rad), goals_rad)
        self._highest_rad = np.where(same, np.maximum(self._highest_rad, goals_rad), goals_rad)
        moved_rad = self._highest_rad - self._lowest_rad
        unmoved = same & (moved_rad > self._limits.frozen_goal_rad)
        self._since_ns = np.where(unmoved, self._since_ns, state.time_ns)
        frozen_s = (state.time_ns - self._since_ns) * 1e-9
        frozen = frozen_s > self._limits.frozen_time_s
        if frozen.any():
            i = int(np.argmax(np.where(frozen, frozen_s, -np.inf)))
            yield (
                Cause.FROZEN_JOINT,
                f"joint '{self._names[i]}' shows the same position, velocity and effort for {frozen_s[i]:.2f} s, limit "
                f"{self._limits.frozen_time_s:g} s, after its goal moved by {moved_rad[i]:.2f} rad: the servo "
                "does not measure any more: switch its power off and on, look at its encoder",
            )


class Beat:
    """Something that must be heard again and again.

    Args:
        cause: when it is not.
        topic: on which it beats.
        required: whether it must beat from the start; otherwise it must go on once it has begun, as long as this lives.
        timeout_s: longest pause.
    """

    def __init__(self, cause: Cause, topic: str, required: bool, timeout_s: float) -> None:
        self.cause, self._topic, self._required, self._timeout_s = cause, topic, required, timeout_s
        self._last_s: float | None = None
        self._good = True

    def beat(self, now_s: float, good: bool = True) -> None:
        """It was heard; `good` is false when it says that the robot must not move."""
        self._last_s, self._good = now_s, good

    def problem(self, now_s: float) -> str:
        """Why the robot must not move; empty when it may."""
        if self._last_s is None:
            return f"{self._topic} is required and was never heard: start it" if self._required else ""
        if not self._good:
            return f"{self._topic} is false: hold it to move"
        silent_s = now_s - self._last_s
        if silent_s <= self._timeout_s:
            return ""
        remedy = "start it again" if self._required else "start it again, or restart the bridge to go on without it"
        return f"{self._topic} is silent for {silent_s:.2f} s, limit {self._timeout_s:g} s: {remedy}"


class Beats:
    """All that must beat for this robot."""

    def __init__(self, robot: RobotSettings) -> None:
        limits = robot.safety
        self.heartbeat = Beat(
            Cause.HEARTBEAT_LOST, "safety/heartbeat", limits.heartbeat_required, limits.heartbeat_timeout_s
        )
        self.dead_man = Beat(
            Cause.DEAD_MAN_RELEASED, "safety/dead_man", limits.dead_man_required, limits.dead_man_timeout_s
        )
        self.manager = Beat(Cause.MANAGER_LOST, "safety/manager", limits.manager_required, limits.manager_timeout_s)
        self.all = (self.heartbeat, self.dead_man, self.manager)
