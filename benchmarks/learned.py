"""What the learning benchmarks share: one training run as a user starts it, and curves of success over seeds."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from rosac_common.parent import ending_with_this_process
from sac_learner.runs.run_directory import Run, find_run

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen first


def train(stack: str, runs: Path, name: str, arguments: Mapping[str, object]) -> tuple[Run, float | None]:
    """`rosac train`, unless the run is there already; returns it with its wall time [s] (None if it was there)."""
    elapsed = None
    if not (runs / name / "evaluation.json").exists():
        start = time.monotonic()
        given = [f"{key}:={value}" for key, value in {"runs": runs, "run": name, **arguments}.items()]
        command = [sys.executable, "-m", "sac_learner.cli", "train", stack, *given]
        subprocess.run(command, check=True, preexec_fn=ending_with_this_process(signal.SIGINT))
        elapsed = time.monotonic() - start
    return find_run(name, runs), elapsed


def plot_curves(points: list[int], curves: Mapping[str, list[np.ndarray]], ylabel: str, path: Path) -> None:
    """Mean and range over seeds against control steps; `curves`: label -> (points,) of each seed."""
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for label, values in curves.items():
        (line,) = axis.plot(points, np.mean(values, axis=0), marker="o", label=label)
        axis.fill_between(points, np.min(values, axis=0), np.max(values, axis=0), alpha=0.2, color=line.get_color())
    axis.set(xlabel="control steps", ylabel=ylabel, ylim=(-0.02, 1.02))
    axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
