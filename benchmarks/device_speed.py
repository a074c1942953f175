"""Updates per second on a GPU: what `learner_speed.py --device cuda` measures.

Each update is preceded by a new transition, as in the learner node, and draws from a full memory of 1,000,000 on the
device. `captured` launches an update as one CUDA graph, `uncaptured` runs its operations one after another.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from sac_learner.learning.device_replay import DeviceReplay
from sac_learner.learning.updates import DeviceUpdates, make_updates
from sac_learner.sac.learner import SacLearner
from sac_learner.sac.settings import SacSettings
from speed_subjects import BATCH_SIZE, BLOCK, CAPACITY, HIDDEN_SIZES, SEED, Rosac, check_update, full_memory_rows

# How often a number of an update is read, which waits for it: about as often as the learner node reports.
_UPDATES_PER_LOOK = 100
_WARM_UP_UPDATES = 200


class OnDevice(Rosac):
    """This repository's learner with its replay memory on a device."""

    def __init__(self, observation_size: int, action_size: int, device: torch.device, *, captured: bool) -> None:
        settings = SacSettings(batch_size=BATCH_SIZE, hidden_sizes=HIDDEN_SIZES, replay_capacity=CAPACITY)
        sizes = (observation_size, action_size)
        self._learner = SacLearner(settings, *sizes, seed=SEED, device=device)
        if captured:
            self._updates = make_updates(self._learner, SEED)
        else:
            self._updates = DeviceUpdates(self._learner, DeviceReplay(CAPACITY, *sizes, device), lambda work, _: work)
        self.fallbacks = [text for text in (self._learner.fallback, self._updates.fallback) if text]
        self._rows = full_memory_rows(*sizes)
        for _ in range(CAPACITY // BLOCK):
            self._updates.memory.extend(self._rows)
        self._count = 0

    def run(self) -> None:
        self._updates.memory.add(self._rows[self._count % BLOCK])
        self._count += 1
        self._metrics = self._updates.update()

    def wait(self) -> None:
        """Until all updates are done."""
        float(self._metrics["critic_loss"])


def updates_per_s(subject: OnDevice, duration_s: float) -> float:
    """Measure once.

    Raises:
        RuntimeError: the optimisers made another number of steps than were counted.
    """
    subject.wait()
    counts, updates, start = subject.counts(), 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < duration_s:
        for _ in range(_UPDATES_PER_LOOK):
            subject.run()
        updates += _UPDATES_PER_LOOK
        subject.wait()
    if any(new - old != updates for old, new in zip(counts, subject.counts(), strict=True)):
        raise RuntimeError(f"counted {updates} updates from {counts}, the learner has {subject.counts()}")
    return updates / elapsed


def measure(sizes: tuple[int, int], device: torch.device, rounds: int, duration_s: float) -> dict[str, Any]:
    """Medians and extremes of both ways for one size.

    Raises:
        RuntimeError: the captured update does not agree with the uncaptured one, or cannot be made.
    """
    subjects = {name: OnDevice(*sizes, device, captured=name == "captured") for name in ("captured", "uncaptured")}
    for name, subject in subjects.items():
        if subject.fallbacks:
            raise RuntimeError(f"{name}: {'; '.join(subject.fallbacks)}")
        for _ in range(_WARM_UP_UPDATES):
            subject.run()
        check_update(subject)
    print(f"{sizes}: the captured update and the gradients agree with the plain ones", flush=True)
    rates: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in range(rounds):
        for name, subject in subjects.items():
            rates[name].append(updates_per_s(subject, duration_s))
        shown = ", ".join(f"{name} {values[-1]:.1f}/s" for name, values in rates.items())
        print(f"{sizes} round {turn + 1}/{rounds}: {shown}", flush=True)
    found: dict[str, Any] = {}
    for name, values in rates.items():
        of = f"{name}_{sizes[0]}_{sizes[1]}"
        found |= {of: statistics.median(values), f"{of}_min": min(values), f"{of}_max": max(values)}
    return found
