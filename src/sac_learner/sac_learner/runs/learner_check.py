"""Asks the learner whether it would start, before a run is changed: what PyTorch, a GPU or the memory refuse.

In a process of its own, so that nothing of PyTorch or of a GPU is held while the run goes on.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rosac_common.environment import ros_environment
from rosac_common.settings import SettingsError, from_mapping, to_mapping

from sac_learner.runs.run_files import RunFiles
from sac_learner.settings import LearnerNodeSettings

_REFUSED = 2


def refusal(settings: LearnerNodeSettings) -> str:
    """Why the learner would not start with these settings, empty if it would. Takes 2 s or more, and writes nothing."""
    result = subprocess.run(
        # -P: whatever lies in the directory in which somebody starts a run is no module of ours.
        [sys.executable, "-P", "-m", __name__],
        input=json.dumps(to_mapping(settings)),
        env=ros_environment(),
        capture_output=True,
        text=True,
    )
    if result.returncode == 0:
        return ""
    if result.returncode == _REFUSED:
        return result.stdout.strip()
    return f"it ends with exit code {result.returncode}: {result.stderr.strip()}"


def _start(settings: LearnerNodeSettings) -> None:
    """All that a learner does before its first update, but for the replay log, and for the compiler, which takes 10 to
    30 s and refuses nothing."""
    from sac_learner.learning.checkpoint import CheckpointStore
    from sac_learner.learning.trainer import Trainer

    with tempfile.TemporaryDirectory() as directory:
        plain = dataclasses.replace(settings.sac, gradients="plain")
        trainer = Trainer(dataclasses.replace(settings, run_directory=directory, sac=plain))
        trainer.learner.settings = settings.sac
        checkpoints = RunFiles(Path(settings.run_directory)).checkpoints
        store = CheckpointStore(checkpoints, task_name=settings.task_name, keep=settings.storage.keep_checkpoints)
        store.load_newest(trainer.learner)


def _main() -> int:
    from sac_learner.atomic_file import StorageError
    from sac_learner.learning.checkpoint import CheckpointError
    from sac_learner.learning.replay import ReplayMemoryError

    try:
        _start(from_mapping(LearnerNodeSettings, json.load(sys.stdin)))
    except (SettingsError, CheckpointError, ReplayMemoryError, StorageError) as error:
        print(error)
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main())
