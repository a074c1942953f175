"""Symmetries of a task: ways to turn or mirror the robot that change nothing.

If a robot and its task look the same after such a change, every transition is as true after it as before. Turning the
sampled ones at random multiplies what each second of the robot teaches (arXiv 1909.10707).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from sac_learner.sac.gradients import TensorBatch


@dataclasses.dataclass(frozen=True)
class Symmetries:
    """G symmetries, the identity among them, as signed permutations: new[i] = sign[g, i] * old[order[g, i]]."""

    observation_order: Tensor  # [G, O], int64
    observation_sign: Tensor  # [G, O], +-1.0
    action_order: Tensor  # [G, A]
    action_sign: Tensor  # [G, A]

    @classmethod
    def from_signed(
        cls, observation: Sequence[int], action: Sequence[int], observation_size: int, action_size: int
    ) -> Symmetries | None:
        """From flat lists of G rows: entry +-(j + 1) at place i means new[i] = +-old[j]. None for empty lists.

        Raises:
            ValueError: lengths do not fit, or a row is no signed permutation.
        """
        if not len(observation) and not len(action):
            return None
        parts = []
        for name, flat, size in (("observation", observation, observation_size), ("action", action, action_size)):
            if len(flat) % size:
                raise ValueError(f"symmetries of the {name} hold {len(flat)} numbers, no multiple of its size {size}")
            rows = torch.tensor(list(flat), dtype=torch.int64).view(-1, size)
            order = rows.abs() - 1
            if not (order.sort(dim=1).values == torch.arange(size)).all():
                raise ValueError(f"symmetries of the {name}: every row must hold each of +-1 .. +-{size} once")
            parts += [order, rows.sign().float()]
        if len(parts[0]) != len(parts[2]):
            raise ValueError(f"{len(parts[0])} symmetries of the observation, {len(parts[2])} of the action")
        return cls(*parts)

    def to(self, device: torch.device) -> Symmetries:
        """The same on a device."""
        return Symmetries(*(getattr(self, field.name).to(device) for field in dataclasses.fields(self)))

    def augment(self, batch: TensorBatch, generator: torch.Generator) -> TensorBatch:
        """Each transition under a symmetry of its own, drawn uniformly."""
        count = len(self.action_order)
        drawn = torch.randint(count, batch.reward.shape, generator=generator, device=batch.reward.device)
        order, sign = self.observation_order[drawn], self.observation_sign[drawn]
        return batch._replace(
            observation=batch.observation.gather(1, order) * sign,
            action=batch.action.gather(1, self.action_order[drawn]) * self.action_sign[drawn],
            next_observation=batch.next_observation.gather(1, order) * sign,
        )
