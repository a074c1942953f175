"""The simulated Minitaur in tests: made, stood up, and what energy it has."""

from pathlib import Path

import mujoco
import numpy as np
from robot_bridge.leg_kinematics import motor_angles
from robot_bridge.robot import load_robot
from robot_bridge.simulation.minitaur import MinitaurSimulation
from robot_bridge.simulation.settings import MinitaurSettings, SimulationSettings

_ROBOTS = Path(__file__).parents[2] / "config" / "robots"
MINITAUR, SERVOS = (load_robot(_ROBOTS / f"{name}.yaml") for name in ("minitaur", "minitaur_servos"))
STAND = motor_angles(np.zeros(4), np.full(4, 2.0))
PERIOD_S = 0.02


def with_settings(robot, seed=0, **values):
    """The robot with these settings of the block `simulation.minitaur`."""
    return MinitaurSimulation(robot, SimulationSettings(minitaur=MinitaurSettings(**values)), seed)


def stand(simulation, seconds, goals=STAND):
    """Hold these goals with all torque; what is read at the end."""
    for _ in range(round(seconds / PERIOD_S)):
        simulation.write(goals, np.ones(8, dtype=bool))
        simulation.advance(PERIOD_S)
    return simulation.read()


def energies_j(simulation, steps):
    """Kinetic and potential energy before each of so many physics steps."""
    simulation.model.opt.enableflags |= int(mujoco.mjtEnableBit.mjENBL_ENERGY)
    found = []
    for _ in range(steps):
        simulation.advance(simulation.time_step_s)
        found.append(simulation.data.energy.sum())
    return found
