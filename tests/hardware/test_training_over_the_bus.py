"""The whole graph over the real SDK and the emulated bus, and that the robot behind it is the simulated one."""

import re

import numpy as np
import pytest
from helpers.commander import ROBOT
from helpers.graph import GraphProcess, own_parameters
from helpers.patience import until
from robot_bridge.dynamixel.emulated import LockstepEmulatedRobot
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.simulation import make_simulation
from robot_bridge.simulation.settings import SimulationSettings
from rosac_common.transition import EndReason
from sac_learner.runs.episode_table import read_episodes

PERIOD_S = 0.1
FINISHED = re.compile(r"finished: (\d+) transitions, (\d+) updates")


def test_the_hand_behind_the_bus_moves_as_the_simulation_does():
    """With its motors, 2.59 Nm of which the limit of current leaves two thirds; at 5.5 rad/s nothing. Ticks round goals
    by 0.8 mrad; nothing else differs."""
    simulation = make_simulation(ROBOT, SimulationSettings(), seed=0, epoch_ns=0)
    simulation.set_effort_limits(np.full(10, 2.59 * 581 / 885), np.full(10, 2.59 / (230 * 0.229 * np.pi / 30)))
    bus = LockstepEmulatedRobot(ROBOT, BusSettings(), lambda: 0.0, seed=0)
    rng = np.random.default_rng(0)
    torque = np.arange(10) < 9
    try:
        bus.open()
        worst, start = 0.0, simulation.read().position_rad
        simulation.write(start, torque)
        bus.write(start, torque)
        for _ in range(30):
            here = simulation.read().position_rad
            goals = np.clip(here + rng.uniform(-0.2, 0.2, 10), -0.45, 0.45)
            for robot in (simulation, bus):
                robot.write(goals, torque)
                robot.advance(PERIOD_S)
            difference = np.abs(bus.read().position_rad - simulation.read().position_rad)
            worst = max(worst, float(difference[:9].max()))
        assert worst < 0.02, worst
        assert bus.read().time_ns == simulation.read().time_ns == 3_000_000_000
    finally:
        bus.close()
        bus.emulator.close()


@pytest.mark.ros
def test_a_run_over_the_bus_resets_acts_and_learns(tmp_path):
    own = own_parameters(
        tmp_path / "own.yaml",
        {"learner": {"sac.initial_random_steps": 60, "sac.min_pool_steps": 60}, "task": {"task.horizon_steps": 40}},
    )
    arguments = ("backend:=dynamixel", "port:=emulator", "steps:=100", "run:=bus", own)
    with GraphProcess("up", *arguments, directory=tmp_path) as graph:
        episodes = tmp_path / "runs/bus/episodes.csv"
        until(lambda: len(read_episodes(episodes)) >= 2 or graph.process.poll() is not None, "episodes", 600.0)
        rows = read_episodes(episodes)
        assert len(rows) >= 2, "it ended by itself"
        assert {int(row["end_reason"]) for row in rows} == {EndReason.TIME_LIMIT}
        log = (tmp_path / "runs/bus/log/bridge.log").read_text()
        assert "lockstep, dynamixel; armed" in log
        assert "stopped" not in log
        learner = tmp_path / "runs/bus/log/learner.log"
        until(lambda: FINISHED.search(learner.read_text()), "the learner has what it asked for")
        transitions, updates = map(int, FINISHED.search(learner.read_text()).groups())
        assert transitions >= 100
        assert updates > 50, "after 60 random steps there are updates for each step"
