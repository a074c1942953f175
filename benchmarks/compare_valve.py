"""rosac beside PPO, TD3 and DDPG on the valve: success against control steps and against robot time.

.venv/bin/python benchmarks/compare_valve.py --seeds 0 1 2 --save

Every run is kept in --directory and computed only where it is missing; a run that was cut off goes on. So a long
comparison can be spread over many calls: --algorithms and --seeds choose what is computed and shown, --table-only
computes nothing and draws what is there.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
from pathlib import Path
from typing import Any

import compare_report
from compare_algorithms import ALGORITHMS
from compare_runs import Plan, compute, finished
from support import RESULTS, finish, parser


def main() -> None:
    """Command line."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--algorithms", nargs="+", choices=list(ALGORITHMS), default=list(ALGORITHMS))
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--steps", type=int, default=0, help="control steps of every run; 0: those of the algorithm")
    options.add_argument("--directory", type=Path, default=Path("runs/compare_valve"), help="where the runs are kept")
    options.add_argument("--points", type=int, default=20, help="evaluations of a run")
    options.add_argument("--episodes", type=int, default=25, help="episodes of an evaluation")
    options.add_argument("--final-episodes", type=int, default=100, help="episodes of the last evaluation")
    options.add_argument("--table-only", action="store_true", help="compute nothing, show what is there")
    chosen = options.parse_args()
    plan = Plan(chosen.directory, chosen.points, chosen.episodes, chosen.final_episodes, chosen.steps)
    runs: dict[str, list[dict[str, Any]]] = {}
    missing = []
    # Seed by seed, so that an interrupted comparison has all algorithms with fewer seeds.
    for seed in chosen.seeds:
        for name in chosen.algorithms:
            document = finished(plan, ALGORITHMS[name], seed)
            if document is None and not chosen.table_only:
                document = compute(plan, ALGORITHMS[name], seed, lambda line: print(line, flush=True))
            if document is None:
                missing.append(f"{name} seed {seed}")
            else:
                runs.setdefault(name, []).append(document)
    summaries = [compare_report.summary(name, runs[name]) for name in chosen.algorithms if name in runs]
    table = compare_report.table(summaries, missing)
    if chosen.save and summaries:
        compare_report.plot(runs, RESULTS / "compare_valve.png")
    result = {"algorithms": summaries, "ratios": compare_report.ratios(summaries), "missing": missing}
    finish(chosen, "compare_valve", {**result, "seeds": chosen.seeds}, table)
    print(f"\n{table}")


if __name__ == "__main__":
    main()
