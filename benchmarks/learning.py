"""Success of Turn against control steps, over seeds: `rosac train` as a user runs it, its episode tables put together.

.venv/bin/python benchmarks/learning.py --steps 45000 --seeds 0 1 2 --save
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import subprocess
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import json  # noqa: E402

import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen first
import numpy as np  # noqa: E402
from sac_learner.episode_table import read_episodes  # noqa: E402
from sac_learner.plots import success_curve  # noqa: E402
from sac_learner.run_directory import Run, find_run  # noqa: E402
from support import RESULTS, finish, parser  # noqa: E402

TOLERANCES_RAD = (0.10, 0.25)
# Points of the table: control steps.
CHECKPOINTS = (5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000, 40_000, 45_000)


def train(runs: Path, mode: str, steps: int, seed: int) -> tuple[Run, float]:
    """One run, unless it is there already; returns it with its wall time [s] (NaN if it was there)."""
    name = f"learning-{mode}-{seed}"
    elapsed = float("nan")
    if not (runs / name / "evaluation.json").exists():
        start = time.monotonic()
        arguments = [f"runs:={runs}", f"run:={name}", f"mode:={mode}", f"steps:={steps}", f"seed:={seed}"]
        subprocess.run([sys.executable, "-m", "sac_learner.cli", "train", "dclaw_valve", *arguments], check=True)
        elapsed = time.monotonic() - start
    return find_run(name, runs), elapsed


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
    points = [point for point in CHECKPOINTS if point <= chosen.steps]
    for seed in chosen.seeds:
        run, elapsed = train(chosen.runs, chosen.mode, chosen.steps, seed)
        evaluation = json.loads((run.files.evaluation).read_text())
        for label, values in evaluation.items():
            result[f"seed_{seed}_{label}_success"] = values["success_rate"]
            result[f"seed_{seed}_{label}_final_error_rad"] = values["final_error_rad_mean"]
        result[f"seed_{seed}_wall_time_s"] = elapsed
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
        _plot(points, curves, RESULTS / f"learning_{chosen.mode}.png")
    finish(chosen, f"learning_{chosen.mode}", result)


def _plot(points: list[int], curves: dict[float, list[np.ndarray]], path: Path) -> None:
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for tolerance, values in curves.items():
        (line,) = axis.plot(points, np.mean(values, axis=0), marker="o", label=f"|error| < {tolerance:.2f} rad")
        axis.fill_between(points, np.min(values, axis=0), np.max(values, axis=0), alpha=0.2, color=line.get_color())
    axis.set(xlabel="control steps", ylabel="share of the last 50 training episodes", ylim=(-0.02, 1.02))
    axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
