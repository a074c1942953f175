"""The measurement on a GPU, run on a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
CPU = torch.device("cpu")


@pytest.fixture
def device_speed(monkeypatch):
    """The module, with a memory that is full at once and few updates."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import device_speed
    import sac_learner.learning.updates as updates_module

    torch.set_num_threads(1)
    monkeypatch.setattr(device_speed, "CAPACITY", 10_000)
    monkeypatch.setattr(device_speed, "_UPDATES_PER_LOOK", 2)
    monkeypatch.setattr(device_speed, "_WARM_UP_UPDATES", 1)
    # What `make_updates` does on a GPU.
    monkeypatch.setattr(device_speed, "make_updates", lambda learner, seed: on_device(learner, updates_module))
    return device_speed


def on_device(learner, updates_module, capture=lambda work, _: work):
    memory = updates_module.DeviceReplay(learner.settings.replay_capacity, 21, 9, CPU)
    return updates_module.DeviceUpdates(learner, memory, capture)


def test_both_ways_are_checked_and_measured(device_speed, capsys):
    found = device_speed.measure((21, 9), CPU, rounds=2, duration_s=0.01)
    for way in ("captured", "uncaptured"):
        values = [found[f"{way}_21_9{suffix}"] for suffix in ("_min", "", "_max")]
        assert 0.0 < values[0] <= values[1] <= values[2]
    assert "the captured update and the gradients agree with the plain ones" in capsys.readouterr().out


def test_an_update_that_cannot_be_captured_is_no_result(device_speed, monkeypatch):
    def broken(work, generator):
        raise RuntimeError("no graph")

    import sac_learner.learning.updates as updates_module

    monkeypatch.setattr(device_speed, "make_updates", lambda learner, _: on_device(learner, updates_module, broken))
    with pytest.raises(RuntimeError, match="captured: the captured update cannot be used: no graph"):
        device_speed.measure((21, 9), CPU, rounds=1, duration_s=0.01)


def test_updates_that_are_counted_must_have_been_made(device_speed, monkeypatch):
    subject = device_speed.OnDevice(21, 9, CPU, captured=False)
    subject.run()
    monkeypatch.setattr(subject, "run", lambda: None)
    with pytest.raises(RuntimeError, match="counted .* updates"):
        device_speed.updates_per_s(subject, 0.01)
