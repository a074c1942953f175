"""What benchmarks/compare_valve.py and compare_walking.py share: the command line, and what is computed and shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import compare_report
from compare_algorithms import Algorithm
from compare_kept import Plan
from compare_runs import obtained
from support import RESULTS, finish, parser, tell


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Algorithms on one environment."""

    name: str  # of the benchmark and of its results
    environment: str
    success: str  # what counts as one, and what a control step takes; for the table
    algorithms: Mapping[str, Algorithm]


def main(comparison: Comparison, description: str) -> None:
    """Command line."""
    algorithms = comparison.algorithms
    options = parser(description)
    options.add_argument("--algorithms", nargs="+", choices=list(algorithms), default=list(algorithms))
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--steps", type=int, default=0, help="control steps of every run; 0: those of the algorithm")
    options.add_argument("--directory", type=Path, default=Path("runs") / comparison.name, help="where runs are kept")
    options.add_argument("--points", type=int, default=20, help="evaluations of a run")
    options.add_argument("--episodes", type=int, default=25, help="episodes of an evaluation")
    options.add_argument("--final-episodes", type=int, default=100, help="episodes of the last evaluation")
    options.add_argument("--table-only", action="store_true", help="compute nothing, show what is there")
    chosen = options.parse_args()
    published = RESULTS / comparison.name if chosen.save else None
    if published is not None:
        published.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        comparison.environment,
        chosen.directory,
        chosen.points,
        chosen.episodes,
        chosen.final_episodes,
        chosen.steps,
        published,
    )
    runs: dict[str, list[dict[str, Any]]] = {}
    missing = []
    # Seed by seed, so that an interrupted comparison has all algorithms with fewer seeds.
    for seed in chosen.seeds:
        for name in chosen.algorithms:
            document = obtained(plan, algorithms[name], seed, tell, table_only=chosen.table_only)
            if document is None:
                missing.append(f"{name} seed {seed}")
            else:
                runs.setdefault(name, []).append(document)
    summaries = [compare_report.summary(name, runs[name]) for name in chosen.algorithms if name in runs]
    table = compare_report.table(comparison.success, summaries, missing)
    if chosen.save and summaries:
        compare_report.plot(runs, RESULTS / f"{comparison.name}.png")
    result = {"algorithms": summaries, "ratios": compare_report.ratios(summaries), "missing": missing}
    finish(chosen, comparison.name, {**result, "seeds": chosen.seeds}, table)
    print(f"\n{table}")
