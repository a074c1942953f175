"""A run of learning, without ROS: takes transitions, stores them, trains at its pace, saves and resumes.

    offer() -> intake -> replay log + waiting -> step(): replay memory -> update -> policy(), checkpoint

The learner node feeds it messages and publishes what it returns.
"""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path

import numpy as np
import torch
from rosac_common.settings import SettingsError
from rosac_common.transition import Transition

from sac_learner.atomic_file import StorageError
from sac_learner.learning import replay
from sac_learner.learning.checkpoint import CheckpointError, CheckpointStore, Progress
from sac_learner.learning.cuda import resolve_device
from sac_learner.learning.intake import Intake, Verdict
from sac_learner.learning.pacing import Pacer
from sac_learner.learning.policy_source import PolicySource
from sac_learner.learning.replay_log import Kind, ReplayLog
from sac_learner.learning.resume import fill, restore
from sac_learner.learning.updates import make_updates
from sac_learner.policy import PolicyWeights
from sac_learner.runs.run_files import RunFiles, VersionCounter
from sac_learner.sac.gradients import Metrics
from sac_learner.sac.learner import SacLearner
from sac_learner.sac.symmetry import Symmetries
from sac_learner.settings import LearnerNodeSettings

# After a failed write the next try waits this long: a full disk is asked seldom, yet training goes on soon after.
STORAGE_RETRY_S = 5.0


class Trainer:
    """One run. Times are arguments, in seconds of a steady clock."""

    def __init__(self, settings: LearnerNodeSettings) -> None:
        """Make or resume the run in `settings.run_directory`.

        Raises:
            SettingsError: a required setting is missing, or the device does not exist.
            RunLockedError: another learner works in the directory.
            ReplayLogError, CheckpointError, DamagedFileError: what lies there is damaged or of another run.
            ReplayMemoryError: the replay memory does not fit.
            StorageError: the directory cannot be written, or the replay log not be read.
        """
        _check(settings)
        self.settings = settings
        self.device = resolve_device(settings.device)
        self.files = RunFiles(Path(settings.run_directory))
        self.notes: list[str] = []  # for the node's log
        self.problems: dict[str, str] = {}  # present problems by what they concern
        self.metrics: Metrics = {}
        self.finished = False
        self.failure = ""  # why learning cannot go on; transitions are still stored then
        self.ignored = 0  # transitions after the end of the run
        self._waiting: deque[replay.Array] = deque()  # rows that are logged and not yet in the memory
        self._restored = 0  # how many of those come from the log of an earlier process
        # Apart: a disk without room for a checkpoint still takes records.
        self._log_retry_s = self._checkpoint_retry_s = self._kept_retry_s = -math.inf
        self._lock = self.files.lock()
        try:
            self._open()
        except BaseException:
            self._lock.close()
            raise

    def _open(self) -> None:
        settings, sizes = self.settings, (self.settings.observation_size, self.settings.action_size)
        torch.set_num_threads(settings.thread_count)
        symmetries = _symmetries(settings)
        self.learner = SacLearner(
            settings.sac,
            *sizes,
            seed=settings.seed,
            device=self.device,
            symmetries=symmetries,
            relabelling=settings.relabelling,
        )
        self._updates = make_updates(self.learner, settings.seed)
        for name, fallback in (("gradients", self.learner.fallback), ("update", self._updates.fallback)):
            if fallback:
                self.problems[name] = fallback
        self.memory = self._updates.memory
        self.notes.append(self.memory.announcement())
        self.intake = Intake(settings.intake, *sizes)
        self.pacer = Pacer(settings.pacing, start_steps=settings.sac.start_steps, total_steps=settings.total_steps)
        self.checkpoints = CheckpointStore(
            self.files.checkpoints, task_name=settings.task_name, keep=settings.storage.keep_checkpoints
        )
        self.log = ReplayLog(
            self.files.replay,
            task_name=settings.task_name,
            observation_size=settings.observation_size,
            action_size=settings.action_size,
            sync_period_s=settings.storage.log_sync_period_s,
        )
        progress = self.checkpoints.load_newest(self.learner)
        self.notes += self.checkpoints.notes
        self.resumed_at = self._resume(progress)
        self._versions = VersionCounter(self.files.versions, progress.policy_version if progress else 0)
        self.policies = PolicySource(self._versions, settings.policy_interval_updates)
        self._saved_updates, self._kept_steps = self.pacer.updates, self.pacer.taken
        if progress is None:
            self.export_policy(self.files.untrained_policy)

    def _resume(self, progress: Progress | None) -> int:
        """Bring everything to where the run stopped; the transitions at the checkpoint, 0 without one."""
        taken = progress.transitions if progress else 0
        self._newest_version = restore(self.log.segments, self.intake)
        self.notes += self.log.repairs
        stored = self.intake.counters.stored
        if taken > stored:
            raise CheckpointError(
                f"the newest checkpoint in {self.files.checkpoints} was made after {taken} transitions, the replay log "
                f"holds {stored}: restore {self.files.replay} from a copy, or start a new run"
            )
        self._waiting, _ = fill(self.memory, self.log.segments, taken)
        self.log.segments.clear()
        self._restored = len(self._waiting)
        if progress:
            if note := self.pacer.resume(taken, progress.updates, progress.pace):
                self.notes.append(note)
            self.intake.counters.duplicate = progress.duplicates
            self._updates.restore_sampling(progress.sampling)
        if progress or stored:
            self.notes.append(
                f"resumed at {taken} transitions and {self.pacer.updates} updates; {self._restored} more transitions "
                "of the replay log are learned from first"
            )
        return taken

    # --- transitions --------------------------------------------------------------------------------------------

    def offer(self, transition: Transition) -> Verdict | None:
        """Take a transition that came; None when the run already has all it wants."""
        total = self.settings.total_steps
        if 0 < total <= self.intake.counters.stored:
            self.ignored += 1
            return None
        verdict = self.intake.offer(transition)
        if verdict in (Verdict.ACCEPTED, Verdict.REPAIRED):
            kind = Kind.REPAIRED if verdict is Verdict.REPAIRED else Kind.RECEIVED
            self.log.append(transition, kind)
            if not self.failure:  # the log has it, and nobody would ever take it from here
                self._waiting.append(replay.row(transition))
            self._newest_version = transition.policy_version
        else:
            self._note_verdict(verdict, transition.session_id, transition.sequence)
        return verdict

    def refuse(self, session_id: str, sequence: int, problem: str) -> None:
        """Take note of a transition that cannot be read as one."""
        self._note_verdict(self.intake.refuse(session_id, sequence, problem), session_id, sequence)

    def _note_verdict(self, verdict: Verdict, session_id: str, sequence: int) -> None:
        if verdict is Verdict.REJECTED:
            self.log.append_gap(session_id, sequence, 1, Kind.REJECTED)
        if verdict in (Verdict.REJECTED, Verdict.IMPLAUSIBLE):
            self.problems["transitions"] = self.intake.last_problem

    def give_up(self, session_id: str, first: int, last: int) -> int:
        """Count what is still missing of a range as lost for good; returns how many."""
        lost = self.intake.give_up(session_id, first, last)
        for gap in lost:
            self.log.append_gap(gap.session_id, gap.first, gap.span, Kind.LOST)
        return sum(gap.span for gap in lost)

    def flush(self, now_s: float) -> None:
        """Hand new records of the log to the operating system; a failure becomes a problem and is tried again."""
        if now_s < self._log_retry_s:
            return
        try:
            self.log.flush(now_s)
            self.problems.pop("replay log", None)
        except StorageError as error:
            self.problems["replay log"] = f"{error}; it is tried again, {self.log.pending_bytes} bytes wait in memory"
            self._log_retry_s = now_s + STORAGE_RETRY_S

    # --- learning -----------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Take the transitions whose turn it is and do one update if one is due; whether anything was done."""
        if self.failure:
            return False
        # What an earlier process left is learned from one by one, so that a resumed run repeats an uninterrupted one.
        count = self.pacer.to_take(1 if self._restored else len(self._waiting))
        count = min(count, len(self._waiting))
        for _ in range(count):
            self.memory.add(self._waiting.popleft())
        self.pacer.taken += count
        self._restored = max(0, self._restored - count)
        if not self.pacer.may_update():
            return count > 0
        self.metrics = self._updates.update()
        self.pacer.updates += 1
        return True

    def check(self) -> None:
        """Set `failure` when a number of the last update is not finite; learning stops then."""
        for name, value in self.metrics.items():
            if not math.isfinite(value) and not self.failure:
                # Nothing is learned on with other settings from a checkpoint (sac.settings.FREE_ON_RESUME).
                self.failure = (
                    f"{name} is {float(value)} after update {self.pacer.updates}: start a new run with a lower "
                    f"sac.learning_rate or sac.reward_scale; or move {self.files.checkpoints} away and resume this run "
                    "with it, which learns again from all that was logged"
                )

    @property
    def sequence_limit(self) -> int:
        """First sequence number of the current session that the task may not publish yet in lockstep."""
        session, stored = self.intake.current, self.intake.counters.stored
        return self.pacer.sequence_limit(
            before_session=stored - (session.stored if session else 0), unstored=session.unstored if session else 0
        )

    @property
    def waiting(self) -> int:
        """Transitions that are stored and not yet in the replay memory; without those that came after a failure."""
        return len(self._waiting)

    @property
    def exploring(self) -> bool:
        """Whether the initial, uniformly random steps are still being collected."""
        return self.intake.counters.stored < self.settings.sac.initial_random_steps

    # --- policy -------------------------------------------------------------------------------------------------

    def new_policy(self) -> PolicyWeights | None:
        """A policy to send under a new version, if one is due."""
        exploring, stored = self.exploring, self.intake.counters.stored
        if not self.policies.due(self.pacer.updates, exploring):
            return None
        try:
            version = self.policies.next_version(self.pacer.updates, exploring, stored)
        except StorageError as error:
            self.problems["policy version"] = f"{error}; it is tried again"
            return None
        self.problems.pop("policy version", None)
        return self._policy(version).sealed()

    def _policy(self, version: int) -> PolicyWeights:
        size = self.settings.observation_size
        return PolicyWeights(
            run=self.settings.run,
            version=version,
            transitions=self.intake.counters.stored,
            updates=self.pacer.updates,
            explore_uniformly=self.exploring,
            tensors=self.learner.policy_tensors(),
            observation_mean=np.zeros(size, dtype=np.float32),
            observation_std=np.ones(size, dtype=np.float32),
        )

    @property
    def policy_age_steps(self) -> float:
        """Transitions stored since the policy was made that chose the newest one; see `PolicySource.age_steps`."""
        return self.policies.age_steps(self._newest_version, self.intake.counters.stored)

    # --- storage ------------------------------------------------------------------------------------------------

    def save_if_due(self, now_s: float) -> bool:
        """Write a checkpoint when its interval is over, and at the end of the run; whether one was written."""
        ended = self.pacer.finished and not self.finished
        interval = self.settings.storage.checkpoint_interval_updates
        if now_s < self._checkpoint_retry_s or not (ended or self.pacer.updates - self._saved_updates >= interval):
            return False
        if not self.save():
            self._checkpoint_retry_s = now_s + STORAGE_RETRY_S
            return False
        self.finished = self.pacer.finished
        return True

    def keep_policy_if_due(self, now_s: float) -> bool:
        """Write the present policy to a file that stays, when its interval is over; whether one was written.

        Before `save_if_due`, so that a run that is resumed has missed none.
        """
        interval = self.settings.storage.kept_policy_interval_steps
        steps = self.pacer.taken
        if now_s < self._kept_retry_s or not interval or steps // interval == self._kept_steps // interval:
            return False
        self.check()
        if self.failure:
            return False
        try:
            self.export_policy(self.files.kept_policy(steps))
        except StorageError as error:
            self.problems["kept policy"] = f"{error}; it is tried again"
            self._kept_retry_s = now_s + STORAGE_RETRY_S
            return False
        self.problems.pop("kept policy", None)
        self._kept_steps = steps
        return True

    def save(self) -> bool:
        """Write a checkpoint and the exported policy; a failed write becomes a problem and leaves the old files.

        After a failure of learning nothing is written: the last checkpoint is from before it.
        """
        self.check()
        if self.failure:
            return False
        progress = Progress(
            transitions=self.pacer.taken,
            updates=self.pacer.updates,
            policy_version=self.policies.version,
            duplicates=self.intake.counters.duplicate,
            sampling=self._updates.sampling_state(),
            pace=self.pacer.base(),
        )
        try:
            self.log.sync()  # the log on the disk must never be behind the checkpoint
            self.checkpoints.save(self.learner, progress)
            self.export_policy(self.files.policy)
        except StorageError as error:
            self.problems["checkpoint"] = f"{error}; it is tried again"
            return False
        self._saved_updates = self.pacer.updates
        self.problems.pop("checkpoint", None)
        return True

    def export_policy(self, path: Path) -> None:
        """Write the present policy to a file of its own.

        Raises:
            StorageError: it cannot be written.
        """
        self._policy(self.policies.version).save(path, {"task_name": self.settings.task_name})

    def close(self) -> None:
        """Write a last checkpoint and let go of the run directory; failed writes stay in `problems`."""
        self.save()
        for name, close in (("policy version", self._versions.close), ("replay log", self.log.close)):
            try:
                close()
            except StorageError as error:
                self.problems[name] = str(error)
        self._lock.close()


def _symmetries(settings: LearnerNodeSettings) -> Symmetries | None:
    lists = settings.observation_symmetries, settings.action_symmetries
    try:
        return Symmetries.from_signed(*lists, settings.observation_size, settings.action_size)
    except ValueError as error:
        raise SettingsError(f"'observation_symmetries', 'action_symmetries': {error}") from error


def _check(settings: LearnerNodeSettings) -> None:
    for name in ("run_directory", "task_name"):
        if not getattr(settings, name):
            raise SettingsError(f"'{name}' is empty; the learner needs it")
