"""Walking over seeds: `rosac train` as a user runs it, then what was learned on ground that was never seen.

.venv/bin/python benchmarks/walking.py --steps 20000 --seeds 0 1 2 --save

Flat ground is evaluated through the graph by `rosac train`; all grounds, flat too, in one process, which tells speeds.
What a run has been through already is not done again; an interrupted training goes on, and one of the same name with
other settings is refused.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import argparse
import json
from pathlib import Path

import numpy as np
import yaml
from learned import Trained, commits_of, plot_curves, train
from robot_bridge.simulation.terrain import TERRAINS
from rosac_common.transition import EndReason
from sac_learner.commands.json_file import write_json
from sac_learner.policy import PolicyNetwork, load_policy
from sac_learner.runs.episode_table import read_episodes
from sac_learner.runs.plots import success_curve
from sac_learner.runs.run_directory import Run
from sac_learner.runs.run_environment import run_environment
from sac_learner.runs.strip import record_strip
from support import RESULTS, finish, parser
from walking_episodes import record_gait, walk_often
from walking_report import figures_of, page, plot_gait

# Arguments of each ground: all terrains, and a robot drawn anew in each episode.
GROUNDS = {terrain: {"terrain": terrain} for terrain in TERRAINS} | {
    "random_dynamics": {"task": "MinitaurWalkRandomDynamics"}
}
# Other starts than those of the training and of its final evaluation.
SEED = 1000
POINTS = 8  # of the learning curve


def walk_ground(run: Run, ground: str, episodes: int) -> dict[str, float | None]:
    """The figures of one ground, kept in the run's directory for the policy that they are of."""
    policy = load_policy(run.files.policy)
    path = run.path / "walking" / f"{ground}_{episodes}_{policy.checksum:08x}.json"
    if not path.exists():
        environment = run_environment(run, GROUNDS[ground])
        figures = figures_of(walk_often(environment, PolicyNetwork(policy), episodes, SEED))
        environment.close()
        path.parent.mkdir(exist_ok=True)
        write_json(path, figures)
        print(f"{run.name} {ground}: {figures}", flush=True)
    return json.loads(path.read_text(encoding="utf-8"))


def draw(run: Run, name: str) -> dict[str, object]:
    """Strips and gait of one run into docs/results; returns what the gait's figures are."""
    for ground, changes in GROUNDS.items():
        record_strip(run, run.files.policy, RESULTS / f"{name}_{ground}.png", SEED, changes)
    environment = run_environment(run, {})
    gait = record_gait(environment, PolicyNetwork(load_policy(run.files.policy)), SEED)
    environment.close()
    plot_gait(gait, RESULTS / f"{name}_gait.png")
    return {
        "speed_m_s": gait.walked.speed_m_s,
        "strides_hz": gait.strides_hz.round(2).tolist(),
        "on_ground": gait.on_ground.round(2).tolist(),
        "torque_rms_nm": float(np.sqrt((gait.torque_nm**2).mean())),
        "torque_most_nm": float(np.abs(gait.torque_nm).max()),
        "hot_most_s": float(gait.hot_s.max()),
    }


def main() -> None:
    """Command line."""
    chosen = _options()
    points = [round(chosen.steps * (i + 1) / POINTS) for i in range(POINTS)]
    made: list[Trained] = []
    shares: list[np.ndarray] = []
    seeds: dict[int, dict[str, float]] = {}
    grounds: dict[str, dict[int, dict[str, float | None]]] = {ground: {} for ground in GROUNDS}
    for seed in chosen.seeds:
        arguments = {"mode": chosen.mode, "steps": chosen.steps, "seed": seed, "params": chosen.params}
        made.append(train("minitaur_walk", chosen.runs, f"walking-{chosen.mode}-{seed}", arguments))
        run = made[-1].run
        rows = read_episodes(run.files.episodes)
        shares.append(np.interp(points, *success_curve(rows, None)))
        seeds[seed] = _of_the_graph(run, rows)
        for ground in GROUNDS:
            grounds[ground][seed] = walk_ground(run, ground, chosen.episodes)
    result = {"mode": chosen.mode, "steps": chosen.steps, "seeds": seeds, "grounds": grounds}
    name = f"walking_{chosen.mode}"
    if chosen.save:
        result["gait"] = draw(made[0].run, name)
        label = "share of the last 25 training episodes"
        plot_curves(points, {"0.3 m/s and no fall": shares}, label, RESULTS / f"{name}.png")
    finish(chosen, name, result, page(name, seeds, grounds), commits_of(made))


def _options() -> argparse.Namespace:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--steps", type=int, default=20_000)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--mode", default="efficient")
    options.add_argument("--runs", type=Path, default=Path("runs"))
    options.add_argument("--episodes", type=int, default=50, help="on each ground")
    options.add_argument("--params", default="", help="parameter file of your own for the training")
    return options.parse_args()


def _of_the_graph(run: Run, rows: list[dict[str, str]]) -> dict[str, float]:
    """What `rosac train` itself found: its final evaluation on flat ground, and its training."""
    evaluation = json.loads(run.files.evaluation.read_text(encoding="utf-8"))
    learner = yaml.safe_load(run.files.config.read_text(encoding="utf-8"))["/**/learner"]["ros__parameters"]
    return {
        "steps": learner["total_steps"],
        "updates_per_step": learner["pacing.updates_per_step"],
        **{f"{label}_success": values["success_rate"] for label, values in evaluation.items()},
        "evaluation_episodes": min(values["episodes"] for values in evaluation.values()),
        "training_episodes": len(rows),
        "training_falls": sum(row["end_reason"] == str(EndReason.TERMINATED) for row in rows),
        "training_stops": sum(row["end_reason"] == str(EndReason.SAFETY_STOP) for row in rows),
        "robot_time_s": float(rows[-1]["robot_time_s"]),
    }


if __name__ == "__main__":
    main()
