"""The learning gate: a small task learned through the whole graph, then judged twice.

Judged through the graph (a wrong sign in actor or learner fails there) and by the published figures on the bare
simulation (a wrong sign in bridge or task, which the graph would have learned around, fails there).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ament_index_python.packages import get_package_share_directory
from helpers.graph import own_parameters, rosac
from robot_bridge.robot import load_robot
from robot_bridge.simulation import make_simulation
from robot_bridge.simulation.settings import SimulationSettings
from sac_learner.policy import PolicyNetwork, load_policy
from sac_learner.runs.episode_table import read_episodes

pytestmark = pytest.mark.learn

TOLERANCE_RAD = 0.4
STEPS = 3000
# Small networks and a short horizon of the value function: learned in seconds.
PARAMETERS = {
    "task": {"task.success_tolerance_rad": TOLERANCE_RAD},
    "learner": {
        "sac.initial_random_steps": 300,
        "sac.min_pool_steps": 100,
        "sac.hidden_sizes": [64, 64],
        "sac.batch_size": 128,
        "sac.learning_rate": 2e-3,
        "sac.discount": 0.8,
        "sac.tau": 0.01,
        "sac.initial_temperature": 0.02,
        "sac.target_entropy_per_action": -2.0,
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One training run as a user starts it, with its final report."""
    directory = tmp_path_factory.mktemp("gate")
    own = own_parameters(directory / "gate.yaml", PARAMETERS)
    arguments = ("run:=gate", "mode:=sac", "task:=DClawPoseFixed", f"steps:={STEPS}", own)
    result = rosac("train", "dclaw_valve", *arguments, directory=directory)
    assert result.returncode == 0, result.stdout + result.stderr
    return directory / "runs" / "gate"


def test_the_trained_policy_passes_through_the_graph_and_the_untrained_does_not(run: Path) -> None:
    evaluation = json.loads((run / "evaluation.json").read_text())
    trained, untrained = evaluation["trained"], evaluation["untrained"]
    assert trained["episodes"] == untrained["episodes"] == 50
    assert trained["success_rate"] >= 0.8, trained
    assert untrained["success_rate"] <= 0.4, untrained
    assert trained["final_error_mean"] < 0.7 * untrained["final_error_mean"]


def test_the_trained_policy_passes_by_the_published_figures(run: Path) -> None:
    """Observation, action mapping and error written down again from ROBEL's pose.py and robot.py, not taken from the
    task, on the bare simulation: what the graph learned must mean the same there."""
    network = PolicyNetwork(load_policy(run / "policy.safetensors"))
    robot = load_robot(Path(get_package_share_directory("sac_learner")) / "config" / "robots" / "dclaw.yaml")
    simulation = make_simulation(robot, SimulationSettings(), seed=0, epoch_ns=0)
    simulation.open()
    half_range = np.tile([0.48, np.pi / 3, np.pi / 2], 3)
    high = np.where(np.arange(9) % 3 == 1, 0.0, half_range)
    rng = np.random.default_rng(0)
    torque_on = np.array([True] * 9 + [False])
    errors = []
    for _ in range(20):
        start, target = rng.uniform(-half_range, high), rng.uniform(-half_range, high)
        simulation.set_state(np.append(start, 0.0))
        action = np.zeros(9)
        for _ in range(80):
            position = simulation.read().position_rad[:9]
            observation = np.concatenate([position, action, target - position]).astype(np.float32)
            action = network.mean_action(observation)
            step = 2 * np.pi / 3 * 0.05
            goals = np.clip(action * half_range, position - step, position + step)
            simulation.write(np.append(goals, 0.0), torque_on)
            simulation.advance(0.05)
        errors.append(np.abs(target - simulation.read().position_rad[:9]).mean())
    simulation.close()
    assert np.mean(np.array(errors) < TOLERANCE_RAD) >= 0.8, errors


def test_the_run_directory_holds_what_was_promised(run: Path) -> None:
    for name in ("config.yaml", "run.json", "policy.safetensors", "policy_untrained.safetensors", "episodes.csv"):
        assert (run / name).stat().st_size > 0, name
    for pattern in ("replay/*", "checkpoints/*.safetensors", "metrics/events*", "plots/*.png", "log/*.log"):
        assert list(run.glob(pattern)), pattern
    rows = read_episodes(run / "episodes.csv")
    assert sum(int(row["steps"]) for row in rows) <= STEPS
    assert int(rows[-1]["transitions"]) > STEPS - 81, "episodes are missing from the table"
