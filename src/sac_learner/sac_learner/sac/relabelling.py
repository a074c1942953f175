"""Another target for a transition that has been seen: what would have been earned, had the mark been elsewhere.

Hindsight experience replay (arXiv 1707.01495) for a thing that is turned to an angle and looks the same after a part of
a turn, but for a mark. With the mark on another of its equal parts, the motion would have been the same, the angle and
the error another, and with it the reward.
"""

from __future__ import annotations

import math

import torch
from rosac_common.settings import SettingsError
from torch import Tensor

from sac_learner.sac.gradients import TensorBatch
from sac_learner.sac.settings import RelabellingSettings


class Relabelling:
    """Changes transitions of a batch; each by a turn of its own, drawn uniformly."""

    def __init__(self, settings: RelabellingSettings, observation_size: int, device: torch.device) -> None:
        """Raises:
        SettingsError: lists do not fit together or the observation.
        """
        places = settings.angle_places
        if len(places) != 3 or len(set(places)) != 3 or max(places) >= observation_size:
            raise SettingsError(
                f"'angle_places' is {places}; it must hold three different places below {observation_size}, the size "
                "of the observation"
            )
        if not any(turn == 0.0 for turn in settings.turns_rad):
            raise SettingsError(f"'turns_rad' is {settings.turns_rad}; it must hold 0: the target as it was")
        if len(settings.bonus) != len(settings.bonus_below_rad):
            raise SettingsError(f"'bonus' has {len(settings.bonus)}, 'bonus_below_rad' {len(settings.bonus_below_rad)}")
        self._cos, self._sin, self._error = places
        self._turns = torch.tensor(settings.turns_rad, device=device)
        self._settings = settings

    @classmethod
    def from_settings(
        cls, settings: RelabellingSettings, observation_size: int, device: torch.device
    ) -> Relabelling | None:
        """None where the task has no such target."""
        return cls(settings, observation_size, device) if settings.angle_places else None

    def augment(self, batch: TensorBatch, generator: torch.Generator) -> TensorBatch:
        """The same motions, each with the mark on a part of its own."""
        draws = torch.randint(len(self._turns), batch.reward.shape, generator=generator, device=batch.reward.device)
        turn = self._turns[draws]
        observation, next_observation = (
            self._turned(each, turn) for each in (batch.observation, batch.next_observation)
        )
        errors = next_observation[:, self._error], batch.next_observation[:, self._error]
        after, before = (self._part_of_reward(error) for error in errors)
        return batch._replace(
            observation=observation, next_observation=next_observation, reward=batch.reward + (after - before)
        )

    def _turned(self, observation: Tensor, turn: Tensor) -> Tensor:
        cos, sin, error = (observation[:, place] for place in (self._cos, self._sin, self._error))
        turned = observation.clone()
        turned[:, self._cos] = cos * turn.cos() - sin * turn.sin()
        turned[:, self._sin] = sin * turn.cos() + cos * turn.sin()
        turned[:, self._error] = torch.remainder(error - turn + math.pi, 2 * math.pi) - math.pi
        return turned

    def _part_of_reward(self, error: Tensor) -> Tensor:
        """What depends on the error [B]."""
        distance, settings = error.abs(), self._settings
        part = settings.reward_per_rad * distance
        for bonus, below in zip(settings.bonus, settings.bonus_below_rad, strict=True):
            part = part + bonus * (distance < below)
        return part
