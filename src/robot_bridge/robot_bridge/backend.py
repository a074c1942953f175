"""What a robot must offer to be driven by the bridge, whatever it is made of."""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class BackendError(RuntimeError):
    """The robot could not be opened, read or commanded. The message says what failed and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class RobotState:
    """One reading of all joints: the robot's, then the auxiliary ones (`RobotSettings.all_joint_names`)."""

    time_ns: int  # robot time of the reading
    position_rad: Vector  # (joints,)
    velocity_rad_s: Vector  # (joints,)
    effort_nm: Vector  # (joints,) torque of the motors

    @property
    def time_s(self) -> float:
        """Robot time of the reading [s]."""
        return self.time_ns * 1e-9


class RobotBackend(Protocol):
    """A robot. Joint vectors have the order of `RobotSettings.all_joint_names`.

    Every method may raise :class:`BackendError`; a failed read never returns old values.
    """

    def open(self) -> None:
        """Connect and check the robot. Torque is off afterwards."""

    def close(self) -> None:
        """Torque off on all joints, then disconnect. May be called twice."""

    def read(self) -> RobotState:
        """Read all joints now."""

    def write(self, goals_rad: Vector, torque_on: Flags) -> None:
        """Send goals [rad] and switch torque, one value per joint. Goals of joints without torque are unused."""


@runtime_checkable
class SimulatedBackend(RobotBackend, Protocol):
    """A robot whose time passes only when told to."""

    time_step_s: float  # of the physics

    def advance(self, duration_s: float) -> None:
        """Let robot time pass [s], a whole number of physics steps."""

    def randomise(self, rng: np.random.Generator) -> None:
        """Draw the dynamics anew."""
