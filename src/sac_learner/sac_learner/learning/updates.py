"""The replay memory with the learner: where transitions are kept, and how an update gets its batch.

On a CPU: `ReplayBuffer`, NumPy draws, one batch is handed to the learner. On a GPU: everything stays on the device.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sac_learner.learning import cuda
from sac_learner.learning.checkpoint import sampling_state
from sac_learner.learning.device_replay import DeviceReplay
from sac_learner.learning.replay import Array, ReplayBuffer
from sac_learner.sac.gradients import Metrics
from sac_learner.sac.learner import SacLearner

# Updates that are compared at the start: the second shows that a launch goes on from the state of the one before.
_COMPARED_UPDATES = 2
# Norm of the difference, as a part of the norm of the change. A graph repeats the very kernels, so it is right but for
# the choice of another algorithm for a product, or wrong altogether. Adam's first steps make much of a rounding where
# a gradient is near zero, which the limit allows for.
CAPTURE_TOLERANCE = 0.1

Capture = Callable[[cuda.Work, torch.Generator], cuda.Work]


class Updates(Protocol):
    """One update after another from a replay memory."""

    memory: ReplayBuffer | DeviceReplay
    fallback: str  # why updates are not made in the way that was asked for, or an empty string

    def update(self) -> Metrics:
        """Draw a batch and do one update.

        Raises:
            ValueError: the memory is empty.
        """

    def sampling_state(self) -> dict[str, Any]:
        """What decides the next batches beside the learner's own state, as plain JSON values."""

    def restore_sampling(self, state: Mapping[str, Any]) -> None:
        """Take up a state of `sampling_state()`."""


def make_updates(learner: SacLearner, seed: int) -> Updates:
    """Updates on the learner's device. Args: seed: of the draws from a memory of the host.

    Raises:
        ReplayMemoryError: the replay memory does not fit.
    """
    sizes = (learner.settings.replay_capacity, learner.observation_size, learner.action_size)
    if learner.device.type == "cpu":
        return HostUpdates(learner, ReplayBuffer(*sizes), np.random.default_rng(seed))
    return DeviceUpdates(learner, DeviceReplay(*sizes, learner.device), cuda.captured)


class HostUpdates:
    """From a memory of the host."""

    fallback = ""

    def __init__(self, learner: SacLearner, memory: ReplayBuffer, rng: np.random.Generator) -> None:
        self.memory = memory
        self._learner, self._rng = learner, rng

    def update(self) -> Metrics:
        return self._learner.update(self.memory.sample(self._learner.settings.batch_size, self._rng))

    def sampling_state(self) -> dict[str, Any]:
        return sampling_state(self._rng)

    def restore_sampling(self, state: Mapping[str, Any]) -> None:
        self._rng.bit_generator.state = state


class DeviceUpdates:
    """From a memory on the device; the draws too come from the learner's generator there."""

    def __init__(self, learner: SacLearner, memory: DeviceReplay, capture: Capture) -> None:
        """Capture an update and compare it with the uncaptured one on fixed transitions; the learner stays as it is.

        Args:
            learner: on the memory's device, without updates.
            memory: empty.
            capture: makes of the work of an update something that does the same, faster; raises RuntimeError if it
                cannot.
        """
        self.memory = memory
        self._learner = learner
        kinds = {True, learner.settings.actor_interval == 1}  # updates with and without a step of the policy
        self._work = {steps_actor: functools.partial(self._plain, steps_actor) for steps_actor in kinds}
        self.fallback = self._capture(capture)

    def _plain(self, steps_actor: bool) -> Metrics:
        learner = self._learner
        batch = self.memory.sample(learner.settings.batch_size, learner.generator)
        return learner.compute(batch, steps_actor)

    def _capture(self, capture: Capture) -> str:
        learner, plain = self._learner, self._work
        before = {name: tensor.clone() for name, tensor in learner.state().items()}
        self.memory.extend(_fixed_rows(min(self.memory.capacity, learner.settings.batch_size), learner))
        expected = self._outcome()
        learner.load_state(before, 0)
        try:
            self._work = {kind: capture(work, learner.generator) for kind, work in plain.items()}
            learner.load_state(before, 0)
            problem = _difference(before, expected, self._outcome())
        except RuntimeError as error:
            problem = _cause(error)
            learner.renew_generator()
        if problem:
            self._work = plain
            problem = (
                f"the captured update cannot be used: {problem}. Updates run uncaptured, which is slower; please "
                f"report this with the version of PyTorch ({torch.__version__}) and the device"
            )
        learner.load_state(before, 0)
        self.memory.clear()
        return problem

    def _outcome(self) -> dict[str, Tensor]:
        """State and metrics after the first updates."""
        for _ in range(_COMPARED_UPDATES):
            metrics = self.update()
        state = {name: tensor for name, tensor in self._learner.state().items() if name != "noise_generator"}
        return {name: tensor.clone() for name, tensor in (state | metrics).items()}

    def update(self) -> Metrics:
        if not self.memory.size:
            raise ValueError("cannot sample: the replay memory is empty")
        return self._learner.advance(lambda steps_actor: self._work[steps_actor]())

    def sampling_state(self) -> dict[str, Any]:
        return {}

    def restore_sampling(self, state: Mapping[str, Any]) -> None:
        pass


def _cause(error: BaseException) -> str:
    """The first line of the first error: leaving a capture that broke off raises another one."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).partition("\n")[0]


def _fixed_rows(count: int, learner: SacLearner) -> Array:
    """Transitions without meaning, rows of the replay memory; one in six ends an episode."""
    rng = np.random.default_rng(0)
    o, a = learner.observation_size, learner.action_size
    rows = rng.standard_normal((count, ReplayBuffer.row_size(o, a)), dtype=np.float32)
    rows[:, o : o + a] = np.tanh(rows[:, o : o + a])
    rows[:, -1] = rows[:, -1] > -1.0
    return rows


def _difference(before: Mapping[str, Tensor], expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> str:
    """The first thing that is not as expected, or an empty string."""
    for name, value in expected.items():
        if torch.equal(got[name], value):
            continue
        change = value - before[name] if name in before else value
        error = float((got[name] - value).norm() / change.norm())
        if not error <= CAPTURE_TOLERANCE:
            return f"{name} differs by {error:.2g} of its change from the uncaptured one, limit {CAPTURE_TOLERANCE:g}"
    return ""
