"""Success of Turn against control steps, over seeds: `rosac train` as a user runs it, its episode tables put together.

.venv/bin/python benchmarks/learning.py --steps 45000 --seeds 0 1 2 --save

A finished training is not done again; an interrupted one goes on, and one of the same name with other settings is
refused.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import json
from pathlib import Path

import numpy as np
from learned import Trained, commits_of, plot_curves, train
from sac_learner.runs.episode_table import read_episodes
from sac_learner.runs.plots import success_curve
from support import RESULTS, finish, parser

TOLERANCES_RAD = (0.10, 0.25)
# Points of the table: control steps.
CHECKPOINTS = (5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000, 40_000, 45_000)


def main() -> None:
    """Command line."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--steps", type=int, default=45_000)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--mode", default="sac")
    options.add_argument("--runs", type=Path, default=Path("runs"))
    chosen = options.parse_args()
    result: dict[str, object] = {"mode": chosen.mode, "steps": chosen.steps, "seeds": str(chosen.seeds)}
    curves: dict[float, list[np.ndarray]] = {tolerance: [] for tolerance in TOLERANCES_RAD}
    made: list[Trained] = []
    points = [point for point in CHECKPOINTS if point <= chosen.steps]
    for seed in chosen.seeds:
        arguments = {"mode": chosen.mode, "steps": chosen.steps, "seed": seed}
        made.append(train("dclaw_valve", chosen.runs, f"learning-{chosen.mode}-{seed}", arguments))
        run = made[-1].run
        evaluation = json.loads(run.files.evaluation.read_text(encoding="utf-8"))
        for label, values in evaluation.items():
            result[f"seed_{seed}_{label}_success"] = values["success_rate"]
            result[f"seed_{seed}_{label}_final_error_rad"] = values["final_error_mean"]
        result[f"seed_{seed}_wall_time_s"] = made[-1].wall_time_s
        rows = read_episodes(run.files.episodes)
        result[f"seed_{seed}_robot_time_s"] = float(rows[-1]["robot_time_s"])
        for tolerance in TOLERANCES_RAD:
            steps, share = success_curve(rows, tolerance, window=50)
            curves[tolerance].append(np.interp(points, steps, share))
    for tolerance, values in curves.items():
        mean = np.mean(values, axis=0)
        result[f"training_success_within_{tolerance:.2f}_rad"] = [round(float(value), 3) for value in mean]
        for point, value in zip(points, mean, strict=True):
            result[f"within_{tolerance:.2f}_rad_at_{point}"] = float(value)
    if chosen.save:
        named = {f"|error| < {tolerance:.2f} rad": values for tolerance, values in curves.items()}
        plot_curves(points, named, "share of the last 50 training episodes", RESULTS / f"learning_{chosen.mode}.png")
    finish(chosen, f"learning_{chosen.mode}", result, trained_at=commits_of(made))


if __name__ == "__main__":
    main()
