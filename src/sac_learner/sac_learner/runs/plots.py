"""Learning curves of a run as PNG files, from its episode table and TensorBoard events."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen first
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from valve_task.tasks import error_unit_of  # noqa: E402

from sac_learner.runs.episode_table import read_episodes  # noqa: E402
from sac_learner.runs.run_directory import Run, RunError  # noqa: E402

# Episodes averaged for one point of a curve.
WINDOW = 25


def plot_run(run: Run) -> list[Path]:
    """Write `plots/learning_curve.png` and `plots/learner.png`; returns their paths.

    Raises:
        RunError: no episode has ended yet.
    """
    rows = read_episodes(run.files.episodes)
    if not rows:
        raise RunError(f"run '{run.name}' has no finished episode yet: nothing to plot")
    directory = run.files.plots
    directory.mkdir(exist_ok=True)
    paths = [directory / "learning_curve.png", directory / "learner.png"]
    _learning_curve(rows, run.name, paths[0])
    _learner(run, paths[1])
    return paths


def success_curve(
    rows: list[dict[str, str]], tolerance_rad: float | None, window: int = WINDOW
) -> tuple[npt.NDArray, npt.NDArray]:
    """Transitions, and the share of episodes that end within `tolerance_rad`, or with None that the task itself counts
    as a success: a moving mean over `window` of them."""
    steps = np.array([int(row["transitions"]) for row in rows])
    if tolerance_rad is None:
        good = [row["success"] == "1" for row in rows]
    else:
        good = [abs(float(row["final_error_rad"])) < tolerance_rad for row in rows]
    return _moving(steps, np.array(good, dtype=float), window)


def _moving(steps: npt.NDArray, values: npt.NDArray, window: int = WINDOW) -> tuple[npt.NDArray, npt.NDArray]:
    window = min(window, len(values))
    return steps[window - 1 :], np.convolve(values, np.ones(window) / window, mode="valid")


def _learning_curve(rows: list[dict[str, str]], title: str, path: Path) -> None:
    steps = np.array([int(row["transitions"]) for row in rows])
    figure, (top, middle, bottom) = plt.subplots(3, 1, sharex=True, figsize=(7, 8), layout="constrained")
    returns = np.array([float(row["episode_return"]) for row in rows])
    top.plot(steps, returns, ".", markersize=2, alpha=0.4)
    top.plot(*_moving(steps, returns))
    top.set(ylabel="return", title=title)
    unit = error_unit_of(rows[-1]["task"])
    if unit == "rad":
        for tolerance in (0.25, 0.10):
            middle.plot(*success_curve(rows, tolerance), label=f"|error| < {tolerance:.2f} rad")
    else:
        middle.plot(*success_curve(rows, None), label="success")
    middle.set(ylabel=f"share of last {WINDOW} episodes", ylim=(-0.02, 1.02))
    middle.legend()
    errors = np.array([abs(float(row["final_error_rad"])) for row in rows])
    bottom.plot(steps, errors, ".", markersize=2, alpha=0.4)
    bottom.plot(*_moving(steps, errors))
    bottom.set(ylabel=f"final |error| [{unit}]", xlabel="control steps")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _learner(run: Run, path: Path) -> None:
    events = EventAccumulator(str(run.files.metrics), size_guidance={"scalars": 2000})
    events.Reload()
    names = sorted(events.Tags()["scalars"])
    columns = 3
    rows = max(1, -(-len(names) // columns))
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 2.4 * rows), layout="constrained", squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        points = events.Scalars(name)
        axis.plot([point.step for point in points], [point.value for point in points])
        axis.set_title(name, fontsize=9)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
