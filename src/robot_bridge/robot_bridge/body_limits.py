"""The block `robot.body` of a robot file: whether the robot moves about, and what its sensors must keep to."""

from __future__ import annotations

import dataclasses

from rosac_common.settings import setting


@dataclasses.dataclass(frozen=True)
class BodyLimits:
    """Sensors of the body: an inertial one on imu/data, odometry or motion capture on odom. In simulation the bridge
    publishes both, on hardware their own drivers do.
    """

    sensed: bool = setting(False, "the robot moves about: its body is measured on imu/data and odom")
    imu_timeout_s: float = setting(
        0.1, "longest pause of imu/data [s]; own figure: ten readings of a slow (100 Hz) sensor", minimum=0.005
    )
    odometry_timeout_s: float = setting(
        0.2, "longest pause of odom [s]; own figure: six frames of a 30 Hz camera", minimum=0.005
    )
    stamp_tolerance_s: float = setting(
        0.2,
        "imu/data and odom of their own drivers are stamped at most this far from the joints [s]: beyond it they come "
        "late, or the computers' clocks differ; own figure: the longer of the pauses",
        minimum=0.005,
    )
    fastest_m_s: float = setting(
        5.0, "odom that moves faster jumps [m/s]; own figure: Minitaur runs at 1.5 to 2", minimum=0.01
    )
    arm_upright: float = setting(
        0.5,
        "least upward part of the body's z axis with which it may be armed: 1 upright, 0 on its side (own figure)",
        minimum=-1.0,
        maximum=1.0,
    )
