"""The pace of learning: how many updates are due, and how far the robot may run ahead in lockstep."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rosac_common.settings import setting


@dataclasses.dataclass(frozen=True)
class PacingSettings:
    """How updates follow transitions."""

    updates_per_step: float = setting(
        1.0,
        "Gradient updates per transition after the initial steps. Source: App. D of arXiv 1812.05905.",
        minimum=0.0,
        maximum=1000.0,
    )
    band_steps: int = setting(
        20,
        "Lockstep: the task may be this many transitions ahead of those in the replay memory, so that robot and "
        "learner compute side by side. Realtime: further behind, the learner takes all at once and owes the updates. "
        "Source: own choice, a tenth of softlearning's asynchronous sampler, which ran a whole path (200 steps) ahead.",
        minimum=1,
        maximum=100_000,
    )


class Pacer:
    """Counts transitions taken into the replay memory and updates done.

    Transitions are taken one by one, in order, each after all updates of those before it. So what is learned depends
    on the transitions and not on when they arrived.
    """

    def __init__(self, settings: PacingSettings, *, start_steps: int, total_steps: int) -> None:
        """Args: start_steps: transitions before updates begin; total_steps: end of the run, 0 = none."""
        self._settings = settings
        self._start_steps, self._total_steps = start_steps, total_steps
        self.taken = 0
        self.updates = 0
        self._base_steps, self._base_updates = start_steps, 0  # updates due are counted from here on

    @property
    def updates_due(self) -> int:
        """Updates that the transitions taken so far call for."""
        return self._due_at(self._settings.updates_per_step)

    def _due_at(self, updates_per_step: float) -> int:
        return self._base_updates + int(updates_per_step * max(0, self.taken - self._base_steps))

    def base(self) -> dict[str, float]:
        """The pace and where its count began, for a checkpoint: plain JSON values."""
        return {
            "updates_per_step": self._settings.updates_per_step,
            "steps": self._base_steps,
            "updates": self._base_updates,
        }

    def resume(self, taken: int, updates: int, base: Mapping[str, float]) -> str:
        """Go on from a checkpoint; another pace counts from there, and updates owed at the old one stay owed.

        Args:
            taken: transitions at the checkpoint.
            updates: done until then.
            base: what `base()` gave then; empty in a checkpoint that is older than this, which counts from the start.

        Returns:
            What changed, for the log, or an empty string.
        """
        self.taken, self.updates = taken, updates
        if not base:
            return ""
        self._base_steps, self._base_updates = int(base["steps"]), int(base["updates"])
        old, new = base["updates_per_step"], self._settings.updates_per_step
        if old == new:
            return ""
        self._base_steps, self._base_updates = max(taken, self._base_steps), self._due_at(old)
        return f"pacing.updates_per_step is {new:g}, it was {old:g}: it counts from {self._base_steps} transitions"

    @property
    def at_end(self) -> bool:
        """Whether the run has taken all its transitions."""
        return 0 < self._total_steps <= self.taken

    @property
    def finished(self) -> bool:
        """Whether the run has taken all its transitions and done their updates."""
        return self.at_end and not self.may_update()

    def may_update(self) -> bool:
        """Whether an update is due: the learner sleeps otherwise."""
        return self.updates < self.updates_due

    def to_take(self, waiting: int) -> int:
        """How many of `waiting` transitions to take now.

        One when no update is due. When more wait than the band allows (a real robot does not wait), all but a band:
        the updates stay owed, the realised ratio shows it.
        """
        room = self._total_steps - self.taken if self._total_steps else waiting
        wanted = max(waiting - self._settings.band_steps, 0 if self.may_update() else 1)
        return max(0, min(waiting, wanted, room))

    @property
    def realised_ratio(self) -> float:
        """Updates done per transition taken after the initial ones; 0 before."""
        steps = self.taken - self._start_steps
        return self.updates / steps if steps > 0 else 0.0

    def sequence_limit(self, *, before_session: int, unstored: int) -> int:
        """First sequence number that the task may not publish yet.

        Args:
            before_session: transitions stored from other sessions.
            unstored: numbers of this session that are settled but not stored (lost or refused).
        """
        ahead = self.taken + self._settings.band_steps
        total = min(ahead, self._total_steps) if self._total_steps else ahead
        return max(0, total - before_session + unstored)
