"""Kinematics of five-bar legs as the Minitaur has them, for simulation and hardware alike. Pure functions of numbers.

A leg has two motors on one axis. Each turns an upper link: angle 0 points up, pi / 2 to the link's side (to the rear or
to the front), pi down. A lower link hangs on the end of each, and a pin joins both; the rear one goes on to the foot. A
leg is commanded by its swing, which turns it whole (positive: foot to the rear), and its extension, which stretches it.
Points are (x, z) in the leg's plane, x to the front, z up, from the hip [m]. Figures: bulletphysics/bullet3,
pybullet_envs/minitaur; which way swing counts and which link is the rear one is our own choice.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

# Order of the legs; the motors follow leg by leg, the left one first (bullet3, minitaur.py, MOTOR_NAMES).
LEGS = ("front_left", "back_left", "front_right", "back_right")
# The left motor turns the rear link on the left side of the robot and the front link on its right side.
_SIDE = np.array([1.0, 1.0, -1.0, -1.0])

# Own figure: this close to a stretched or folded leg (both motors up or down) the pin may flip to the other side.
SINGULAR_MARGIN_RAD = 0.15


class Knees(NamedTuple):
    """Angle of each lower link against its upper one [rad], (legs,): 0 = straight on, counted as its motor is."""

    rear_rad: Vector
    front_rad: Vector


@dataclasses.dataclass(frozen=True)
class LegGeometry:
    """Lengths of one leg [m]."""

    upper_m: float  # motor to knee
    rear_m: float  # rear knee to pin
    front_m: float  # front knee to pin
    foot_m: float  # rear knee to foot, along the same link

    def impossible(self) -> str:
        """Why no leg can be built of these lengths; empty: one can."""
        apart_m, difference_m, both_m = 2 * self.upper_m, abs(self.rear_m - self.front_m), self.rear_m + self.front_m
        most_m = apart_m * math.cos(SINGULAR_MARGIN_RAD)
        if difference_m >= most_m:
            return (
                f"its lower links differ by {difference_m:g} m, limit {most_m:.3g} m: they meet at no extension, as "
                f"their knees get no further apart than {apart_m:g} m; give lower links that differ less, or a longer "
                "upper one"
            )
        if both_m <= apart_m:
            return (
                f"its lower links are {both_m:g} m together, and must be longer than {apart_m:g} m, which their knees "
                "get apart: give longer lower links, or a shorter upper one"
            )
        return ""

    def pin(self, swing_rad: Vector, extension_rad: Vector) -> Vector:
        """The pin (legs, 2) [m]; NaN where the lower links cannot meet."""
        rear, front = self._knees(swing_rad, extension_rad)
        between = front - rear
        distance = np.linalg.norm(between, axis=-1)
        along = (distance**2 + self.rear_m**2 - self.front_m**2) / (2 * distance)
        with np.errstate(invalid="ignore"):
            below = np.sqrt(self.rear_m**2 - along**2)
        forward = between / distance[..., None]
        down = np.stack([forward[..., 1], -forward[..., 0]], axis=-1)
        return rear + along[..., None] * forward + below[..., None] * down

    def foot(self, swing_rad: Vector, extension_rad: Vector) -> Vector:
        """The foot (legs, 2) [m]; NaN where the lower links cannot meet."""
        rear, _ = self._knees(swing_rad, extension_rad)
        return rear + (self.pin(swing_rad, extension_rad) - rear) * (self.foot_m / self.rear_m)

    def knees(self, swing_rad: Vector, extension_rad: Vector) -> Knees:
        """Angles of the lower links [rad], (legs,) each."""
        pin = self.pin(swing_rad, extension_rad)
        rear, front = self._knees(swing_rad, extension_rad)
        angles = []
        for knee, sign, motor in ((rear, -1.0, extension_rad - swing_rad), (front, 1.0, extension_rad + swing_rad)):
            link = pin - knee
            direction = np.arctan2(sign * link[..., 0], link[..., 1])  # counted as the motors are
            angles.append((direction - motor + math.pi) % (2 * math.pi) - math.pi)
        return Knees(*angles)

    def problem(self, motors_rad: Vector, from_rad: Vector | None = None) -> str:
        """Why a command leads out of the legs' workspace; empty: it does not.

        A leg works while its extension keeps SINGULAR_MARGIN_RAD from both ends, so that its knees cannot flip, and its
        lower links meet. One that is outside may only be led back.

        Args:
            motors_rad: (motors,) the command.
            from_rad: (motors,) where they are; None: inside.
        """
        swing, extension = swing_extension(motors_rad)
        low, high = self.extension_range_rad
        # NaN is nowhere inside.
        too_far = ~(self._excess(motors_rad) <= (0.0 if from_rad is None else self._excess(from_rad)))
        for leg, swing_rad, extension_rad, (swings, extends) in zip(LEGS, swing, extension, too_far, strict=True):
            if extends:
                return (
                    f"leg {leg}: extension {extension_rad:.3f} rad (mean of its motors) is outside its workspace, "
                    f"{low:.3f} .. {high:.3f} rad"
                )
            if swings:
                return f"leg {leg}: swing {swing_rad:.3f} rad is outside its workspace, +-{math.pi / 2:.3f} rad"
        return ""

    def _excess(self, motors_rad: Vector) -> Vector:
        """How far swing and extension of each leg lie outside the workspace (legs, 2) [rad]; 0 inside."""
        swing, extension = swing_extension(motors_rad)
        low, high = self.extension_range_rad
        beyond = np.stack([np.abs(swing) - math.pi / 2, np.maximum(low - extension, extension - high)], axis=-1)
        return np.maximum(beyond, 0.0)

    @property
    def extension_range_rad(self) -> tuple[float, float]:
        """Lowest and highest extension [rad]."""
        meet = math.asin(abs(self.rear_m - self.front_m) / (2 * self.upper_m))
        return meet + SINGULAR_MARGIN_RAD, math.pi - meet - SINGULAR_MARGIN_RAD

    def _knees(self, swing_rad: Vector, extension_rad: Vector) -> tuple[Vector, Vector]:
        """Rear and front knee (legs, 2) [m]."""
        rear, front = extension_rad - swing_rad, extension_rad + swing_rad
        return (
            self.upper_m * np.stack([-np.sin(rear), np.cos(rear)], axis=-1),
            self.upper_m * np.stack([np.sin(front), np.cos(front)], axis=-1),
        )


# minitaur.urdf
DEFAULT_LEG = LegGeometry(upper_m=0.115, rear_m=0.2, front_m=0.2, foot_m=0.2)
# minitaur_rainbow_dash.urdf: the pin lies at .120 + .088 on the long link (.240), at .100 + .100 on the short one.
IDENTIFIED_LEG = LegGeometry(upper_m=0.101, rear_m=0.208, front_m=0.2, foot_m=0.24)


def motor_angles(swing_rad: Vector, extension_rad: Vector) -> Vector:
    """Angles of the motors (8,) [rad] that swing and extend the legs (4,) by that much."""
    turned = _SIDE * swing_rad
    return np.stack([extension_rad - turned, extension_rad + turned], axis=-1).reshape(-1)


def swing_extension(motors_rad: Vector) -> tuple[Vector, Vector]:
    """Swing and extension of the legs (4,) [rad] with the motors (8,) at these angles: inverse of `motor_angles`."""
    left, right = motors_rad[0::2], motors_rad[1::2]
    return _SIDE * (right - left) / 2, (left + right) / 2
