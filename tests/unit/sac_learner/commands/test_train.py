"""Ctrl-C, wherever in rclpy it comes; and a learner that fails."""

import contextlib
import shlex
import signal
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from rich.console import Console
from sac_interfaces.msg import LearnerStatus
from sac_learner.commands import train


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose training is the test's."""
    files = SimpleNamespace(metrics=tmp_path)
    made = SimpleNamespace(path=tmp_path / "runs" / "r", name="r", files=files)
    monkeypatch.setattr(train, "prepare", lambda *_: (made, None))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield SimpleNamespace(name="dclaw_valve")
    for number, handler in before.items():
        signal.signal(number, handler)


def test_ctrl_c_that_rclpy_loses_is_still_ctrl_c(run, monkeypatch):
    def learn(*_):
        try:
            signal.raise_signal(signal.SIGINT)
        except train.Interrupted:
            raise RuntimeError("Unable to convert call argument '0' to Python object") from None

    monkeypatch.setattr(train, "_learn", learn)
    assert train.train(run, {}, 1, Console()) == 130


def test_an_error_stays_an_error(run, monkeypatch):
    def learn(*_):
        raise RuntimeError("a node does not start")

    monkeypatch.setattr(train, "_learn", learn)
    with pytest.raises(RuntimeError, match="does not start"):
        train.train(run, {}, 1, Console())


def test_the_line_that_goes_on_can_be_copied(run, monkeypatch, capsys):
    """Names may look like markup, hold blanks, and be longer than the terminal is wide."""
    name = "exp[lr=3e-4] a" + 80 * "x"
    made, _ = train.prepare()
    made.path, made.name = made.path.with_name(name), name
    monkeypatch.setattr(train, "_learn", lambda *_: signal.raise_signal(signal.SIGINT))
    train.train(run, {}, 1, Console(width=80))
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "continue with: " in line)
    command = shlex.split(line.partition("continue with: ")[2])
    expected = ["rosac", "train", "dclaw_valve", f"runs:={made.path.parent}", f"run:={name}", "resume:=true"]
    assert command == expected


class FailedLearner:
    """Stands in for the monitor of a graph whose learner has failed, until a person has let it finish after all."""

    def __init__(self, *_):
        self.status, self.learner_failure, self.looks = None, "", 0

    def spin(self, _):
        self.looks += 1
        phases = [LearnerStatus.PHASE_TRAINING, LearnerStatus.PHASE_FAILED, LearnerStatus.PHASE_FINISHED]
        self.status = LearnerStatus(phase=phases[min(self.looks // 3, 2)])
        failed = self.status.phase == LearnerStatus.PHASE_FAILED
        self.learner_failure = "critic_loss is nan after update 31" if failed else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize(
    ("lockstep", "ends"),
    [
        (True, pytest.raises(RuntimeError, match="learning has failed: critic_loss is nan after update 31")),
        (False, contextlib.nullcontext()),
    ],
    ids=["lockstep", "realtime"],
)
def test_a_learner_that_fails_ends_the_training_where_the_robot_waits_for_it(monkeypatch, lockstep, ends):
    other = MagicMock()  # supervisor, display and console
    for name in ("Supervisor", "Progress", "OperatorConsole"):
        monkeypatch.setattr(train, name, other)
    monkeypatch.setattr(train, "Monitor", FailedLearner)
    bridge = SimpleNamespace(lockstep=lockstep)
    graph = SimpleNamespace(arguments={"namespace": "", "discovery": "localhost"}, parameters={"bridge": bridge})
    run = SimpleNamespace(stack="s", name="r", files=SimpleNamespace(config="", logs=""))
    with ends:
        train._learn(run, graph, Console(), [])
    other.return_value.stop.assert_called_once_with()
