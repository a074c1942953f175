"""When a policy is sent to the robot, under which version, and how old the one in use is."""

from __future__ import annotations

import math

from sac_learner.runs.run_files import VersionCounter

# Policy versions whose birth is remembered for the policy's age.
_REMEMBERED_VERSIONS = 1000


class PolicySource:
    """Decides when the next policy is due and numbers it."""

    def __init__(self, versions: VersionCounter, interval_updates: int) -> None:
        self._versions, self._interval = versions, interval_updates
        self._updates, self._explored = 0, True  # at the last policy
        self._sent_at: dict[int, int] = {}  # policy version -> transitions stored when it was made

    @property
    def version(self) -> int:
        """The newest version."""
        return self._versions.version

    def due(self, updates: int, exploring: bool) -> bool:
        """Whether to send a policy: the first, at the end of the random steps, and after every interval of updates."""
        return not self._sent_at or updates - self._updates >= self._interval or exploring != self._explored

    def next_version(self, updates: int, exploring: bool, stored: int) -> int:
        """Number a policy made now, `stored` transitions into the run.

        Raises:
            StorageError: the disk takes no new version; the policy stays due.
        """
        version = self._versions.next()
        self._updates, self._explored = updates, exploring
        self._sent_at[version] = stored
        if len(self._sent_at) > _REMEMBERED_VERSIONS:
            del self._sent_at[next(iter(self._sent_at))]
        return version

    def age_steps(self, version: int, stored: int) -> float:
        """Transitions stored since the policy of this version was made.

        Of one that is older than all that are remembered, such as one of before a restart: since the oldest of those, a
        lower bound. NaN when nothing is known.
        """
        oldest = next(iter(self._sent_at), 0)
        if 0 < version < oldest:
            version = oldest
        return stored - self._sent_at.get(version, math.nan)
