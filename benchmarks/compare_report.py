"""Table and plot of compare_valve.py and compare_walking.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen first

# Shares of success whose first time is reported.
LEVELS = (0.6, 0.9)
# Algorithms that the others are compared with in `ratios`.
REFERENCES = ("ppo", "ppo_normalised")
RULES = """Robot time: that of the control steps and of the resets between training episodes, as the environment
counts both; evaluations do not count. First at: the first evaluation at which the mean success over the seeds is at
least that high (in brackets: how many seeds reached it at any evaluation). Best kept: of each seed the policy with
the best of these evaluations, over as many new episodes as the last one has (in brackets: lowest to highest, and of how
many seeds it was kept)."""
Run = Mapping[str, Any]


def mean_curve(runs: Sequence[Run]) -> dict[str, npt.NDArray[np.float64]]:
    """Mean over the seeds of success, return and robot time [h] at the first run's evaluations; and lowest, highest."""
    steps = np.array(runs[0]["steps"], dtype=float)
    steps = steps[steps <= min(run["steps"][-1] for run in runs)]
    success = np.array([np.interp(steps, run["steps"], run["success_rate"]) for run in runs])
    return {
        "steps": steps,
        "success": success.mean(axis=0),
        "lowest": success.min(axis=0),
        "highest": success.max(axis=0),
        "return": np.mean([np.interp(steps, run["steps"], run["return_mean"]) for run in runs], axis=0),
        "robot_h": np.mean([np.interp(steps, run["steps"], run["robot_time_s"]) for run in runs], axis=0) / 3600,
    }


def wall_time_h(runs: Sequence[Run]) -> float | None:
    """Mean over the runs whose wall time is known; None: that of none is."""
    known = [run["wall_time_s"] for run in runs if run["wall_time_s"] is not None]
    return float(np.mean(known)) / 3600 if known else None


def hours(time_h: float | None) -> str:
    """A time in a table."""
    return "-" if time_h is None else f"{time_h:.2f}"


def summary(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """The numbers of one algorithm."""
    curve = mean_curve(runs)
    found: dict[str, Any] = {
        "name": name,
        "source": runs[0]["source"],
        "seeds": [run["seed"] for run in runs],
        "commits": sorted({run["commit"] for run in runs}),
        "steps": int(curve["steps"][-1]),
        "robot_h": float(curve["robot_h"][-1]),
        "final_success": [run["success_rate"][-1] for run in runs],
        "final_return": float(curve["return"][-1]),
        "best": [{"seed": run["seed"], **run["best"]} for run in runs if "best" in run],
        "wall_time_h": wall_time_h(runs),
    }
    for level in LEVELS:
        reached = np.flatnonzero(curve["success"] >= level)
        first = None if not len(reached) else int(reached[0])
        found[f"first_at_{level:g}"] = {
            "steps": None if first is None else int(curve["steps"][first]),
            "robot_h": None if first is None else float(curve["robot_h"][first]),
            "seeds": sum(max(run["success_rate"]) >= level for run in runs),
        }
    return found


def ratios(summaries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Robot hours of the references for each level over those of rosac's modes; ">": the reference never got there."""
    by_name = {each["name"]: each for each in summaries}
    found = {}
    for reference in (by_name[name] for name in REFERENCES if name in by_name):
        for own in (each for name, each in by_name.items() if name.startswith(("sac", "efficient"))):
            for level in LEVELS:
                ours_h, theirs_h = (each[f"first_at_{level:g}"]["robot_h"] for each in (own, reference))
                if ours_h is None:
                    continue
                known = f"{theirs_h / ours_h:.1f}" if theirs_h else f"> {reference['robot_h'] / ours_h:.1f}"
                found[f"{reference['name']} / {own['name']} at {100 * level:.0f}%"] = known
    return found


def table(success: str, summaries: Sequence[Mapping[str, Any]], missing: Sequence[str]) -> str:
    """Everything for people, as Markdown; `success` says what counts as one."""
    heads = ["algorithm", "seeds", "steps", "robot [h]", "final success", "final return"]
    heads += [f"first at {100 * level:.0f}%" for level in LEVELS] + ["best kept", "wall time of a run [h]"]
    lines = [
        f"Success, with the deterministic policy: {success}.",
        RULES,
        "",
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
    ]
    for each in summaries:
        final = each["final_success"]
        cells = [
            each["name"],
            str(len(each["seeds"])),
            f"{each['steps']:,}",
            f"{each['robot_h']:.2f}",
            f"{100 * np.mean(final):.0f}% ({100 * min(final):.0f} to {100 * max(final):.0f})",
            f"{each['final_return']:.0f}",
            *(_first(each[f"first_at_{level:g}"], len(each["seeds"])) for level in LEVELS),
            _best(each["best"]),
            hours(each["wall_time_h"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if found := ratios(summaries):
        lines += ["", "| robot hours, ratio | |", "|---|---|", *(f"| {k} | {v} |" for k, v in found.items())]
    lines += ["", "Settings:", "", *map(_settings, summaries)]
    if missing:
        lines += ["", f"Missing: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def _settings(summary: Mapping[str, Any]) -> str:
    return f"- {summary['name']}: {summary['source']} (commit {', '.join(summary['commits'])})"


def _best(known: Sequence[Mapping[str, Any]]) -> str:
    if not known:
        return "-"
    success = [100 * best["success_rate"] for best in known]
    return f"{np.mean(success):.0f}% ({min(success):.0f} to {max(success):.0f}; {len(known)})"


def _first(found: Mapping[str, Any], seeds: int) -> str:
    count = f"({found['seeds']} of {seeds})"
    if found["steps"] is None:
        return f"never {count}"
    return f"{found['steps']:,} steps, {found['robot_h']:.2f} h {count}"


def plot(runs: Mapping[str, Sequence[Run]], path: Path) -> None:
    """Success against control steps and robot hours: mean, and from lowest to highest seed."""
    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(11, 4.5), layout="constrained")
    for name, same in runs.items():
        curve = mean_curve(same)
        for axis, x in zip(axes, (curve["steps"], curve["robot_h"]), strict=True):
            (line,) = axis.plot(x, curve["success"], marker=".", label=f"{name} ({len(same)})")
            axis.fill_between(x, curve["lowest"], curve["highest"], alpha=0.15, color=line.get_color())
    axes[0].set(xlabel="control steps", ylabel="success of the deterministic policy", ylim=(-0.02, 1.02), xscale="log")
    axes[1].set(xlabel="robot time [h], resets included", xscale="log")
    axes[0].legend(title="algorithm (seeds)", fontsize=8, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
