"""How a robot's body moves: what an inertial sensor and an odometry or motion-capture system measure."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

# A quaternion through float32 messages is normalised to 1e-7.
QUATERNION_TOLERANCE = 1e-3


def yaw_rad(quaternion: Vector) -> float:
    """About z, in (-pi, pi]; positive: to the left. `quaternion` is w, x, y, z."""
    w, x, y, z = quaternion
    return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def upright(quaternion: Vector) -> float:
    """The part of the body's z axis that points up: 1 upright, -1 upside down. `quaternion` is w, x, y, z."""
    _, x, y, _ = quaternion
    return 1 - 2 * (x * x + y * y)


@dataclasses.dataclass(frozen=True, slots=True)
class BodyState:
    """One reading of the body: by an inertial sensor, and from `position_m` on by odometry. The body's frame: x
    forward, y left, z up; the world's: z up (REP-103).

    Roll and pitch are the inertial sensor's, the heading is the odometry's: an inertial sensor's drifts, and starts
    anywhere, while what is walked is counted in the odometry's world.
    """

    time_ns: int  # robot time of the inertial sensor's reading
    quaternion: Vector  # (4,) w, x, y, z: from the body's frame to the world's
    angular_velocity_rad_s: Vector  # (3,) in the body's frame
    linear_acceleration_m_s2: Vector  # (3,) in the body's frame; +g upwards at rest (REP-145)
    position_m: Vector  # (3,) in the world
    linear_velocity_m_s: Vector  # (3,) in the body's frame (REP-105)
    position_time_ns: int | None = None  # robot time of the odometry; None: that of the inertial sensor
    odometry_quaternion: Vector | None = None  # (4,) the odometry's own orientation; None: that of the inertial sensor
    odometry_rates_rad_s: Vector | None = None  # (3,) its own angular velocity; None: that of the inertial sensor

    @property
    def placed_ns(self) -> int:
        """Robot time of the position: of an odometry that is slower than the inertial sensor."""
        return self.time_ns if self.position_time_ns is None else self.position_time_ns

    @property
    def roll_rad(self) -> float:
        """About the body's x axis, in (-pi, pi]; positive: the right side is down."""
        w, x, y, z = self.quaternion
        return math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))

    @property
    def pitch_rad(self) -> float:
        """About y, in [-pi / 2, pi / 2]; positive: the front is down."""
        w, x, y, z = self.quaternion
        return math.asin(min(1.0, max(-1.0, 2 * (w * y - z * x))))

    @property
    def yaw_rad(self) -> float:
        """About z, in (-pi, pi]; positive: to the left."""
        return yaw_rad(self.quaternion if self.odometry_quaternion is None else self.odometry_quaternion)

    @property
    def upright(self) -> float:
        """The part of the body's z axis that points up: 1 upright, -1 upside down."""
        return upright(self.quaternion)


def _quaternion_problem(quaternion: Vector, whose: str) -> str:
    norm = float(np.linalg.norm(quaternion))
    if abs(norm - 1.0) <= QUATERNION_TOLERANCE:
        return ""
    return (
        f"{whose} quaternion has norm {norm:.4f}, expected 1 +- {QUATERNION_TOLERANCE:g}: its driver must estimate the "
        "orientation"
    )


def imu_problem(
    quaternion: Vector,
    angular_velocity_rad_s: Vector,
    linear_acceleration_m_s2: Vector,
    missing: tuple[str, ...] = (),
) -> str:
    """Why a reading of an inertial sensor cannot be used; empty: it can. `missing`: what is not measured."""
    if missing:
        return f"the inertial sensor gives no {' and no '.join(missing)}: its driver must"
    values = np.concatenate([quaternion, angular_velocity_rad_s, linear_acceleration_m_s2])
    if not np.isfinite(values).all():
        return "the inertial sensor reports a value that is not finite: see its driver"
    return _quaternion_problem(quaternion, "the inertial sensor's")


def odometry_problem(
    position_m: Vector,
    quaternion: Vector,
    velocity_m_s: Vector,
    before_m: Vector | None,
    elapsed_s: float,
    fastest_m_s: float,
) -> str:
    """Why a reading of the odometry cannot be used; empty: it can.

    Args:
        position_m, quaternion, velocity_m_s: (3,), (4,), (3,) of this reading.
        before_m: (3,) position of the reading before; None: there is none.
        elapsed_s: time between both.
        fastest_m_s: no robot of this kind is faster.
    """
    if not np.isfinite(np.concatenate([position_m, quaternion, velocity_m_s])).all():
        return "the odometry reports a value that is not finite: see its source"
    if problem := _quaternion_problem(quaternion, "the odometry's"):
        return problem
    if before_m is None:
        return ""
    jump_m, most_m = float(np.linalg.norm(position_m - before_m)), fastest_m_s * elapsed_s
    if jump_m > most_m:
        return f"the odometry jumps by {jump_m:.3f} m in {elapsed_s:.3f} s, at most {most_m:.3f} m is possible"
    return ""
