"""rosac's modes on Gymnasium's MuJoCo tasks beside Stable-Baselines3's SAC and published returns.

.venv/bin/python benchmarks/compare_gymnasium.py --seeds 0 1 2 --save

Each run of rosac is what `rosac gym` does, on one thread. It is kept in --directory and computed only where it is
missing; a run that was cut off goes on. --environments, --modes and --seeds choose what is computed and shown,
--table-only computes nothing.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from compare_algorithms import Algorithm, in_bfloat16
from compare_kept import Plan
from compare_report import hours, wall_time_h
from compare_runs import obtained
from support import RESULTS, finish, parser, tell

STEPS = 100_000
EPISODES = 10  # of an evaluation: section 6.1 of arXiv 1802.09477
_EFFICIENT = Algorithm("efficient", STEPS, "docs/sac.md, mode efficient", mode="efficient")
MODES = {
    each.name: each
    for each in (
        Algorithm("sac", STEPS, "arXiv 1812.05905, App. D", mode="sac"),
        _EFFICIENT,
        in_bfloat16(_EFFICIENT),
        Algorithm("sb3_sac", STEPS, "Stable-Baselines3's defaults"),
    )
}
# Mean returns at 100,000 steps, read off published learning curves: SAC, and CrossQ (arXiv 1902.05605).
PUBLISHED = {
    "HalfCheetah-v5": {"SAC": 6156, "CrossQ": 8112},
    "Hopper-v5": {"SAC": 1103, "CrossQ": 2764},
    "Walker2d-v5": {"SAC": 690, "CrossQ": 3914},
}
HEADS = ("environment", "mode", "steps", "at the end", "each seed", "last five evaluations")
HEADS += ("SAC, published", "CrossQ, published", "wall time of a run [h]", "commit")
Runs = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]  # by environment and mode


def plan(directory: Path, environment: str, published: Path | None, steps: int) -> Plan:
    """Where the runs on one environment lie."""
    if published is not None:
        published = published / environment
        published.mkdir(parents=True, exist_ok=True)
    return Plan(environment, directory / environment, 20, EPISODES, EPISODES, steps, published)


def summaries(runs: Runs) -> list[dict[str, Any]]:
    """Returns of the last evaluations, and of the last five as one run's evaluations vary much."""
    found = []
    for (environment, mode), same in runs.items():
        final = [run["return_mean"][-1] for run in same]
        last = [float(np.mean(run["return_mean"][-5:])) for run in same]
        found.append(
            {
                "env_id": environment,
                "mode": mode,
                "seeds": [run["seed"] for run in same],
                "steps": same[0]["steps"][-1],
                "return_final": final,
                "return_last_five": last,
                "commits": sorted({run["commit"] for run in same}),
                "wall_time_h": wall_time_h(same),
            }
        )
    return found


def table(found: Sequence[Mapping[str, Any]], missing: Sequence[str]) -> str:
    """For people, as Markdown."""
    lines = [
        f"Mean return of {EPISODES} episodes with the deterministic policy; of the last five evaluations, too, as",
        "those of one run vary much. Published: means read off learning curves.",
        "",
        f"| {' | '.join(HEADS)} |",
        "|---" * len(HEADS) + "|",
    ]
    for each in found:
        cells = [
            each["env_id"],
            each["mode"],
            f"{each['steps']:,}",
            f"{np.mean(each['return_final']):.0f}",
            ", ".join(f"{value:.0f}" for value in each["return_final"]),
            f"{np.mean(each['return_last_five']):.0f}",
            *(f"{value}" for value in PUBLISHED[each["env_id"]].values()),
            hours(each["wall_time_h"]),
            ", ".join(each["commits"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if missing:
        lines += ["", f"Missing: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def _plot(runs: Runs, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    environments = sorted({environment for environment, _ in runs})
    figure, axes = plt.subplots(
        1, len(environments), figsize=(5 * len(environments), 3.5), layout="constrained", squeeze=False
    )
    for axis, environment in zip(axes[0], environments, strict=True):
        for (name, mode), same in runs.items():
            if name == environment:
                curves = np.array([run["return_mean"] for run in same])
                (line,) = axis.plot(same[0]["steps"], curves.mean(axis=0), label=f"{mode} ({len(same)})")
                axis.fill_between(same[0]["steps"], curves.min(0), curves.max(0), alpha=0.15, color=line.get_color())
        for (name, value), style in zip(PUBLISHED[environment].items(), (":", "--"), strict=True):
            axis.axhline(value, color="k", linewidth=0.8, linestyle=style, label=f"{name} at {STEPS:,}, published")
        axis.set(xlabel="control steps", ylabel="return", title=environment)
        axis.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Command line."""
    name = Path(__file__).stem
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--environments", nargs="+", choices=list(PUBLISHED), default=list(PUBLISHED))
    options.add_argument("--modes", nargs="+", choices=list(MODES), default=list(MODES))
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--steps", type=int, default=STEPS, help="control steps of every run")
    options.add_argument("--directory", type=Path, default=Path("runs") / name, help="where runs are kept")
    options.add_argument("--table-only", action="store_true", help="compute nothing, show what is there")
    show(options.parse_args(), name)


def show(chosen: argparse.Namespace, name: str) -> None:
    """Compute what is missing, seed by seed, and report."""
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    missing = []
    for seed in chosen.seeds:
        for environment in chosen.environments:
            where = plan(chosen.directory, environment, RESULTS / name if chosen.save else None, chosen.steps)
            for mode in (MODES[each] for each in chosen.modes):
                document = obtained(where, mode, seed, tell, table_only=chosen.table_only)
                if document is None:
                    missing.append(f"{environment} {mode.name} seed {seed}")
                else:
                    runs.setdefault((environment, mode.name), []).append(document)
    runs = dict(sorted(runs.items()))
    found = summaries(runs)
    if chosen.save and runs:
        _plot(runs, RESULTS / f"{name}.png")
    text = table(found, missing)
    finish(chosen, name, {"runs": found, "missing": missing, "seeds": chosen.seeds}, text)
    print(f"\n{text}")


if __name__ == "__main__":
    main()
