"""What a training ends with: evaluation, plots, picture strip."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from rich.console import Console

from sac_learner.commands.evaluation import Evaluation, evaluate
from sac_learner.commands.json_file import write_json
from sac_learner.runs.episode_table import read_episodes
from sac_learner.runs.plots import WINDOW, plot_run
from sac_learner.runs.run_directory import Run
from sac_learner.runs.strip import StripUnavailable, record_strip

# Successes of the policy with its noise less those without it that are worth a word. Source: own choice; twice the
# standard error of the difference of 25 and 50 episodes is 0.24.
_NEEDS_NOISE = 0.3


def report(run: Run, episodes: int, console: Console) -> None:
    """Evaluate the trained policy and the same one untrained; write evaluation.json, plots and the picture strip."""

    def note(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    note(f"evaluating over {episodes} episodes of each policy ...")
    results: dict[str, Evaluation] = {}
    for label, policy in (("trained", run.files.policy), ("untrained", run.files.untrained_policy)):
        results[label] = evaluate(run, policy, episodes, {}, note)
        note(f"{label:>9}: {results[label]}")
    note_need_of_noise(run, results["trained"], note)
    write_json(run.files.evaluation, {label: result.to_json() for label, result in results.items()})
    for path in plot_run(run):
        note(f"wrote {path}")
    try:
        note(f"wrote {record_strip(run, run.files.policy, run.files.strip)}")
    except StripUnavailable as error:
        note(f"no picture strip: {error}")


def note_need_of_noise(run: Run, trained: Evaluation, note: Callable[[str], None]) -> None:
    """A policy may succeed in training and its mean action fail: then say so, and what to do."""
    last = read_episodes(run.files.episodes)[-WINDOW:]
    in_training = sum(row["success"] == "1" for row in last) / max(1, len(last))
    if in_training - trained.success_rate > _NEEDS_NOISE:
        command = shlex.join(["rosac", "eval", str(run.path), "--noise"])
        note(
            f"In the last {len(last)} episodes of the training, with exploration noise, {100 * in_training:.0f}% "
            f"succeeded: without it this policy does worse. `{command}` runs it as it was trained; an earlier one may "
            f"do without (--policy FILE, one of those in {run.files.kept_policies}), a longer training (resume:=true "
            "and more steps) may mend it: see docs/sac.md, Without noise."
        )
