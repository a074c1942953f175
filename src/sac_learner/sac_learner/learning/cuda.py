"""What concerns a GPU alone: whether there is one, and how an update becomes one launch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from rosac_common.settings import SettingsError

from sac_learner.sac.gradients import Metrics

Work = Callable[[], Metrics]
# Runs before the capture, so that libraries make their first allocations outside of it. Source: PyTorch's notes on
# CUDA graphs, "a few" (3 in their example).
_WARM_UP_RUNS = 3


def resolve_device(name: str) -> torch.device:
    """The device that the setting `device` names, the process's current one if it is a GPU.

    Args:
        name: cpu, cuda, cuda:1, ...; auto: cuda where there is a usable GPU, else cpu.

    Raises:
        SettingsError: no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number.isdecimal() or name == kind):
        raise SettingsError(f"'device' is {name!r}; it must be cpu, cuda, cuda:<number> or auto")
    index = int(number or 0)
    if index >= torch.cuda.device_count() or not torch.cuda.is_available():
        raise SettingsError(f"'device' is {name!r}, found {_found()}, or set device: cpu")
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device


def _found() -> str:
    """What there is instead of the device, and what to do about it."""
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__}, built without CUDA: install a build with CUDA (docs/sac.md, On a GPU)"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"{count} usable GPUs with PyTorch for CUDA {torch.version.cuda}: see what `nvidia-smi` shows"


def captured(work: Work, generator: torch.Generator) -> Work:
    """Work as a CUDA graph, which is launched as a whole. The metrics are the same tensors every time, overwritten.

    Args:
        work: changes only tensors that outlive it, never waits for the host, draws only from `generator`. It is run
            a few times here.
        generator: on the device of the work.

    Raises:
        RuntimeError: it cannot be captured; the generator is unusable then.
    """
    device = generator.device
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    # `torch.cuda.graph` alone does not leave its stream when the capture fails.
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP_RUNS):
            work()
        graph = torch.cuda.CUDAGraph()
        # Each launch then goes on in the random numbers where the last one ended.
        graph.register_generator_state(generator)
        with torch.cuda.graph(graph, stream=stream):
            metrics = work()
    torch.cuda.current_stream(device).wait_stream(stream)

    def launch() -> Metrics:
        graph.replay()
        return metrics

    return launch
