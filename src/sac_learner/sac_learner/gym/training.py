"""Training on a Gymnasium environment in one process: the learner of the robot without ROS, and no console output.

step(): random or policy's action -> environment -> replay log, replay memory -> updates -> evaluation, checkpoint
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rosac_common.settings import SettingsError, from_mapping, to_mapping

from sac_learner.gym.environment import Array, GymEnvironment
from sac_learner.gym.evaluation import evaluate
from sac_learner.gym.interaction import Interaction
from sac_learner.gym.settings import GymSettings
from sac_learner.gym.storage import DOCUMENT, GymRunError, GymStorage, check_fits, stored_run
from sac_learner.learning.checkpoint import Progress, sampling_state
from sac_learner.learning.pacing import Pacer
from sac_learner.learning.replay import ReplayBuffer, row
from sac_learner.policy import PolicyError, PolicyNetwork, PolicyWeights
from sac_learner.sac.learner import Metrics, SacLearner
from sac_learner.sac.settings import RelabellingSettings

# Uses of the seed; each draws from a generator of its own.
_LEARNER, _SAMPLING, _EVALUATION, _ACTING, _ENVIRONMENT = range(5)
# Lists of `result`: always, and where every evaluation has them.
_LISTS = ("steps", "return_mean", "evaluation_episodes")
_OPTIONAL_LISTS = ("success_rate", "robot_time_s")


class NotFiniteError(RuntimeError):
    """A number that came out of an update is not finite. The message names it and the remedy."""


class GymTraining:
    """One training. Call `step` until `finished`, then `close`.

    The same settings and thread count give the same weights and evaluations, bit for bit, on the same machine. A
    resumed run has lost the state of its environment: it goes on with a new episode.
    """

    def __init__(self, settings: GymSettings, directory: Path | None = None, *, resume: bool = False) -> None:
        """Make the training, or with `resume` go on with the one in `directory` if one was begun there.

        Nothing is written before settings, environment and memory have been checked.

        Raises:
            GymEnvironmentError: unknown environment, or spaces that cannot be learned.
            GymRunError, CheckpointError, ReplayLogError, DamagedFileError: the directory holds another run or damage.
            ReplayMemoryError: the replay memory does not fit.
            RunLockedError: another process works in the directory.
            StorageError: the directory cannot be written.
        """
        self.settings = settings = _completed(settings, directory, resume)
        torch.set_num_threads(settings.thread_count)
        environment, self._evaluation_environment = (
            GymEnvironment(settings.env_id, max_episode_steps=settings.max_episode_steps, use=use)
            for use in ("training", "evaluation")
        )
        self._sizes = (environment.observation_size, environment.action_size)
        # More than the training takes need not be reserved.
        self._memory = ReplayBuffer(min(settings.sac.replay_capacity, settings.steps), *self._sizes)
        symmetries = environment.symmetries() if settings.sac.symmetry_augmentation else None
        relabelling = environment.relabelling() if settings.sac.target_relabelling else RelabellingSettings()
        self._learner = SacLearner(
            settings.sac,
            *self._sizes,
            seed=self._seed(_LEARNER),
            symmetries=symmetries,
            relabelling=relabelling,
        )
        self._sampling = np.random.default_rng(self._seed(_SAMPLING))
        self._pacer = Pacer(settings.pacing, start_steps=settings.sac.start_steps, total_steps=settings.steps)
        self.metrics: Metrics = {}
        self.evaluations: list[dict[str, Any]] = []
        self.notes = [self._memory.announcement(), *environment.notes]  # for the console
        if self._learner.fallback:
            self.notes.append(self._learner.fallback)
        if not settings.total_updates:
            self.notes.append(_nothing_learned(settings))
        self._relearned: deque[tuple[Array, float]] = deque()  # rows of an earlier process with their robot time
        self._storage = self._opened(directory) if directory else None
        self._saved_updates = self._pacer.updates
        session = self._storage.session if self._storage else 0
        self._interaction = Interaction(
            environment,
            f"gym-{session}",
            environment_seed=self._seed(_ENVIRONMENT, session),
            acting_seed=self._seed(_ACTING, session),
            robot_time_before_s=self._storage.robot_time_s if self._storage else 0.0,
        )
        self._robot_time_s = self._interaction.robot_time_s
        self._policy = self._make_policy()

    def _seed(self, *use: int) -> int:
        return int(np.random.SeedSequence(self.settings.seed, spawn_key=use).generate_state(1)[0])

    def _opened(self, directory: Path) -> GymStorage:
        """The directory, with everything brought to where its run stopped."""
        storage = GymStorage(directory, to_mapping(self.settings), *self._sizes)
        try:
            if storage.count > self.settings.steps:
                raise GymRunError(
                    f"{directory} holds {storage.count} steps, more than the {self.settings.steps} asked for: ask for "
                    f"at least {storage.count} steps"
                )
            progress, self.evaluations = storage.load(self._learner)
            storage.keep_document()
        except BaseException:
            storage.close()
            raise
        taken = 0
        if progress is not None:
            taken = progress.transitions
            if note := self._pacer.resume(taken, progress.updates, progress.pace):
                self.notes.append(note)
            self._sampling.bit_generator.state = progress.sampling
        if self.finished and self.evaluations[-1]["evaluation_episodes"] < self._evaluation_episodes:
            self.evaluations.pop()  # a better one is asked for
        self._relearned.extend(zip(*storage.fill(self._memory, taken), strict=True))
        self.notes += storage.notes
        if storage.count:
            self.notes.append(
                f"resumed at {taken} steps and {self._pacer.updates} updates; {len(self._relearned)} more steps of the "
                "replay log are learned from first"
            )
        return storage

    @property
    def steps(self) -> int:
        """Control steps that are in the replay memory."""
        return self._pacer.taken

    @property
    def updates(self) -> int:
        """Gradient updates done."""
        return self._pacer.updates

    @property
    def exploring(self) -> bool:
        """Whether actions are still drawn uniformly."""
        return self.steps < self.settings.sac.initial_random_steps

    @property
    def products(self) -> str:
        """Type of the updates' matrix products, as `SacLearner.products`."""
        return self._learner.products

    @property
    def finished(self) -> bool:
        """Whether all steps, their updates and the last evaluation are done."""
        evaluated = bool(self.evaluations) and self.evaluations[-1]["steps"] == self.steps
        return self._pacer.finished and evaluated

    @property
    def recent(self) -> list[tuple[float, bool | None]]:
        """Return and success (None: not judged) of the latest training episodes of this process."""
        return list(self._interaction.recent)

    def step(self) -> None:
        """One control step and all that follows from it; after the last one, the evaluation that is missing.

        Raises:
            BadStepError: the environment fails, or gave what cannot be learned from; the last checkpoint stays.
            NotFiniteError: see there; the last checkpoint stays.
            EndlessEpisodeError: an evaluation does not end.
            StorageError: the directory cannot be written.
        """
        if self.finished:
            return
        if not self._pacer.finished:
            self._advance()
        if self.steps % self.settings.evaluation_interval_steps == 0 or self._pacer.finished:
            self._evaluate()
        if self.finished or self.updates - self._saved_updates >= self.settings.checkpoint_interval_updates:
            self.save()

    def _advance(self) -> None:
        """One step into the memory, and its updates."""
        if self._relearned:
            new, self._robot_time_s = self._relearned.popleft()
        else:
            new = self._interact()
        self._memory.add(new)
        self._pacer.taken += 1
        if self._pacer.may_update():
            self._update()

    def _interact(self) -> Array:
        transition = self._interaction.step(None if self.exploring else self._policy)
        if self._storage is not None:
            self._storage.append(transition)
        self._robot_time_s = self._interaction.robot_time_s
        return row(transition)

    def _update(self) -> None:
        """All updates that are due; the policy acts with their result."""
        while self._pacer.may_update():
            batch = self._memory.sample(self.settings.sac.batch_size, self._sampling)
            self.metrics = self._learner.update(batch)
            self._pacer.updates += 1
        self._policy = self._make_policy()

    def _make_policy(self) -> PolicyNetwork:
        try:
            return PolicyNetwork(self._weights())
        except PolicyError as error:
            raise NotFiniteError(f"after update {self.updates}: {error}; {_REMEDY}") from error

    def _weights(self) -> PolicyWeights:
        size = self._sizes[0]
        return PolicyWeights(
            run=self.settings.env_id,
            version=self.updates,
            transitions=self.steps,
            updates=self.updates,
            explore_uniformly=self.exploring,
            tensors=self._learner.policy_tensors(),
            observation_mean=np.zeros(size, dtype=np.float32),
            observation_std=np.ones(size, dtype=np.float32),
        )

    @property
    def _evaluation_episodes(self) -> int:
        """Episodes of an evaluation that is made now."""
        final = self.settings.final_evaluation_episodes if self._pacer.finished else 0
        return final or self.settings.evaluation_episodes

    def _evaluate(self) -> None:
        episodes = self._evaluation_episodes
        result = evaluate(
            self._evaluation_environment,
            self._policy,
            episodes=episodes,
            # Drawn from the step, so that a resumed run meets the same episodes.
            seed=self._seed(_EVALUATION, self.steps),
        )
        counted = self._interaction.robot_time_s is not None
        time_s = {"robot_time_s": self._robot_time_s} if counted else {}
        self.evaluations.append({"steps": self.steps, "evaluation_episodes": episodes, **time_s, **result})
        if self._storage is not None:
            self._storage.keep_policy(self._weights())

    def save(self) -> None:
        """Write a checkpoint, where there is a directory.

        Raises:
            NotFiniteError: a number of the last update is not finite; the last checkpoint stays.
            StorageError: it cannot be written.
        """
        for name, value in self.metrics.items():
            if not math.isfinite(value):
                raise NotFiniteError(f"{name} is {float(value)} after update {self.updates}: {_REMEDY}")
        self._saved_updates = self.updates
        if self._storage is None:
            return
        progress = Progress(
            transitions=self.steps,
            updates=self.updates,
            policy_version=self.updates,
            duplicates=0,
            sampling=sampling_state(self._sampling),
            pace=self._pacer.base(),
        )
        self._storage.save(self._learner, progress, self.evaluations, self._weights())

    def result(self) -> dict[str, Any]:
        """What was trained, and the evaluations as lists of equal length.

        `steps`, `return_mean`, `evaluation_episodes`; `success_rate` where the environment judges success,
        `robot_time_s` [s] where it counts the time that a robot moves.
        """
        settings = self.settings
        known = self.evaluations
        names = [*_LISTS, *(name for name in _OPTIONAL_LISTS if known and all(name in each for each in known))]
        return {
            "env_id": settings.env_id,
            "mode": settings.mode,
            "seed": settings.seed,
            **{name: [each[name] for each in known] for name in names},
            "updates": self.updates,
        }

    def close(self) -> None:
        """Let go of the environments and of the directory.

        Raises:
            BadStepError: an environment does not close.
            StorageError: what is held in memory cannot be written.
        """
        with contextlib.ExitStack() as closing:
            if self._storage is not None:
                closing.callback(self._storage.close)
            closing.callback(self._evaluation_environment.close)
            closing.callback(self._interaction.environment.close)


_REMEDY = "try a lower sac.learning_rate or sac.reward_scale"


def _nothing_learned(settings: GymSettings) -> str:
    sac = settings.sac
    return (
        f"nothing will be learned: updates begin after {sac.start_steps} steps (sac.initial_random_steps "
        f"{sac.initial_random_steps}, sac.min_pool_steps {sac.min_pool_steps}), {settings.pacing.updates_per_step:g} "
        f"for each, and {settings.steps} steps are asked for; raise --steps, or give --set sac.initial_random_steps=N"
    )


def _completed(settings: GymSettings, directory: Path | None, resume: bool) -> GymSettings:
    """The settings with the evaluation interval filled in: on resume that of the run, else a twentieth."""
    stored = stored_run(directory) if directory else None
    if stored is not None:
        if not resume:
            raise GymRunError(f"{directory} holds a run: resume it (--resume), or choose another directory")
        check_fits(directory, stored, settings.identity())
    interval = settings.evaluation_interval_steps or (stored or {}).get("evaluation_interval_steps", 0)
    try:
        kept = from_mapping(GymSettings, {"evaluation_interval_steps": interval}).evaluation_interval_steps
    except SettingsError as error:
        remedy = "restore it from a copy, or give --eval-interval"
        raise GymRunError(f"cannot read {directory}/{DOCUMENT}: {error}; {remedy}") from error
    return dataclasses.replace(settings, evaluation_interval_steps=kept or max(1, settings.steps // 20))
