"""A learner process that is killed (SIGKILL) and the run that goes on from what it left, bit for bit.

This file is also the process: `python test_kill.py <run directory> <where to die> <gradients>` feeds a trainer until it
is killed.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.learning import learner_settings, make_transition
from sac_learner.learning.checkpoint import CheckpointError
from sac_learner.learning.trainer import Trainer

INTERVAL = 5  # updates between checkpoints


def settings(directory: Path, gradients: str):
    return learner_settings(directory, storage__checkpoint_interval_updates=INTERVAL, sac__gradients=gradients)


def feed(trainer: Trainer, end: int | None = None) -> None:
    """Offer the transitions that the run has not stored yet, each digested before the next."""
    digest(trainer)
    numbers = itertools.count(trainer.intake.counters.stored)
    for number in itertools.takewhile(lambda n: end is None or n < end, numbers):
        trainer.offer(make_transition(number))
        digest(trainer)
        if end is None:
            print(trainer.pacer.updates, flush=True)


def digest(trainer: Trainer) -> None:
    trainer.flush(0.0)
    while trainer.step():
        trainer.save_if_due(0.0)


# --- the process that is killed -----------------------------------------------------------------------------------


def die_when(name: str, fits: Callable[..., bool], half: Callable[..., object] = lambda *a: None) -> None:
    """Let a function of `os` kill this process the third time its arguments fit, after doing `half` of its work."""
    real, count = getattr(os, name), itertools.count(1)

    def deadly(*args):
        if fits(*args) and next(count) == 3:
            half(*args)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)

    setattr(os, name, deadly)


def plan_death(where: str) -> None:
    write, replace = os.write, os.replace

    def writes_checkpoint(descriptor, data) -> bool:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.startswith("checkpoint_")

    def writes_log(descriptor, data) -> bool:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.endswith(".replay")

    def moves_checkpoint(source, target) -> bool:
        return Path(target).name.startswith("checkpoint_")

    def first_half(descriptor, data) -> None:
        write(descriptor, data[: len(data) // 2])

    if where == "checkpoint half written":
        die_when("write", writes_checkpoint, first_half)
    elif where == "checkpoint not yet renamed":
        die_when("replace", moves_checkpoint)
    elif where == "checkpoint just renamed":
        die_when("replace", moves_checkpoint, replace)
    elif where == "log record half written":
        die_when("write", writes_log, first_half)


def main() -> None:
    torch.set_num_threads(1)
    directory, where, gradients = sys.argv[1:]
    trainer = Trainer(settings(Path(directory), gradients))
    plan_death(where)
    feed(trainer)


# --- the tests ----------------------------------------------------------------------------------------------------


def run_until_killed(directory: Path, where: str, updates: int = 0, gradients: str = "derived") -> None:
    """Start the process; it dies by itself at a certain place, or is killed as soon as it tells of so many updates."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, __file__, str(directory), where, gradients]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}) as child:
        for line in child.stdout:
            if updates and int(line) >= updates:
                child.kill()
                break
    assert child.returncode == -signal.SIGKILL


def assert_same_run(first: Trainer, second: Trainer) -> None:
    one, two = first.learner.state(), second.learner.state()
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name
    assert (first.pacer.taken, first.pacer.updates) == (second.pacer.taken, second.pacer.updates)
    np.testing.assert_array_equal(first.memory._table, second.memory._table)


def assert_goes_on_like_an_uninterrupted_run(directory: Path, tmp_path: Path, gradients: str = "derived") -> None:
    resumed, whole = (Trainer(settings(each, gradients)) for each in (directory, tmp_path / "whole"))
    assert not resumed.problems and not whole.problems
    end = resumed.intake.counters.stored + 30
    assert 0 < resumed.resumed_at <= resumed.intake.counters.stored
    feed(resumed, end)
    feed(whole, end)
    assert whole.pacer.updates == end - 20
    assert_same_run(resumed, whole)


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """In this process; the one that is killed waits for the disk as always."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


PLACES = [
    "checkpoint half written",
    "checkpoint not yet renamed",
    "checkpoint just renamed",
    "log record half written",
]


@pytest.mark.parametrize("where", PLACES)
def test_killed_while_it_writes_it_resumes_bit_for_bit(tmp_path, where):
    directory = tmp_path / "killed"
    if where.startswith("log"):
        # Records from before, so that there is a checkpoint to resume from.
        trainer = Trainer(settings(directory, "derived"))
        feed(trainer, 40)
        trainer.close()
    run_until_killed(directory, where)
    torn = list((directory / "checkpoints").glob("*.tmp"))
    assert len(torn) == (where in PLACES[:2])
    assert_goes_on_like_an_uninterrupted_run(directory, tmp_path)


def test_killed_twice_at_no_particular_instant_it_resumes_bit_for_bit(tmp_path):
    """With compiled gradients, as in every mode: each process compiles them, or finds what the one before has left."""
    directory = tmp_path / "killed"
    for updates in (7, 44):
        run_until_killed(directory, "anywhere", updates, "compiled")
    newest = sorted((directory / "checkpoints").glob("*.safetensors"))[-1]
    assert int(newest.stem.split("_")[1]) >= 40
    assert_goes_on_like_an_uninterrupted_run(directory, tmp_path, "compiled")


def test_a_truncated_checkpoint_is_refused_and_the_one_before_resumes_bit_for_bit(tmp_path):
    """A disk that lost the end of a file which was written whole; the learner itself never leaves one."""
    directory = tmp_path / "damaged"
    trainer = Trainer(settings(directory, "derived"))
    feed(trainer, 43)
    trainer.close()
    newest = sorted((directory / "checkpoints").glob("*.safetensors"))[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    kept = newest.read_bytes()
    with pytest.raises(CheckpointError, match=r"is truncated, damaged .*delete it to resume from checkpoint_0"):
        Trainer(settings(directory, "derived"))
    assert newest.read_bytes() == kept
    newest.unlink()
    assert_goes_on_like_an_uninterrupted_run(directory, tmp_path)


if __name__ == "__main__":
    main()
