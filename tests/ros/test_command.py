"""The command `rosac`: what it refuses, Ctrl-C and resume, and that it never leaves a node behind."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from helpers import in_process
from helpers.graph import SMALL_LEARNER, GraphProcess, children, own_parameters, rosac
from helpers.patience import PATIENCE_S, until
from helpers.ros import ros_node
from sac_interfaces.msg import LearnerStatus
from sac_learner.commands.monitor import Monitor
from sac_learner.learning.replay_log import ReplayLog
from sac_learner.policy import load_policy
from sac_learner.runs.episode_table import read_episodes
from sac_learner.runs.run_files import RunFiles

from rosac_common import qos

pytestmark = pytest.mark.ros


def logged(run: Path) -> list[tuple[str, int]]:
    """(session, sequence number) of every transition in the replay log."""
    sizes = {"observation_size": 21, "action_size": 9}
    log = ReplayLog(run / "replay", task_name="DClawTurn", **sizes, sync_period_s=1.0)
    return [(segment.session_id, int(number)) for segment in log.segments for number in segment.records["sequence"]]


@pytest.mark.parametrize("command", [[], ["train"], ["up"], ["eval"], ["plot"], ["list"]])
def test_help_everywhere(command: list[str]) -> None:
    code, printed, _ = in_process.rosac(*command, "--help")
    assert code == 0
    assert printed.startswith("usage: rosac")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["train", "dclaw_valv"], "did you mean 'dclaw_valve'"),
        (["train", "dclaw_valve", "stepz:=3"], "did you mean 'steps'"),
        (["train", "dclaw_valve", "mode:=ppo"], "must be one of efficient, sac"),
        (["train", "dclaw_valve", "steps:=x"], "whole number"),
        (["up", "dclaw_valve", "time_base:=warp"], "must be one of auto, lockstep, realtime"),
        (["eval", "nothing"], "runs there: none"),
        (["plot", "nothing"], "runs there: none"),
        (["eval", "nothing", "--episodes", "0"], "0: must be a whole number, at least 1"),
        (["train", "dclaw_valve", "--episodes", "x"], "--episodes: x: must be a whole number, at least 1"),
        (["bus", "rate", "--port", "p", "--cycles", "x"], "--cycles: x: must be a whole number, at least 1"),
        (["train", "dclaw_valve", "runs:=/etc/passwd"], "/etc/passwd is no directory; choose another runs:=DIRECTORY"),
        (["eval", "nothing", "--episodes", "1", "terrain:=stairs", "--untrained"], "runs there: none"),
        (["eval", "nothing", "--untrained", "--policy", "p"], "--policy: not allowed with argument --untrained"),
        (["eval", "nothing", "--episodes", "1", "stairs"], "unrecognized arguments: stairs"),
        (["train", "dclaw_valve", "--quick"], "unrecognized arguments: --quick"),
        (["plot", "nothing", "terrain:=stairs"], "unrecognized arguments: terrain:=stairs"),
        (["train", "dclaw_valve", "resume:=true"], "nothing to resume"),
        (["train", "dclaw_valve", "params:=nowhere.yaml"], "nowhere.yaml: No such file"),
        (["dance"], "invalid choice: 'dance'"),
    ],
)
def test_bad_input_is_refused_with_the_valid_ones(
    command: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, complained = in_process.rosac(*command)
    assert code == 2
    assert expected in complained
    assert "Traceback" not in complained
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_leaves_a_run_that_resume_completes(tmp_path: Path) -> None:
    own = own_parameters(tmp_path / "fast.yaml", {"learner": SMALL_LEARNER})
    run = tmp_path / "runs" / "r"
    with GraphProcess("train", "run:=r", "steps:=1500", own, directory=tmp_path) as process:
        table = run / "episodes.csv"
        until(lambda: len(read_episodes(table)) >= 5 or process.process.poll() is not None, "episodes", 300.0)
        assert process.interrupt() == 130
        assert "resume:=true" in process.output()
    before = logged(run)
    assert 0 < len(before) < 1500
    result = rosac("train", "dclaw_valve", "run:=r", "resume:=true", "--episodes", "3", directory=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    after = logged(run)
    assert len(after) == len(set(after)) == 1500
    assert after[: len(before)] == before, "the log was rewritten"
    rows = read_episodes(run / "episodes.csv")
    assert len({(row["session_id"], row["episode"]) for row in rows}) == len(rows)
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert [evaluation[policy]["episodes"] for policy in ("trained", "untrained")] == [3, 3]
    assert load_policy(RunFiles(run).kept_policy(1000)).transitions >= 1000
    earlier = ("eval", "r", "--policy", str(RunFiles(run).kept_policy(1000)), "--episodes", "2")
    assert rosac(*earlier, "--json", "earlier.json", directory=tmp_path).returncode == 0
    assert json.loads((tmp_path / "earlier.json").read_text())["episodes"] == 2
    refused = rosac("eval", "r", "steps:=3", directory=tmp_path)
    assert refused.returncode == 2
    assert "steps: an evaluation takes that from the run" in refused.stderr


def test_a_training_whose_learner_fails_ends_with_its_reason(tmp_path: Path) -> None:
    diverging = {"sac.learning_rate": 1.0, "sac.reward_scale": 1e6, "sac.tau": 0.5}
    own = own_parameters(tmp_path / "bad.yaml", {"learner": {**SMALL_LEARNER, **diverging}})
    with GraphProcess("train", "run:=r", "mode:=sac", "steps:=2000", own, directory=tmp_path) as process:
        assert process.wait(300.0) == 1
        said = " ".join(process.output().split("--- ")[0].split())
        assert re.search(r"rosac: learning has failed: \w+ is (nan|inf|-inf) after update \d+", said), said
        assert "Traceback" not in said
        assert not children(process.process.pid)


def test_a_learner_that_dies_with_a_last_word_has_not_failed_for_good() -> None:
    failed = LearnerStatus(phase=LearnerStatus.PHASE_FAILED, message="unexpected error")
    with Monitor("m", "localhost") as monitor, ros_node() as node:
        publisher = node.create_publisher(LearnerStatus, "/m/learner/status", qos.LATCHED)

        def say(status: LearnerStatus) -> str:
            before = monitor.status
            publisher.publish(status)
            assert monitor.spin_until(lambda: monitor.status is not before, PATIENCE_S)
            return monitor.learner_failure

        assert say(failed) == ""
        assert say(LearnerStatus(phase=LearnerStatus.PHASE_EXPLORING)) == "", "it was started again"
        assert say(failed) == ""
        assert say(failed) == "unexpected error", "it lives, and does not learn"


# SIGTERM comes in a `__del__`, where Python does not let its handler raise anything.
LOSES_A_SIGNAL = """
import os, signal, sys
from sac_learner.cli import main
from sac_learner.commands.robot_link import RobotLink

class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

def spin(link, duration_s, known=RobotLink.spin, once=[Last()]):
    once.clear()
    known(link, duration_s)

RobotLink.spin = spin
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("command", "expected"), [("up", 0), ("train", 130)])
def test_a_signal_that_python_loses_ends_it_all_the_same(command: str, expected: int, tmp_path: Path) -> None:
    program = [sys.executable, "-c", LOSES_A_SIGNAL]
    ended = rosac(command, "dclaw_valve", "run:=r", directory=tmp_path, program=program, timeout_s=PATIENCE_S)
    assert "Exception ignored" in ended.stderr
    assert ended.returncode == expected


def test_no_node_outlives_a_killed_command(tmp_path: Path) -> None:
    own = own_parameters(tmp_path / "fast.yaml", {"learner": SMALL_LEARNER})
    with GraphProcess("up", "run:=r", own, directory=tmp_path) as process:
        until(lambda: read_episodes(tmp_path / "runs" / "r" / "episodes.csv"), "an episode", 300.0)
        pids = [pid for pid, _ in children(process.process.pid)]
        assert len(pids) == 4
        os.kill(process.process.pid, signal.SIGKILL)
        process.process.wait()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the nodes end without their supervisor")
