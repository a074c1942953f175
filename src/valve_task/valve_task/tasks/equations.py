"""The tasks' formulas as pure functions of numbers. Source of all: google-research/robel, `dclaw/`."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from valve_task.tasks.settings import PoseRewardSettings, TurnRewardSettings

Vector = npt.NDArray[np.float64]

_TWO_PI = 2 * math.pi


def wrap_angle(angle_rad: float) -> float:
    """The same direction in [-pi, pi]."""
    return (angle_rad + math.pi) % _TWO_PI - math.pi


def norm(vector: Vector) -> float:
    """Euclidean norm of a vector of shape (n,)."""
    return math.sqrt(float(vector @ vector))


def fast_part_norm(velocity_rad_s: Vector, threshold_rad_s: float) -> float:
    """Norm of the velocities whose magnitude is at or above the threshold [rad/s]."""
    fast = np.abs(velocity_rad_s) >= threshold_rad_s
    return norm(velocity_rad_s * fast)


TURN_TERMS = ("distance", "pose", "velocity", "near_bonus", "close_bonus")


def turn_reward(
    error_rad: float, position_rad: Vector, velocity_rad_s: Vector, nominal_rad: Vector, weights: TurnRewardSettings
) -> tuple[float, ...]:
    """The terms `TURN_TERMS` of the reward of Turn and Screw (ROBEL dclaw/turn.py).

    Args:
        error_rad: target minus valve angle, wrapped.
        position_rad, velocity_rad_s: joints, shape (9,).
        nominal_rad: pose that the fingers should stay near, shape (9,).
    """
    distance = abs(error_rad)
    return (
        weights.distance * distance,
        weights.pose * norm(position_rad - nominal_rad),
        weights.velocity * fast_part_norm(velocity_rad_s, weights.velocity_threshold_rad_s),
        weights.near_bonus * (distance < weights.near_rad),
        weights.close_bonus * (distance < weights.close_rad),
    )


POSE_TERMS = ("error", "velocity")


def pose_reward(error_rad: Vector, velocity_rad_s: Vector, weights: PoseRewardSettings) -> tuple[float, ...]:
    """The terms `POSE_TERMS` of the reward of Pose (ROBEL dclaw/pose.py); both vectors have shape (9,)."""
    return (
        weights.error * norm(error_rad),
        weights.velocity * fast_part_norm(velocity_rad_s, weights.velocity_threshold_rad_s),
    )


def moving_pose(centre_rad: Vector, amplitude_rad: Vector, frequency_rad_s: Vector, time_s: float) -> Vector:
    """Target of PoseRandom: each joint swings about its centre, shape (9,)."""
    return centre_rad + amplitude_rad * np.sin(frequency_rad_s * time_s)


def moving_pose_amplitude(pose_a_rad: Vector, pose_b_rad: Vector, frequency_rad_s: Vector) -> Vector:
    """Half the way between two poses, but no faster than pi/6 rad/s (ROBEL pose.py, MOTION_VELOCITY_LIMIT)."""
    return np.minimum(0.5 * np.abs(pose_b_rad - pose_a_rad), (math.pi / 6) / frequency_rad_s)


COUNTERS = ("near_joint_limit", "high_speed")


def safety_counts(
    position_rad: Vector,
    velocity_rad_s: Vector,
    low_rad: Vector,
    high_rad: Vector,
    margin_rad: float,
    speed_rad_s: float,
) -> tuple[int, int]:
    """`COUNTERS`: joints closer than the margin to either limit; joints faster than the speed (ROBEL base_env.py)."""
    near = (np.abs(low_rad - position_rad) < margin_rad) | (np.abs(high_rad - position_rad) < margin_rad)
    return int(np.count_nonzero(near)), int(np.count_nonzero(np.abs(velocity_rad_s) > speed_rad_s))
