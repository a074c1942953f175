"""What a training ends with: evaluation, plots, picture strip."""

from __future__ import annotations

from rich.console import Console

from sac_learner.commands.evaluation import Evaluation, evaluate
from sac_learner.commands.json_file import write_json
from sac_learner.runs.plots import plot_run
from sac_learner.runs.run_directory import Run
from sac_learner.runs.strip import StripUnavailable, record_strip


def report(run: Run, episodes: int, console: Console) -> None:
    """Evaluate the trained policy and the same one untrained; write evaluation.json, plots and the picture strip."""

    def note(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    note(f"evaluating over {episodes} episodes of each policy ...")
    results: dict[str, Evaluation] = {}
    for label, policy in (("trained", run.files.policy), ("untrained", run.files.untrained_policy)):
        results[label] = evaluate(run, policy, episodes, {}, note)
        note(f"{label:>9}: {results[label]}")
    write_json(run.files.evaluation, {label: result.to_json() for label, result in results.items()})
    for path in plot_run(run):
        note(f"wrote {path}")
    try:
        note(f"wrote {record_strip(run, run.files.policy, run.files.strip)}")
    except StripUnavailable as error:
        note(f"no picture strip: {error}")
