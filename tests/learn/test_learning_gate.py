"""The learning gate: a small task learned through the whole graph, then judged twice.

Judged through the graph (a wrong sign in actor or learner fails there) and in one process on the simulation (a wrong
sign in bridge or task, which the graph would have learned around, fails there).
"""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import valve_task.env  # noqa: F401 - registers the environments
from helpers.graph import own_parameters, rosac
from sac_learner.episode_table import read_episodes
from sac_learner.policy import PolicyNetwork, load_policy

pytestmark = [pytest.mark.learn, pytest.mark.timeout(600)]

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
    arguments = ("run:=gate", "task:=DClawPoseFixed", f"steps:={STEPS}", own)
    result = rosac("train", "dclaw_valve", *arguments, directory=directory, timeout_s=500)
    assert result.returncode == 0, result.stdout + result.stderr
    return directory / "runs" / "gate"


def test_the_trained_policy_passes_through_the_graph_and_the_untrained_does_not(run: Path) -> None:
    evaluation = json.loads((run / "evaluation.json").read_text())
    trained, untrained = evaluation["trained"], evaluation["untrained"]
    assert trained["episodes"] == untrained["episodes"] == 50
    assert trained["success_rate"] >= 0.8, trained
    assert untrained["success_rate"] <= 0.4, untrained
    assert trained["final_error_rad_mean"] < 0.7 * untrained["final_error_rad_mean"]


def test_the_trained_policy_passes_in_one_process(run: Path) -> None:
    network = PolicyNetwork(load_policy(run / "policy.safetensors"))
    environment = gymnasium.make("rosac/DClawPoseFixed-v0", task={"success_tolerance_rad": TOLERANCE_RAD})
    successes = []
    for episode in range(20):
        observation, _ = environment.reset(seed=episode)
        ended = False
        while not ended:
            observation, _, terminated, truncated, info = environment.step(network.mean_action(observation))
            ended = terminated or truncated
        successes.append(info["is_success"])
    assert np.mean(successes) >= 0.8


def test_the_run_directory_holds_what_was_promised(run: Path) -> None:
    for name in ("config.yaml", "run.json", "policy.safetensors", "policy_untrained.safetensors", "episodes.csv"):
        assert (run / name).stat().st_size > 0, name
    for pattern in ("replay/*", "checkpoints/*.safetensors", "metrics/events*", "plots/*.png", "log/*.log"):
        assert list(run.glob(pattern)), pattern
    rows = read_episodes(run / "episodes.csv")
    assert sum(int(row["steps"]) for row in rows) <= STEPS
    assert int(rows[-1]["transitions"]) > STEPS - 81, "episodes are missing from the table"
