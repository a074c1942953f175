"""Ctrl-C, wherever in rclpy it comes."""

import shlex
import signal
from types import SimpleNamespace

import pytest
from rich.console import Console
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
