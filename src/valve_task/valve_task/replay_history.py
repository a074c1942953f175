"""The newest transitions of a session, kept so that lost ones can be sent again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rosac_common.transition import EndReason, Source, Transition

_SCALARS = (
    "sequence",
    "episode",
    "step",
    "policy_version",
    "source",
    "end_reason",
    "reward",
    "stamp_s",
    "action_latency_s",
)
_VECTORS = ("observation", "requested_action", "executed_action", "next_observation", "sensor_ages_s")


class ReplayHistory:
    """A ring of transitions of one session, added in the order of their sequence numbers, without gaps.

    Args:
        capacity: how many are kept; older ones are forgotten.
        observation_size, action_size, ages_size: lengths of the vectors.
    """

    def __init__(self, capacity: int, observation_size: int, action_size: int, ages_size: int) -> None:
        self._ring = np.zeros(
            capacity,
            dtype=[
                ("sequence", "u8"),
                ("episode", "u4"),
                ("step", "u4"),
                ("policy_version", "u8"),
                ("source", "u1"),
                ("end_reason", "u1"),
                ("reward", "f8"),
                ("stamp_s", "f8"),
                ("action_latency_s", "f8"),
                ("observation", "f4", (observation_size,)),
                ("requested_action", "f4", (action_size,)),
                ("executed_action", "f4", (action_size,)),
                ("next_observation", "f4", (observation_size,)),
                ("sensor_ages_s", "f4", (ages_size,)),
            ],
        )
        self._names = self._ring.dtype.names
        self._session_id = ""
        self.added = 0

    @property
    def first_available(self) -> int:
        """Lowest sequence number that is still kept; `added` when there is none."""
        return max(0, self.added - len(self._ring))

    def add(self, transition: Transition) -> None:
        """Keep a transition.

        Raises:
            ValueError: its sequence number is not the next one.
        """
        if transition.sequence != self.added:
            raise ValueError(f"transition {transition.sequence} added to a history that expects {self.added}")
        self._session_id = transition.session_id
        self._ring[self.added % len(self._ring)] = tuple(getattr(transition, name) for name in self._names)
        self.added += 1

    def get(self, first: int, last: int) -> Iterator[Transition]:
        """The kept transitions with sequence numbers `first` to `last`, both included, in order.

        Those that are forgotten while the caller takes its time are left out.
        """
        for sequence in range(max(first, self.first_available), min(last + 1, self.added)):
            if sequence < self.first_available:
                continue
            row = self._ring[sequence % len(self._ring)]
            scalars = {name: row[name].item() for name in _SCALARS}
            vectors = {name: row[name].copy() for name in _VECTORS}
            scalars["source"] = Source(scalars["source"])
            scalars["end_reason"] = EndReason(scalars["end_reason"])
            yield Transition(session_id=self._session_id, **scalars, **vectors)
