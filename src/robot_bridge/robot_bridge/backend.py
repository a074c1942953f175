"""What a robot must offer to be driven by the bridge, whatever it is made of."""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from robot_bridge.body_state import BodyState

Vector = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
# In RobotHealth.hardware_error, a bit that no servo's register has: it says that it has an error, not yet which.
UNREAD_ERROR = 0x80


class BackendError(RuntimeError):
    """The robot could not be opened, read or commanded. The message says what failed and what to do."""


class ReadError(BackendError):
    """One reading failed (lost, late, corrupt or incomplete answers); the next one may succeed."""


class ConnectionLostError(BackendError):
    """The robot cannot be reached any more: nothing that was commanded since is known to have arrived."""


@dataclasses.dataclass(frozen=True, slots=True)
class RobotState:
    """One reading of all joints: the robot's, then the auxiliary ones (`RobotSettings.all_joint_names`)."""

    time_ns: int  # robot time of the reading
    position_rad: Vector  # (joints,)
    velocity_rad_s: Vector  # (joints,)
    effort_nm: Vector  # (joints,) torque of the motors
    current_a: Vector | None = None  # (joints,) current of the motors, or guessed from their load; None: nothing known
    # (joints,) whether each motor under torque holds the goal written last; None: this robot's always do.
    goals_held: Flags | None = None
    # (joints,) what each joint counts less than at the reading before, because its torque came on: whole turns [rad].
    turned_rad: Vector | None = None  # None: none does
    body: BodyState | None = None  # of a robot that moves about; None: it is fixed, or not known here

    @property
    def time_s(self) -> float:
        """Robot time of the reading [s]."""
        return self.time_ns * 1e-9


@dataclasses.dataclass(frozen=True, slots=True)
class RobotHealth:
    """What changes slowly: the newest reading of each joint, all (joints,)."""

    temperature_c: Vector  # NaN: never read
    voltage_v: Vector  # NaN: never read
    hardware_error: npt.NDArray[np.uint8]  # bits of the servo's register, or UNREAD_ERROR; 0: none
    read_s: Vector  # steady time of the reading [s]; -inf: never


class RobotBackend(Protocol):
    """A robot. Joint vectors have the order of `RobotSettings.all_joint_names`.

    Every method may raise :class:`BackendError`; a failed read never returns old values. :class:`ReadError` means that
    trying again makes sense, :class:`ConnectionLostError` that only :meth:`recover` helps.
    """

    def open(self) -> None:
        """Connect and check the robot. Torque is off afterwards."""

    def close(self) -> None:
        """Torque off on all joints, then disconnect. May be called twice."""

    def read(self) -> RobotState:
        """Read all joints now."""

    def write(self, goals_rad: Vector, torque_on: Flags) -> None:
        """Send goals [rad] and switch torque, one value per joint. Goals of joints without torque are unused."""

    def poll_health(self) -> RobotHealth | None:
        """Read the slow values of one more joint, in turn; None: this robot has none."""

    def recover(self) -> None:
        """With torque off: bring the robot back to where :meth:`open` left it, whatever has happened to it."""

    def figures(self) -> dict[str, object]:
        """What diagnostics show of the connection."""


@runtime_checkable
class SimulatedBackend(RobotBackend, Protocol):
    """A robot whose time passes only when told to."""

    time_step_s: float  # of the physics

    def advance(self, duration_s: float) -> None:
        """Let robot time pass [s], a whole number of physics steps."""

    def randomise(self, rng: np.random.Generator) -> None:
        """Draw the dynamics anew."""


@runtime_checkable
class PosableBackend(RobotBackend, Protocol):
    """A simulated robot whose joints can be laid anywhere, as by hand."""

    def set_state(self, position_rad: Vector, velocity_rad_s: Vector | None = None) -> None:
        """All joints there (joints,), at rest unless velocities are given. Torque stays as it is; time goes on."""


@runtime_checkable
class MovableBackend(RobotBackend, Protocol):
    """A simulated robot that moves about, in either time base: its states hold the body's."""

    def put_back(self) -> None:
        """Back on its mark, standing and at rest, as a person would put it. Torque stays as it is; time goes on."""
