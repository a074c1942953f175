"""MuJoCo robots that stand in for real ones. The robot file names its model (`robot.simulation_model`)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from rosac_common.settings import SettingsError

from robot_bridge.robot import RobotSettings
from robot_bridge.simulation.settings import SimulationSettings

if TYPE_CHECKING:
    from robot_bridge.simulation.mujoco_robot import MujocoRobot

# Name of a model -> module and class. Imported on demand: MuJoCo takes a third of a second to load.
MODELS = {
    "dclaw": ("robot_bridge.simulation.dclaw", "DClawSimulation"),
    "minitaur": ("robot_bridge.simulation.minitaur", "MinitaurSimulation"),
}


def make_simulation(robot: RobotSettings, settings: SimulationSettings, seed: int, epoch_ns: int) -> MujocoRobot:
    """The simulation that the robot file names.

    Args:
        robot: the robot file.
        settings: latency and noise.
        seed: of the sensor noise.
        epoch_ns: robot time at the start [ns].

    Raises:
        SettingsError: the robot file names no model, or one that does not exist.
    """
    if robot.simulation_model not in MODELS:
        raise SettingsError(
            f"robot.simulation_model is '{robot.simulation_model}'; it must be one of {', '.join(MODELS)}"
        )
    module, name = MODELS[robot.simulation_model]
    return getattr(importlib.import_module(module), name)(robot, settings, seed, epoch_ns)
