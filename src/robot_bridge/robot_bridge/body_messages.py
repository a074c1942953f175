"""Messages of the body's sensors, made and read: sensor_msgs/Imu (REP-145) and nav_msgs/Odometry (REP-105)."""

from __future__ import annotations

import numpy as np
from nav_msgs.msg import Odometry
from rosac_common.messages import nanoseconds, stamp_from_nanoseconds
from sensor_msgs.msg import Imu

from robot_bridge.body_link import ImuReading, OdometryReading, odometry_of
from robot_bridge.body_state import BodyState

# REP-145 and Imu.msg: a covariance that begins so marks what a sensor does not measure. The linear acceleration may be
# missing, as nobody uses it.
_NOT_MEASURED = -1.0
_NEEDED = ("orientation", "angular_velocity")
WORLD_FRAME, BODY_FRAME = "odom", "base_link"  # REP-105


def imu_message(body: BodyState) -> Imu:
    """The inertial part of a body's state. Covariances stay 0: not given (REP-145)."""
    message = Imu()
    message.header.stamp = stamp_from_nanoseconds(body.time_ns)
    message.header.frame_id = BODY_FRAME
    _set(message.orientation, "wxyz", body.quaternion)
    _set(message.angular_velocity, "xyz", body.angular_velocity_rad_s)
    _set(message.linear_acceleration, "xyz", body.linear_acceleration_m_s2)
    return message


def odometry_message(body: BodyState) -> Odometry:
    """Where a body is and how fast it moves; velocities in the body's frame."""
    message, reading = Odometry(), odometry_of(body)
    message.header.stamp = stamp_from_nanoseconds(reading.time_ns)
    message.header.frame_id, message.child_frame_id = WORLD_FRAME, BODY_FRAME
    _set(message.pose.pose.position, "xyz", reading.position_m)
    _set(message.pose.pose.orientation, "wxyz", reading.quaternion)
    _set(message.twist.twist.linear, "xyz", reading.velocity_m_s)
    _set(message.twist.twist.angular, "xyz", reading.angular_velocity_rad_s)
    return message


def imu_reading(message: Imu) -> ImuReading:
    """A message of imu/data."""
    missing = (name for name in _NEEDED if getattr(message, f"{name}_covariance")[0] == _NOT_MEASURED)
    return ImuReading(
        nanoseconds(message.header.stamp),
        _get(message.orientation, "wxyz"),
        _get(message.angular_velocity, "xyz"),
        _get(message.linear_acceleration, "xyz"),
        tuple(name.replace("_", " ") for name in missing),
    )


def odometry_reading(message: Odometry) -> OdometryReading:
    """A message of odom."""
    return OdometryReading(
        nanoseconds(message.header.stamp),
        _get(message.pose.pose.position, "xyz"),
        _get(message.pose.pose.orientation, "wxyz"),
        _get(message.twist.twist.linear, "xyz"),
        _get(message.twist.twist.angular, "xyz"),
    )


def _set(target: object, names: str, values: np.ndarray) -> None:
    for name, value in zip(names, values.tolist(), strict=True):
        setattr(target, name, value)


def _get(source: object, names: str) -> np.ndarray:
    return np.array([getattr(source, name) for name in names])
