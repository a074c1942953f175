"""The directory of a training without ROS: what it is, every transition, checkpoints and the evaluations so far.

gym.json             environment, mode, seed and settings
replay/              append-only replay log, one segment for each time that the training was started
checkpoints/         atomic checkpoints
evaluation.json      the evaluations until the newest checkpoint
policy.safetensors   exported policy
policies/            those that were evaluated, by control steps
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosac_common.settings import to_mapping
from rosac_common.transition import Transition

from sac_learner.atomic_file import write_atomic
from sac_learner.gym.evaluation import checked_evaluations
from sac_learner.gym.settings import GymSettings
from sac_learner.learning import replay, resume
from sac_learner.learning.checkpoint import CheckpointError, CheckpointStore, Progress, differences
from sac_learner.learning.replay import ReplayBuffer
from sac_learner.learning.replay_log import Kind, ReplayLog
from sac_learner.policy import PolicyWeights
from sac_learner.runs.run_files import RunFiles
from sac_learner.sac.learner import SacLearner

FORMAT = "rosac gym run"
FORMAT_VERSION = 1
# Not run.json: `rosac list` and `rosac eval` are for runs of a robot.
DOCUMENT = "gym.json"


class GymRunError(ValueError):
    """The directory holds another run, or something else. The message says what differs and the remedy."""


def stored_run(directory: Path) -> dict[str, Any] | None:
    """What `gym.json` of a directory says; None where no run was begun.

    Raises:
        GymRunError: the directory holds something else, or gym.json cannot be read.
    """
    path = directory / DOCUMENT
    if not path.exists():
        others = [] if not directory.exists() else [entry.name for entry in directory.iterdir()]
        # Left by a run that was killed before its first file was whole.
        begun = {path.name + ".tmp", ".learner.lock"}
        if strangers := sorted(set(others) - begun):
            raise GymRunError(
                f"{directory} holds {', '.join(strangers[:3])} and no {DOCUMENT}: choose another directory"
            )
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = (document["format"], document["format_version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GymRunError(f"cannot read {path}: {error}; remove the directory or choose another one") from error
    if found != (FORMAT, FORMAT_VERSION):
        raise GymRunError(f"{path} is {found[0]} version {found[1]}, expected {FORMAT} {FORMAT_VERSION}")
    return document


def check_fits(directory: Path, stored: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Refuse to go on with a run of other settings; one that is newer than the run was at its default then.

    Raises:
        GymRunError: naming every difference.
    """
    if different := differences(to_mapping(GymSettings()) | stored, identity):
        raise GymRunError(
            f"{directory} holds another run: {different}. Resume with the settings of that run, or choose "
            "another directory"
        )


class GymStorage:
    """Writes a training into its directory and reads it back."""

    def __init__(self, directory: Path, document: Mapping[str, Any], observation_size: int, action_size: int) -> None:
        """Open or begin the run that `document` describes.

        Raises:
            RunLockedError: another process works in the directory.
            ReplayLogError: the log is damaged or of other sizes.
            StorageError: the directory cannot be written, or the log not be read.
        """
        self.files = RunFiles(directory)
        self._lock = self.files.lock()
        self._document = {"format": FORMAT, "format_version": FORMAT_VERSION, **document}
        try:
            if not (directory / DOCUMENT).exists():
                self.keep_document()
            self._log = ReplayLog(
                self.files.replay,
                task_name=document["env_id"],
                observation_size=observation_size,
                action_size=action_size,
                sync_period_s=np.inf,  # onto the disk with every checkpoint, not by a clock
            )
        except BaseException:
            self._lock.close()
            raise
        self.notes = [*self._log.repairs]
        self.session = len(self._log.segments)
        self.count = self._log.record_count  # of steps: all that such a log holds
        filled = [segment for segment in self._log.segments if segment.count]
        self.robot_time_s = float(filled[-1].records["stamp_s"][-1]) if filled else 0.0
        self._checkpoints = CheckpointStore(
            self.files.checkpoints, task_name=document["env_id"], keep=document["keep_checkpoints"]
        )

    def keep_document(self) -> None:
        """Write what this run is: once it is known that the directory's is the same, as the number of steps may differ.

        Raises:
            StorageError: it cannot be written.
        """
        text = json.dumps(self._document, indent=2)
        write_atomic(self.files.directory / DOCUMENT, text.encode() + b"\n")

    def fill(self, memory: ReplayBuffer, taken: int) -> tuple[deque[replay.Array], deque[float]]:
        """The first `taken` steps into the replay memory; rows and robot times [s] of those behind them. Once."""
        waiting = resume.fill(memory, self._log.segments, taken)
        self._log.segments.clear()
        return waiting

    def append(self, transition: Transition) -> None:
        """Hand a transition to the operating system: a killed process loses none.

        Raises:
            StorageError: it cannot be written.
        """
        self._log.append(transition, Kind.RECEIVED)
        self._log.flush(0.0)

    def load(self, learner: SacLearner) -> tuple[Progress | None, list[dict[str, Any]]]:
        """Bring the learner to the newest checkpoint; its counters and the evaluations until then.

        Raises:
            CheckpointError: the checkpoint is damaged or does not fit the learner or the log.
            GymRunError: the evaluations cannot be read.
        """
        progress = self._checkpoints.load_newest(learner)
        self.notes += self._checkpoints.notes
        if progress is None:
            return None, []
        if progress.transitions > self.count:
            raise CheckpointError(
                f"the newest checkpoint in {self.files.checkpoints} was made after {progress.transitions} "
                f"transitions, the replay log holds {self.count}: restore {self.files.replay} from a copy, or "
                "start a new run"
            )
        path = self.files.evaluation
        before = self._document | (stored_run(self.files.directory) or {})
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            evaluations = checked_evaluations(document, before["evaluation_episodes"])
        except (OSError, ValueError) as error:
            raise GymRunError(
                f"cannot read {path}: {error}; restore it from a copy, or move {self.files.checkpoints} away, and all "
                "is learned and evaluated again from the replay log"
            ) from error
        # Those after the checkpoint are made again, with the same result.
        return progress, [each for each in evaluations if each["steps"] <= progress.transitions]

    def save(
        self,
        learner: SacLearner,
        progress: Progress,
        evaluations: Sequence[Mapping[str, Any]],
        policy: PolicyWeights,
    ) -> None:
        """Write a checkpoint with everything that belongs to it.

        Raises:
            StorageError: it cannot be written; the older checkpoint stays usable.
        """
        # In this order: neither log nor evaluations on the disk may be behind the checkpoint.
        self._log.sync()
        write_atomic(self.files.evaluation, json.dumps(list(evaluations), indent=2).encode() + b"\n")
        self._checkpoints.save(learner, progress)
        policy.save(self.files.policy, {"task_name": policy.run})

    def keep_policy(self, policy: PolicyWeights) -> None:
        """Write a policy to a file that stays.

        Raises:
            StorageError: it cannot be written.
        """
        policy.save(self.files.kept_policy(policy.transitions), {"task_name": policy.run})

    def close(self) -> None:
        """Let go of the directory."""
        self._log.close()
        self._lock.close()
