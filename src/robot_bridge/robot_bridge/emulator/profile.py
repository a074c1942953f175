"""The way to a new goal when registers profile_velocity or profile_acceleration are set: a trapezoid of speed."""

from __future__ import annotations

import math

from robot_bridge.dynamixel.control_table import (
    ACCELERATION_UNIT_RAD_S2,
    TICKS_PER_REVOLUTION,
    VELOCITY_UNIT_RAD_S,
)

_ARRIVED_RAD = math.pi / TICKS_PER_REVOLUTION  # half a tick


class Profile:
    """A goal that moves.

    Args:
        position_rad, velocity_rad_s: where it starts, in the servo's own angle.
        goal_rad: where it ends.
        velocity, acceleration: the two registers; 0 is no limit.
    """

    def __init__(
        self, position_rad: float, velocity_rad_s: float, goal_rad: float, velocity: int, acceleration: int
    ) -> None:
        self.position_rad, self.velocity_rad_s, self._goal_rad = position_rad, velocity_rad_s, goal_rad
        self._limit_rad_s = velocity * VELOCITY_UNIT_RAD_S or math.inf
        self._acceleration_rad_s2 = acceleration * ACCELERATION_UNIT_RAD_S2 or math.inf
        # Its shape, as bits 4 and 5 of register moving_status show it: rectangle, triangle, trapezoid.
        reaches_limit = self._limit_rad_s**2 <= self._acceleration_rad_s2 * abs(goal_rad - position_rad)
        self.shape = 1 if not acceleration else 3 if reaches_limit else 2

    def advance(self, step_s: float) -> bool:
        """Move on by one step; returns whether the goal is reached."""
        distance = self._goal_rad - self.position_rad
        # The fastest from which it can still stop in time, at most all the way in this step.
        fastest = min(self._limit_rad_s, abs(distance) / step_s)
        change = self._acceleration_rad_s2 * step_s
        if math.isfinite(change):
            fastest = min(
                fastest, math.sqrt((change / 2.0) ** 2 + 2.0 * change / step_s * abs(distance)) - change / 2.0
            )
        wanted = math.copysign(fastest, distance) - self.velocity_rad_s
        self.velocity_rad_s += min(max(wanted, -change), change)
        self.position_rad += self.velocity_rad_s * step_s
        arrived = abs(self._goal_rad - self.position_rad) < _ARRIVED_RAD and abs(self.velocity_rad_s) <= change
        if arrived:
            self.position_rad, self.velocity_rad_s = self._goal_rad, 0.0
        return arrived
