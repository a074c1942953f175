"""The learning benchmarks: a run counts only as the training that it is, and an interrupted one goes on."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sac_learner.graph.stacks import STACKS, parse_arguments
from sac_learner.policy import PolicyWeights
from sac_learner.runs.preparing import prepare
from sac_learner.sac.learner import SacLearner
from sac_learner.sac.settings import SacSettings

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
ASKED = {"mode": "sac", "steps": 300, "seed": 3}


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def evaluate(run, transitions, *, seed=0, before=False):
    """What a training leaves that has come to its end, or whose evaluation is of `before`."""
    size, action_size = 21, 9
    PolicyWeights(
        run=run.name,
        version=1,
        transitions=transitions,
        updates=1,
        explore_uniformly=False,
        tensors=SacLearner(SacSettings(), size, action_size, seed=seed).policy_tensors(),
        observation_mean=np.zeros(size, dtype=np.float32),
        observation_std=np.ones(size, dtype=np.float32),
    ).save(run.files.policy, {})
    run.files.evaluation.write_text('{"trained": {"success_rate": 0.9, "episodes": 50}}')
    at_ns = run.files.policy.stat().st_mtime_ns + (-1 if before else 1) * 10**9
    os.utime(run.files.evaluation, ns=(at_ns, at_ns))


class Rosac:
    """`rosac train` as far as the run's directory: makes or takes up a run, and ends it."""

    def __init__(self):
        self.calls, self.returncode, self.interrupted = [], 0, False

    def run(self, command, check, preexec_fn):
        stack, *arguments = command[command.index("train") + 1 :]
        self.calls.append(arguments)
        given = parse_arguments(STACKS[stack], arguments)
        made, _ = prepare(STACKS[stack], given, datetime.datetime(2026, 1, 1), print)
        if self.interrupted:
            raise KeyboardInterrupt
        if self.returncode:
            raise subprocess.CalledProcessError(self.returncode, command)
        evaluate(made, int(made.arguments["steps"]))


@pytest.fixture
def rosac(monkeypatch):
    import learned

    made = Rosac()
    monkeypatch.setattr(learned.subprocess, "run", made.run)
    monkeypatch.setattr(learned, "machine", lambda: {"commit": f"commit{len(made.calls)}"})
    return made


@pytest.fixture
def train(tmp_path):
    import learned

    def train(runs=tmp_path, **changes):
        return learned.train("dclaw_valve", runs, "learning-sac-3", {**ASKED, **changes})

    return train


def test_a_finished_run_is_not_trained_again(train, rosac, tmp_path):
    made = train()
    assert rosac.calls == [[f"runs:={tmp_path}", "run:=learning-sac-3", "mode:=sac", "steps:=300", "seed:=3"]]
    assert train() == made and len(rosac.calls) == 1
    assert made.commits == ("commit0",) and made.wall_time_s < 60.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": 45_000}, "learner total_steps is 300 there and 45000 here"),
        ({"steps": 200}, "learner total_steps is 300 there and 200 here"),
        ({"mode": "efficient"}, "learner sac.tau is 0.005 there and 1.0 here"),
        ({"seed": 4}, "seed is 3 there and 4 here"),
        ({"task": "DClawTurnFixed"}, "task task.name is DClawTurn there and DClawTurnFixed here"),
        ({"params": "own"}, "learner pacing.updates_per_step is 1.0 there and 2.0 here"),
    ],
)
@pytest.mark.parametrize("ended", [True, False])
def test_a_run_that_was_trained_with_something_else_is_refused(train, rosac, tmp_path, changes, said, ended):
    own = tmp_path / "own.yaml"
    own.write_text("/**/learner:\n  ros__parameters:\n    pacing.updates_per_step: 2.0\n")
    made = train()
    if not ended:
        made.run.files.evaluation.unlink()
    with pytest.raises(SystemExit) as refusal:
        train(**{name: str(own) if value == "own" else value for name, value in changes.items()})
    assert said in str(refusal.value)
    assert str(refusal.value).endswith("Give another --runs folder, or remove that run")
    assert len(rosac.calls) == 1


def test_what_the_parameter_file_holds_counts_and_not_where_it_lies(train, rosac, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text("/**/task:\n  ros__parameters:\n    task.horizon_steps: 20\n")
    train(params=tmp_path / "one")
    train(params=tmp_path / "two")
    assert len(rosac.calls) == 1
    with pytest.raises(SystemExit, match="task task.horizon_steps is 20 there and 0 here"):
        train()


def test_a_setting_that_is_newer_than_the_run_was_at_its_default(train, rosac, tmp_path):
    for mode, refusal in (("sac", ""), ("efficient", "learner sac.policy_smoothing is 1.0 there and 0.01 here")):
        arguments = {"mode": mode, "runs": tmp_path / mode}
        config = train(**arguments).run.files.config
        lines = config.read_text().splitlines(keepends=True)
        older = [line for line in lines if "sac.policy_smoothing" not in line]
        assert len(older) == len(lines) - 1
        config.write_text("".join(older).replace("sac.gradients: compiled", "sac.gradients: plain"))
        if refusal:
            with pytest.raises(SystemExit, match=refusal):
                train(**arguments)
        else:
            train(**arguments)
    assert len(rosac.calls) == 2


@pytest.mark.parametrize("seen", ["no evaluation", "some steps", "evaluation of before", "no policy"])
def test_an_interrupted_training_goes_on(train, rosac, tmp_path, seen):
    run = train().run
    if seen == "no evaluation":
        run.files.evaluation.unlink()
    elif seen == "some steps":
        evaluate(run, 299)
    elif seen == "evaluation of before":
        evaluate(run, 300, before=True)
    else:
        run.files.policy.unlink()
    made = train()
    assert rosac.calls[1:] == [[f"runs:={tmp_path}", "run:=learning-sac-3", "resume:=true"]]
    assert made.run.sessions == 2 and made.commits == ("commit0", "commit1")
    train()  # its seeds are those of another session
    assert len(rosac.calls) == 2


def test_sessions_that_nobody_noted_are_not_told_of(train, rosac):
    import learned

    made = train()
    (made.run.path / learned.SESSIONS).unlink()
    made.run.files.evaluation.unlink()
    made = train()
    assert made.commits == ("unknown", "commit1") and made.wall_time_s is None
    assert learned.commits_of([made, made]) == "commit1, unknown"


def test_a_session_that_is_interrupted_is_noted(train, rosac):
    rosac.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        train()
    rosac.interrupted = False
    made = train()
    assert rosac.calls[1][-1] == "resume:=true"
    assert made.commits == ("commit0", "commit1") and made.wall_time_s is not None


def test_a_training_that_fails_says_how_it_goes_on(train, rosac):
    rosac.returncode = 2
    with pytest.raises(
        SystemExit, match="learning-sac-3 ended with exit code 2, see above; called again, this goes on"
    ):
        train()


def test_a_folder_that_is_no_run_is_refused(train, rosac, tmp_path):
    (tmp_path / "learning-sac-3").mkdir()
    with pytest.raises(SystemExit, match="no run 'learning-sac-3'"):
        train()


def test_figures_of_a_ground_are_those_of_the_policy(train, rosac, monkeypatch):
    import walking
    from walking_episodes import Walked

    run = train().run
    speeds = iter([1.0, 2.0])  # of one measurement after the other
    monkeypatch.setattr(walking, "run_environment", lambda run, changes: argparse.Namespace(close=lambda: None))
    monkeypatch.setattr(walking, "walk_often", lambda *_: [Walked(next(speeds), False, True)])

    def speed_m_s():
        return walking.walk_ground(run, "flat", 7)["speed_m_s"]

    assert [speed_m_s(), speed_m_s()] == [1.0, 1.0]
    evaluate(run, 300, seed=1)
    assert [speed_m_s(), speed_m_s()] == [2.0, 2.0]
    run.files.policy.unlink()
    with pytest.raises(FileNotFoundError):
        speed_m_s()


def test_a_page_says_where_it_was_trained_and_where_drawn(tmp_path, monkeypatch):
    import support

    monkeypatch.setattr(support, "machine", lambda: {"commit": "now", "time": "today"})
    options = argparse.Namespace(json=tmp_path / "result.json", save=False)
    support.finish(options, "page", {"steps": 1}, "table", "then, unknown")
    result = json.loads((tmp_path / "result.json").read_text())
    assert result == {"steps": 1, "commit": "then, unknown", "time": "today", "drawn_at_commit": "now"}
    support.finish(options, "page", {"steps": 1})
    assert json.loads((tmp_path / "result.json").read_text()) == {"steps": 1, "commit": "now", "time": "today"}
