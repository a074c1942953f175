"""The files of a run directory."""

from __future__ import annotations

import dataclasses
import fcntl
from pathlib import Path
from typing import IO

from sac_learner.atomic_file import DamagedFileError, StorageError, storage_message, write_atomic


class RunLockedError(RuntimeError):
    """Another learner is using the run directory."""


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """Where everything of a run lies: one place for the names."""

    directory: Path

    @property
    def document(self) -> Path:
        """Stack, arguments, number of sessions; written last when the run is made: a run without it is incomplete."""
        return self.directory / "run.json"

    @property
    def config(self) -> Path:
        """Resolved parameters of every node: a standard ROS 2 parameter file."""
        return self.directory / "config.yaml"

    @property
    def params(self) -> Path:
        """What the file given as params:= held when it was given."""
        return self.directory / "params.yaml"

    @property
    def logs(self) -> Path:
        """Directory of the output of every node."""
        return self.directory / "log"

    @property
    def replay(self) -> Path:
        """Directory of the replay log."""
        return self.directory / "replay"

    @property
    def checkpoints(self) -> Path:
        """Directory of the checkpoints."""
        return self.directory / "checkpoints"

    @property
    def metrics(self) -> Path:
        """Directory of the TensorBoard events."""
        return self.directory / "metrics"

    @property
    def policy(self) -> Path:
        """The exported policy."""
        return self.directory / "policy.safetensors"

    @property
    def untrained_policy(self) -> Path:
        """The exported policy before its first update."""
        return self.directory / "policy_untrained.safetensors"

    @property
    def kept_policies(self) -> Path:
        """Directory of the exported policies that are kept on the way."""
        return self.directory / "policies"

    def kept_policy(self, steps: int) -> Path:
        """The exported policy as it was after so many control steps."""
        return self.kept_policies / f"policy_{steps:08d}.safetensors"

    @property
    def episodes(self) -> Path:
        """The episode table."""
        return self.directory / "episodes.csv"

    @property
    def plots(self) -> Path:
        """Directory of the learning curves."""
        return self.directory / "plots"

    @property
    def evaluation(self) -> Path:
        """Result of the final evaluation."""
        return self.directory / "evaluation.json"

    @property
    def evaluations(self) -> Path:
        """Directory of what evaluations were started with, and of the output of their nodes."""
        return self.directory / "evaluation"

    @property
    def strip(self) -> Path:
        """The picture strip of one episode."""
        return self.directory / "strip.png"

    @property
    def versions(self) -> Path:
        """The highest policy version that may have been sent."""
        return self.checkpoints / "policy_version"

    def lock(self) -> IO[str]:
        """Keep other learners out until the returned file is closed or the process ends.

        Raises:
            RunLockedError: another learner holds the directory.
            StorageError: the directory cannot be written.
        """
        if (file := take_lock(self.directory / ".learner.lock")) is None:
            raise RunLockedError(
                f"another learner is using {self.directory}: stop it first, or choose another run name"
            )
        return file


def take_lock(path: Path) -> IO[str] | None:
    """Lock a file, with its folders, until the returned one is closed or the process ends; None: it is locked already.

    Raises:
        StorageError: the directory cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="ascii")
    except OSError as error:
        raise StorageError(error.errno, storage_message(path, 0, error)) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class VersionCounter:
    """Policy versions that grow over crashes too, although a checkpoint is older than the last policy sent.

    A file holds an upper bound of all versions given out; a restart goes on above it.
    """

    _BLOCK = 1000  # versions reserved by one write of the file

    def __init__(self, path: Path, at_least: int) -> None:
        """Go on from the file, above `at_least`.

        Raises:
            DamagedFileError: the file holds no number.
        """
        self._path = path
        try:
            text = path.read_text(encoding="ascii")
        except FileNotFoundError:
            text = "0"
        if not text.strip().isdigit():
            raise DamagedFileError(
                f"{path} holds {text!r} instead of a policy version: write the highest one used into it"
            )
        self.version = self._reserved = max(int(text), at_least)

    def next(self) -> int:
        """A version above all before.

        Raises:
            StorageError: the file cannot be written; no version is used up.
        """
        if self.version >= self._reserved:
            self._reserve(self.version + self._BLOCK)
        self.version += 1
        return self.version

    def close(self) -> None:
        """Give back what was reserved and not used.

        Raises:
            StorageError: the file cannot be written.
        """
        self._reserve(self.version)

    def _reserve(self, bound: int) -> None:
        write_atomic(self._path, str(bound).encode("ascii"))
        self._reserved = bound
