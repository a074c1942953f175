"""The choice of a device, and the steps of a capture, with a tape for what only a GPU can do."""

import inspect
from contextlib import contextmanager

import numpy as np
import pytest
import sac_learner.learning.cuda as cuda
import torch
from helpers.tape import Tape
from rosac_common.settings import SettingsError, from_mapping
from sac_learner.learning.device_replay import DeviceReplay
from sac_learner.learning.replay import ReplayBuffer
from sac_learner.learning.updates import DeviceUpdates
from sac_learner.sac.learner import SacLearner
from sac_learner.sac.settings import SacSettings


@pytest.fixture
def gpus(monkeypatch):
    """As if there were GPUs; returns what sets their number."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.version, "cuda", "12.6")

    def set_count(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        return chosen

    return set_count


def test_a_gpu_is_chosen_by_name_and_by_auto(gpus):
    chosen = gpus(2)
    assert cuda.resolve_device("cpu") == torch.device("cpu")
    assert chosen == []
    devices = [cuda.resolve_device(name) for name in ("cuda", "cuda:1", "auto")]
    assert devices == [torch.device("cuda", 0), torch.device("cuda", 1), torch.device("cuda", 0)] == chosen


def test_auto_without_a_gpu_is_the_cpu(gpus):
    gpus(0)
    assert cuda.resolve_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:2", "cuda:17"])
def test_a_gpu_that_is_not_there_is_refused(gpus, name):
    gpus(2)
    with pytest.raises(SettingsError, match=f"'device' is '{name}', found 2 usable GPUs .* CUDA 12.6: .*nvidia-smi"):
        cuda.resolve_device(name)


def test_without_a_usable_gpu_the_driver_is_looked_at(gpus):
    gpus(0)
    with pytest.raises(SettingsError, match="found 0 usable GPUs .*`nvidia-smi` shows, or set device: cpu"):
        cuda.resolve_device("cuda")


def test_pytorch_without_cuda_is_named_with_the_remedy(gpus, monkeypatch):
    gpus(0)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(SettingsError, match="built without CUDA: install a build with CUDA .*, or set device: cpu"):
        cuda.resolve_device("cuda:0")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:-1", "cuda:a", "mps", "cpu:0", "cudas"])
def test_unknown_names_are_refused(name):
    with pytest.raises(SettingsError, match=f"'device' is '{name}'; it must be cpu, cuda, cuda:<number> or auto"):
        cuda.resolve_device(name)


class FakeGpu:
    """torch.cuda's streams and graphs for tensors of the CPU; writes down what is done to them."""

    def __init__(self, monkeypatch):
        self.done = []
        self.breaks = False
        self.current = "default"
        for name in ("Stream", "current_stream", "stream", "CUDAGraph", "graph"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def Stream(self, device):
        return _Stream(self, "side")

    def current_stream(self, device):
        return _Stream(self, self.current)

    @contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream.name
        try:
            yield
        finally:
            self.current = before

    def CUDAGraph(self):
        return _Graph(self)

    @contextmanager
    def graph(self, graph, stream):
        self.current = stream.name
        self.done.append(f"begin on {self.current}")
        try:
            with graph.tape:
                yield
                if self.breaks:
                    raise RuntimeError("operation not permitted when stream is capturing\nmore lines")
        except RuntimeError:  # without going back to the stream of before, as torch.cuda.graph
            raise RuntimeError("operation failed due to a previous error during capture")  # noqa: B904
        self.done.append("end")


class _Stream:
    def __init__(self, gpu, name):
        self._gpu, self.name = gpu, name

    def wait_stream(self, other):
        self._gpu.done.append(f"{self.name} waits for {other.name}")


class _Graph:
    def __init__(self, gpu):
        self._gpu, self.tape = gpu, Tape()

    def register_generator_state(self, generator):
        assert isinstance(generator, torch.Generator)
        self._gpu.done.append("register")

    def replay(self):
        assert self._gpu.current == "default"
        self.tape.repeat()


def make_updates(capture):
    sizes = (3, 2)
    learner = SacLearner(
        from_mapping(SacSettings, {"hidden_sizes": [8], "batch_size": 8, "gradients": "plain"}), *sizes, seed=0
    )
    updates = DeviceUpdates(learner, DeviceReplay(50, *sizes, torch.device("cpu")), capture)
    return updates, learner


def state_after_updates(updates, learner):
    rows = np.random.default_rng(0).standard_normal((20, ReplayBuffer.row_size(3, 2)), dtype=np.float32)
    updates.memory.extend(rows)
    for _ in range(3):
        updates.update()
    return learner.state()


def assert_same(one, two):
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_an_update_is_warmed_up_and_captured_on_a_side_stream_and_then_launched(monkeypatch):
    expected = state_after_updates(*make_updates(lambda work, _: work))
    gpu = FakeGpu(monkeypatch)
    updates, learner = make_updates(cuda.captured)
    assert updates.fallback == ""
    assert gpu.done == [
        "side waits for default",
        "register",
        "begin on side",
        "end",
        "default waits for side",
    ]
    assert_same(expected, state_after_updates(updates, learner))


def test_a_capture_that_fails_leaves_the_side_stream_and_updates_run_uncaptured(monkeypatch):
    expected = state_after_updates(*make_updates(lambda work, _: work))
    gpu = FakeGpu(monkeypatch)
    gpu.breaks = True
    updates, learner = make_updates(cuda.captured)
    assert "cannot be used: operation not permitted when stream is capturing. Updates run" in updates.fallback
    assert gpu.current == "default"
    assert_same(expected, state_after_updates(updates, learner))


def test_pytorch_has_what_a_capture_calls():
    """The build without CUDA has the Python side of it: names and arguments are those that are used."""
    inspect.signature(torch.cuda.graph).bind("graph", stream="stream")
    inspect.signature(torch.cuda.current_stream).bind("device")
    inspect.signature(torch.cuda.stream).bind("stream")
    inspect.signature(torch.cuda.mem_get_info).bind("device")
    inspect.signature(torch.cuda.Stream.wait_stream).bind("self", "stream")
    inspect.signature(torch.cuda.CUDAGraph.replay).bind("self")
    inspect.signature(torch.cuda.is_bf16_supported).bind(including_emulation=False)
