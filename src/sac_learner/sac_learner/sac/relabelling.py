"""Another target for a transition that has been seen: what would then have been earned (hindsight experience replay,
arXiv 1707.01495).

The target is the angle of a thing that looks the same after a part of a turn, but for a mark: with the mark on another
of its equal parts, the motion would have been the same, the angle and the error another, and with it the reward. Or it
is a velocity that somebody asks for: whatever the robot did, it would have done had another one been asked for.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from rosac_common.settings import SettingsError
from torch import Tensor

from sac_learner.sac.gradients import TensorBatch
from sac_learner.sac.settings import RelabellingSettings

# Of the transitions that get another velocity; the rest is learned as it was, near what the policy does (own choice).
_SHARE = 0.5


class Relabelling(Protocol):
    """Gives each transition of a batch a target of its own, drawn anew."""

    def augment(self, batch: TensorBatch, generator: torch.Generator) -> TensorBatch:
        """The same motions with other targets."""


def make_relabelling(settings: RelabellingSettings, observation_size: int, device: torch.device) -> Relabelling | None:
    """None where the task has no such target.

    Raises:
        SettingsError: there are two, or what is said about one does not fit together or the observation.
    """
    if settings.angle_places and settings.velocity_places:
        raise SettingsError("'angle_places' and 'velocity_places' are both given; a task has one target")
    if settings.velocity_places:
        return VelocityRelabelling(settings, observation_size, device)
    return AngleRelabelling(settings, observation_size, device) if settings.angle_places else None


class AngleRelabelling:
    """Turns the thing by equal parts, drawn uniformly."""

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


class VelocityRelabelling:
    """Asks half of the transitions for a velocity drawn uniformly from those that the task asks for."""

    def __init__(self, settings: RelabellingSettings, observation_size: int, device: torch.device) -> None:
        """Raises:
        SettingsError: lists do not fit together or the observation.
        """
        places, limits = settings.velocity_places, settings.velocity_range_m_s
        if len(places) != 2 or len(set(places)) != 2 or max(places) >= observation_size:
            raise SettingsError(
                f"'velocity_places' is {places}; it must hold two different places below {observation_size}, the size "
                "of the observation"
            )
        if len(limits) != 2 or not limits[0] <= limits[1]:
            raise SettingsError(f"'velocity_range_m_s' is {limits}; it must hold the lowest and the highest velocity")
        self._asked, self._measured = places
        self._limits, self._per_m_s = limits, settings.reward_per_m_s

    def augment(self, batch: TensorBatch, generator: torch.Generator) -> TensorBatch:
        """The same motions, half of them with another velocity asked for from the step before to the step after."""
        low, high = self._limits
        share, part = torch.rand(2, len(batch.reward), generator=generator, device=batch.reward.device)
        changed, asked = share < _SHARE, low + (high - low) * part
        measured, before = batch.next_observation[:, self._measured], batch.observation[:, self._asked]
        gain = self._per_m_s * ((asked - measured).abs() - (before - measured).abs())
        observation, next_observation = (
            self._asking(each, asked, changed) for each in (batch.observation, batch.next_observation)
        )
        reward = batch.reward + torch.where(changed, gain, 0.0)
        return batch._replace(observation=observation, next_observation=next_observation, reward=reward)

    def _asking(self, observation: Tensor, asked: Tensor, changed: Tensor) -> Tensor:
        other = observation.clone()
        other[:, self._asked] = torch.where(changed, asked, observation[:, self._asked])
        return other
