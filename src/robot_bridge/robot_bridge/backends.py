"""Makes the robot that the settings of the bridge name."""

from __future__ import annotations

from collections.abc import Callable

from robot_bridge.backend import RobotBackend
from robot_bridge.dynamixel.settings import EMULATOR
from robot_bridge.settings import BridgeSettings


def make_backend(settings: BridgeSettings, clock: Callable[[], float], epoch_ns: int) -> RobotBackend:
    """A simulation, a bus of servos, or a bus of emulated ones; imported on demand, none of them is open yet.

    Args:
        settings: of the bridge.
        clock: steady time [s].
        epoch_ns: wall time when that clock shows 0 [ns]: robot time begins now.

    Raises:
        SettingsError: the robot file does not describe what the simulation needs.
        BackendError: the emulator did not start.
    """
    robot = settings.robot
    if settings.backend == "mujoco":
        from robot_bridge.simulation import make_simulation

        return make_simulation(robot, settings.simulation, settings.seed, epoch_ns + round(clock() * 1e9))
    if settings.bus.port != EMULATOR:
        from robot_bridge.dynamixel.robot import DynamixelRobot

        return DynamixelRobot(robot, settings.bus, clock, epoch_ns)
    from robot_bridge.dynamixel import emulated

    if settings.lockstep:
        kind = emulated.LockstepEmulatedWalker if robot.body.sensed else emulated.LockstepEmulatedRobot
        epoch_ns += round(clock() * 1e9)
    else:
        kind = emulated.EmulatedWalker if robot.body.sensed else emulated.EmulatedRobot
    return kind(robot, settings.bus, clock, epoch_ns, settings.seed, settings.simulation)
