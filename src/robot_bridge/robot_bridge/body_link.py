"""Readings of the body's sensors: put together with those of the joints, and watched. No ROS and no clock."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from robot_bridge.backend import RobotState
from robot_bridge.body_limits import BodyLimits
from robot_bridge.body_state import BodyState, Vector, imu_problem, odometry_problem, upright


class ImuReading(NamedTuple):
    """One message of imu/data."""

    time_ns: int
    quaternion: Vector  # (4,) w, x, y, z
    angular_velocity_rad_s: Vector  # (3,) in the body's frame
    linear_acceleration_m_s2: Vector  # (3,) in the body's frame
    missing: tuple[str, ...] = ()  # which of them its sensor does not measure


class OdometryReading(NamedTuple):
    """One message of odom."""

    time_ns: int
    position_m: Vector  # (3,) in the world
    quaternion: Vector  # (4,) w, x, y, z: from the body's frame to the world's
    velocity_m_s: Vector  # (3,) in the body's frame (REP-105: child_frame_id)
    angular_velocity_rad_s: Vector  # (3,) there, too; nobody needs it


def imu_of(body: BodyState) -> ImuReading:
    """What an inertial sensor reads of a body."""
    return ImuReading(body.time_ns, body.quaternion, body.angular_velocity_rad_s, body.linear_acceleration_m_s2)


def odometry_of(body: BodyState) -> OdometryReading:
    """What odometry reads of a body."""
    return OdometryReading(
        body.placed_ns,
        body.position_m,
        body.quaternion if body.odometry_quaternion is None else body.odometry_quaternion,
        body.linear_velocity_m_s,
        body.angular_velocity_rad_s if body.odometry_rates_rad_s is None else body.odometry_rates_rad_s,
    )


def shows_the_same(reading: ImuReading, before: ImuReading) -> bool:
    """Whether both have the same values to the bit, whatever their stamps say."""
    return all(np.array_equal(new, old) for new, old in zip(reading[1:4], before[1:4], strict=True))


class BodyWatch:
    """Judges what comes in from the body's sensors: good values, no jumps, no silence.

    Args:
        limits: the block `robot.body`.
        now_s: steady time [s]; silence counts from here.
        real: whether a real inertial sensor is read: its noise leaves no two readings the same to the bit. A simulated
            body may stand still.
    """

    def __init__(self, limits: BodyLimits, now_s: float, real: bool = False) -> None:
        self._limits, self._real = limits, real
        self._frozen = False  # whether the inertial sensor's values stay the same under new stamps
        self._imu: ImuReading | None = None
        self._odometry: OdometryReading | None = None
        self._imu_s = self._odometry_s = now_s
        self._bad: dict[str, tuple[str, float]] = {}  # what was wrong with a topic's reading, and when it came

    def imu(self, reading: ImuReading, now_s: float) -> bool:
        """Take a reading; returns whether it can be used. One that cannot is as good as none."""
        problem = imu_problem(*reading[1:])
        if problem:
            self._bad["imu/data"] = problem, now_s
        elif self._imu is None or reading.time_ns != self._imu.time_ns:
            self._frozen = self._real and self._imu is not None and shows_the_same(reading, self._imu)
            if not self._frozen:
                self._imu, self._imu_s = reading, now_s
        return not problem

    def odometry(self, reading: OdometryReading, now_s: float) -> bool:
        """Take a reading; returns whether it can be used. After a jump the next ones count from the new place."""
        before = self._odometry
        # A clock that was set back is no excuse for a jump.
        elapsed_s = 0.0 if before is None else abs(reading.time_ns - before.time_ns) * 1e-9
        known = before.position_m if before is not None and elapsed_s > 0.0 else None
        problem = odometry_problem(*reading[1:4], known, elapsed_s, self._limits.fastest_m_s)
        if problem:
            self._bad["odom"] = problem, now_s
        finite = bool(np.isfinite(reading.position_m).all())
        if finite and (before is None or reading.time_ns != before.time_ns):
            self._odometry, self._odometry_s = reading, now_s
        return not problem

    def put_back(self) -> None:
        """Somebody moved the robot: the next place is no jump, and how it lay is over."""
        self._imu = self._odometry = None
        self._bad.clear()

    def problem(self, now_s: float, joints_ns: int | None = None) -> str:
        """Why the body's state cannot be trusted; empty: it can.

        A bad reading counts as long as its topic may be silent, however many good ones follow it: sensors are faster
        than those who ask, and none must miss it.

        Args:
            now_s: steady time [s].
            joints_ns: time of the joints' newest reading [ns]; None: stamps are not compared.
        """
        pauses = (
            ("imu/data", self._imu, now_s - self._imu_s, self._limits.imu_timeout_s),
            ("odom", self._odometry, now_s - self._odometry_s, self._limits.odometry_timeout_s),
        )
        for topic, *_, limit_s in pauses:
            problem, since_s = self._bad.get(topic, ("", 0.0))
            if problem and now_s - since_s <= limit_s:
                return problem
        for topic, reading, silent_s, limit_s in pauses:
            if silent_s > limit_s:
                frozen = topic == "imu/data" and self._frozen
                last = f"{'shows the same values to the bit' if frozen else 'is silent'} for {silent_s:.3f} s"
                last = "was never heard" if reading is None else last
                return f"{topic} {last}, limit {limit_s:g} s: start its driver, look at its cable"
            if reading is not None and joints_ns is not None and (problem := self._apart(reading.time_ns - joints_ns)):
                return f"{topic} {problem}"
        return ""

    def _apart(self, ahead_ns: int) -> str:
        """What is wrong with a stamp that is so far ahead of the joints'."""
        limit_s = self._limits.stamp_tolerance_s
        if abs(ahead_ns) <= limit_s * 1e9:
            return ""
        return (
            f"is stamped {abs(ahead_ns) * 1e-9:.3f} s {'after' if ahead_ns > 0 else 'before'} the joints, limit "
            f"{limit_s:g} s: its readings come late, or are stamped by another clock (set the computers' clocks, then "
            "start the bridge anew)"
        )

    def arm_problem(self) -> str:
        """Why the robot must not be armed as it lies there; empty: it may."""
        if self._imu is None:
            return "imu/data was never heard: start its driver"
        up = upright(self._imu.quaternion)
        if up >= self._limits.arm_upright:
            return ""
        return (
            f"the robot lies with {up:.2f} of its z axis up, at least {self._limits.arm_upright:g} is needed: set "
            "it on its feet"
        )

    def body(self) -> BodyState | None:
        """The newest readings as one state; None: one of them is missing."""
        imu, odometry = self._imu, self._odometry
        if imu is None or odometry is None:
            return None
        return BodyState(
            *imu[:4],
            odometry.position_m,
            odometry.velocity_m_s,
            odometry.time_ns,
            odometry.quaternion,
            odometry.angular_velocity_rad_s,
        )

    @property
    def times_ns(self) -> tuple[int | None, int | None]:
        """Times of the newest usable readings: inertial, odometry."""
        return (
            None if self._imu is None else self._imu.time_ns,
            None if self._odometry is None else self._odometry.time_ns,
        )


class BodyJoiner:
    """Joins joint states with the readings of the body.

    In lockstep the three have one time, and a state is complete when all have come. In real time each joint state takes
    the newest readings, if none of them is too old.

    Args:
        watch: takes the readings.
        lockstep: time base.
    """

    def __init__(self, watch: BodyWatch, lockstep: bool) -> None:
        self.watch, self._lockstep = watch, lockstep
        self._waiting: RobotState | None = None
        self._joints_ns: int | None = None  # time of the newest joint state

    def joints(self, state: RobotState, now_s: float) -> RobotState | None:
        """The state with its body, or None: it is not complete yet (lockstep), or cannot be used (real time)."""
        self._joints_ns = state.time_ns
        if not self._lockstep:
            body = None if self.watch.problem(now_s, state.time_ns) else self.watch.body()
            return None if body is None else dataclasses.replace(state, body=body)
        self._waiting = state
        return self.complete()

    def problem(self, now_s: float) -> str:
        """Why there is no whole state in real time."""
        missing = [name for name, at_ns in zip(("imu/data", "odom"), self.watch.times_ns, strict=True) if at_ns is None]
        return self.watch.problem(now_s, self._joints_ns) or f"{' and '.join(missing) or 'the body'}: not heard yet"

    def complete(self) -> RobotState | None:
        """Lockstep, after a reading: the state that was waiting for it."""
        state = self._waiting
        if state is None or self.watch.times_ns != (state.time_ns, state.time_ns):
            return None
        self._waiting = None
        return dataclasses.replace(state, body=self.watch.body())
