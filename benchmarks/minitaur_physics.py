"""Control steps a second of the simulated Minitaur alone, on one processor: an open-loop trot.

.venv/bin/python benchmarks/minitaur_physics.py --json result.json

One round trots for ten seconds of robot time. Time of the processor, so that a busy machine counts less; the median
round and the best.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import math
import time

import numpy as np
from robot_bridge.leg_kinematics import motor_angles
from robot_bridge.robot import load_robot
from robot_bridge.simulation.minitaur import MinitaurSimulation
from support import REPOSITORY, finish, parser

PERIOD_S, STEPS = 0.02, 500
TARGET_PER_S = 3000


def trot_rad(time_s: float) -> np.ndarray:
    """Goals of the motors (8,): diagonal legs together, twice a second."""
    phase = 2 * math.pi * 2.0 * time_s + np.array([0.0, math.pi, math.pi, 0.0])
    return motor_angles(0.5 * np.cos(phase), 2.0 - 0.5 * np.maximum(0.0, np.sin(phase - 0.3)))


def one_round(simulation: MinitaurSimulation) -> tuple[float, float]:
    """Control steps a second, and the speed of the walk [m/s]."""
    on = np.ones(8, dtype=bool)
    simulation.put_back()
    start_s = time.process_time()
    for step in range(STEPS):
        simulation.write(trot_rad(step * PERIOD_S), on)
        simulation.advance(PERIOD_S)
        body = simulation.read().body
    return STEPS / (time.process_time() - start_s), float(body.position_m[0]) / (STEPS * PERIOD_S)


def main() -> None:
    """Command line."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=20, help="rounds to measure")
    chosen = options.parse_args()
    simulation = MinitaurSimulation(load_robot(REPOSITORY / "config" / "robots" / "minitaur.yaml"))
    rates, speeds = zip(*(one_round(simulation) for _ in range(chosen.rounds)), strict=True)
    result = {
        "control_steps_per_s_median": float(np.median(rates)),
        "control_steps_per_s_best": max(rates),
        "target_per_s": TARGET_PER_S,
        "physics_steps_per_control_step": round(PERIOD_S / simulation.time_step_s),
        "trot_speed_m_s": speeds[-1],
    }
    finish(chosen, "minitaur_physics", result)


if __name__ == "__main__":
    main()
