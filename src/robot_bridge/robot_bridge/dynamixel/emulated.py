"""`port:=emulator`: the robot's own driver on servos that are not there."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np

from robot_bridge.backend import ReadError, RobotState
from robot_bridge.dynamixel.robot import DynamixelRobot
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.emulator import EmulatorProcess
from robot_bridge.robot import RobotSettings
from robot_bridge.simulation.settings import SimulationSettings

# Lockstep: time stands still while an answer is on its way, so that it may take as long as a busy machine needs.
_PATIENCE_S = 1.0


class EmulatedRobot(DynamixelRobot):
    """Starts an emulator that runs in real time, until this process ends, and drives it as it would drive the robot.

    Args:
        robot, settings, clock, epoch_ns: of `DynamixelRobot`; the port is the emulator's own.
        seed: of sensor noise and faults.
        simulation: of the robot that the servos turn.
    """

    _LOCKSTEP = False

    def __init__(
        self,
        robot: RobotSettings,
        settings: BusSettings,
        clock: Callable[[], float],
        epoch_ns: int = 0,
        seed: int = 0,
        simulation: SimulationSettings | None = None,
    ) -> None:
        self.emulator = EmulatorProcess(robot, lockstep=self._LOCKSTEP, seed=seed, simulation=simulation)
        super().__init__(robot, dataclasses.replace(settings, port=self.emulator.port), clock, epoch_ns)


class LockstepEmulatedRobot(EmulatedRobot):
    """The same, with time that passes only when told to: a `SimulatedBackend`."""

    _LOCKSTEP = True

    def __init__(
        self,
        robot: RobotSettings,
        settings: BusSettings,
        clock: Callable[[], float],
        epoch_ns: int = 0,
        seed: int = 0,
        simulation: SimulationSettings | None = None,
    ) -> None:
        settings = dataclasses.replace(settings, reply_timeout_s=max(settings.reply_timeout_s, _PATIENCE_S))
        super().__init__(robot, settings, clock, epoch_ns, seed, simulation)
        status = self.emulator.status()
        self.time_step_s = float(status["time_step_s"])
        self._time_s = float(status["time_s"])

    def read(self) -> RobotState:
        """As the robot's, at the emulator's time."""
        state = super().read()
        return dataclasses.replace(state, time_ns=self._epoch_ns + round(self._time_s * 1e9))

    def advance(self, duration_s: float) -> None:
        """Let the emulator's time pass [s], a whole number of physics steps."""
        # Nobody answers a sync write, and time must not pass before it has arrived.
        with contextlib.suppress(ReadError):  # counted by the bus; time passes for a robot with a dead servo, too
            self._repeat_lost_goals()
        self._time_s = self.emulator.advance(duration_s)

    def _times_s(self) -> tuple[float, float]:
        """The servos' time stands still while they answer."""
        return self._time_s, self._time_s

    def randomise(self, rng: np.random.Generator) -> None:
        """Draw the dynamics anew."""
        self.emulator.order("randomise", seed=int(rng.integers(2**31)))


class _MovesAbout:
    """With a body, which the emulator knows: a `MovableBackend`."""

    emulator: EmulatorProcess

    def read(self) -> RobotState:
        """As the robot's, with its body at the same time."""
        state = super().read()
        body = self.emulator.body()
        return dataclasses.replace(state, body=dataclasses.replace(body, time_ns=state.time_ns))

    def put_back(self) -> None:
        """Back on its mark, standing and at rest, as a person would put it. Torque stays as it is; time goes on."""
        self.emulator.put_back()


class EmulatedWalker(_MovesAbout, EmulatedRobot):
    """A robot that moves about, in real time."""


class LockstepEmulatedWalker(_MovesAbout, LockstepEmulatedRobot):
    """A robot that moves about, with time that passes only when told to."""
