"""A reset that somebody asks for (the action `reset`), and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from robot_bridge.robot import RobotSettings

Vector = npt.NDArray[np.float64]


class ResetRequest(NamedTuple):
    """The goal of ResetRobot.action."""

    start_rad: Sequence[float]  # of the auxiliary joints; empty: drawn by the task
    interrupt: bool

    def problem(self, robot: RobotSettings) -> str:
        """What is wrong with the start, and what is allowed; empty when nothing is."""
        names = robot.auxiliary_joint_names
        if not len(self.start_rad):
            return ""
        if len(self.start_rad) != len(names):
            return f"start_rad holds {len(self.start_rad)} angles; give one for each of {names}, or none"
        for name, angle, low, high in zip(
            names,
            self.start_rad,
            robot.auxiliary_position_min_rad,
            robot.auxiliary_position_max_rad,
            strict=True,
        ):
            if not low <= angle <= high:
                return f"start_rad of '{name}' is {angle:g}, allowed are {low:g} .. {high:g} rad"
        return ""


class ResetProgress(NamedTuple):
    """The feedback of ResetRobot.action."""

    phase: str
    attempt: int
    worst_joint: str  # among those that are checked; empty before the motion
    worst_error_rad: float


class ResetOutcome(NamedTuple):
    """The result of ResetRobot.action."""

    success: bool
    message: str  # why not and what to do; empty after success
    attempts: int
    duration_s: float
    position_rad: Vector  # of all joints; empty when not known
