"""The transition: what one control step leaves behind, and how an episode may end."""

from __future__ import annotations

import dataclasses
import enum

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
_LIMIT = f" (float32, as which it is stored, ends at {np.finfo(np.float32).max:.1e})"


def _is_finite(values: npt.ArrayLike) -> bool:
    """Whether every value is finite as float32, which a larger finite number is not."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.asarray(values, dtype=np.float32)).all())


class EndReason(enum.IntEnum):
    """Why an episode ended (Transition.END_*). Only TERMINATED cuts the bootstrap of the value function."""

    NONE = 0
    TERMINATED = 1
    TIME_LIMIT = 2
    SAFETY_STOP = 3
    OPERATOR_STOP = 4
    STALE_SENSOR = 5
    CONNECTION_LOST = 6

    @property
    def bootstraps(self) -> bool:
        """Whether the value of the next observation counts in the critic's target."""
        return self is not EndReason.TERMINATED


class Source(enum.IntEnum):
    """Who chose the executed action (Action.SOURCE_*)."""

    RANDOM = 0
    POLICY = 1
    HUMAN = 2
    DEMONSTRATION = 3


@dataclasses.dataclass(frozen=True)
class Transition:
    """One settled control step. Vectors are float32; see Transition.msg for the meaning and units of each field."""

    session_id: str
    sequence: int
    episode: int
    step: int
    policy_version: int
    source: Source
    end_reason: EndReason
    observation: Array
    requested_action: Array
    executed_action: Array
    reward: float
    next_observation: Array
    sensor_ages_s: Array
    stamp_s: float
    action_latency_s: float

    def problem(self, observation_size: int, action_size: int) -> str | None:
        """What is wrong with it (a size, or a value that is not finite in float32, as it is stored), or None."""
        sizes = {
            "observation": observation_size,
            "requested_action": action_size,
            "executed_action": action_size,
            "next_observation": observation_size,
        }
        for name, size in sizes.items():
            vector = getattr(self, name)
            if vector.shape != (size,):
                return f"{name} has {vector.size} values, expected {size}"
            if not _is_finite(vector):
                return f"{name} has a value that is not finite: {vector.tolist()}{_LIMIT}"
        if not _is_finite(self.reward):
            return f"reward is {self.reward}{_LIMIT}"
        return None
