"""Checkpoints: everything the next update depends on, in one file that is there whole or not at all.

The replay memory is not in it: the replay log holds every transition, the checkpoint says how many of them it had.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rosac_common.settings import to_mapping

from sac_learner.atomic_file import DamagedFileError, Tensors, read_tensors, tensor_bytes, write_atomic
from sac_learner.sac.learner import SacLearner
from sac_learner.sac.settings import FREE_ON_RESUME, SacSettings

FORMAT = "rosac checkpoint"
FORMAT_VERSION = 2
_PATTERN = "checkpoint_*.safetensors"


class CheckpointError(ValueError):
    """A checkpoint does not fit this learner. The message names file, finding and remedy."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """The counters of a run at a checkpoint."""

    transitions: int  # taken into the replay memory
    updates: int
    policy_version: int
    duplicates: int  # transitions received twice
    sampling: dict[str, Any]  # state of the NumPy generator that draws batches
    pace: dict[str, float] = dataclasses.field(default_factory=dict)  # `Pacer.base()`; older checkpoints have none


class CheckpointStore:
    """The checkpoints of one run: writes, thins out, finds and loads them."""

    def __init__(self, directory: Path, *, task_name: str, keep: int) -> None:
        """Args: task_name: written into each checkpoint and required of each; keep: how many of the newest stay."""
        self.directory = directory
        self._task_name, self._keep = task_name, keep
        self.notes: list[str] = []  # for the log and the console

    def paths(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return sorted(self.directory.glob(_PATTERN))

    def save(self, learner: SacLearner, progress: Progress) -> Path:
        """Write a checkpoint and remove the oldest ones.

        Raises:
            StorageError: it cannot be written (disk full, ...); the older checkpoints stay.
        """
        path = self.directory / f"checkpoint_{progress.updates:012d}.safetensors"
        metadata = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "task_name": self._task_name,
            "observation_size": learner.observation_size,
            "action_size": learner.action_size,
            "sac": to_mapping(learner.settings),
            "products": learner.products,
            "progress": dataclasses.asdict(progress),
        }
        tensors = {name: tensor.cpu().numpy() for name, tensor in learner.state().items()}
        write_atomic(path, tensor_bytes(tensors, metadata))
        for old in self.paths()[: -self._keep]:
            with contextlib.suppress(FileNotFoundError):
                old.unlink()
        return path

    def load_newest(self, learner: SacLearner) -> Progress | None:
        """Bring a learner to the newest checkpoint; None when there is none.

        Raises:
            CheckpointError: it is damaged, or of another format version, task, mode or shape. The learner is as before.
        """
        paths = self.paths()
        if not paths:
            return None
        path = paths[-1]
        try:
            tensors, metadata = read_tensors(path)
        except DamagedFileError as error:
            remedy = "there is no older one: move it away, and all is learned again from the replay log"
            if len(paths) > 1:
                remedy = f"delete it to resume from {paths[-2].name}"
            raise CheckpointError(f"{error}; {remedy}") from error
        self._check(path, metadata, learner)
        progress = Progress(**metadata["progress"])
        try:
            learner.load_state(_to_torch(tensors), progress.updates)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}; resume with the settings of that run") from error
        # Older checkpoints say what was asked for, which `auto` may have been.
        before = metadata.get("products", metadata["sac"].get("products", "float32"))
        if before not in (learner.products, "auto"):
            self.notes.append(
                f"products are {learner.products} now, they were {before}: updates are rounded otherwise from here on "
                f"(sac.products: {before} goes on as before)"
            )
        return progress

    def _check(self, path: Path, metadata: dict[str, Any], learner: SacLearner) -> None:
        expected = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "task_name": self._task_name,
            "observation_size": learner.observation_size,
            "action_size": learner.action_size,
        }
        own = to_mapping(learner.settings)
        # A setting that is newer than the checkpoint was at its default when it was made.
        found = to_mapping(SacSettings()) | metadata.get("sac", {})
        expected |= {f"sac.{name}": own[name] for name in own if name not in FREE_ON_RESUME}
        metadata = {**metadata, **{f"sac.{name}": value for name, value in found.items()}}
        if different := differences(metadata, expected):
            raise CheckpointError(
                f"{path} does not fit this learner: {different}. Resume with the mode and settings of that "
                "run, or choose another run name"
            )


def differences(stored: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """In what a stored run is not the expected one, for messages; empty when it is."""
    return "; ".join(
        f"{name} is {stored.get(name)!r} there and {value!r} here"
        for name, value in expected.items()
        if stored.get(name) != value
    )


def sampling_state(rng: np.random.Generator) -> dict[str, Any]:
    """State of a NumPy generator as plain JSON values."""
    return json.loads(json.dumps(rng.bit_generator.state))


def _to_torch(tensors: Tensors) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}
