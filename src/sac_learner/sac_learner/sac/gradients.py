"""The gradients of one update, written plainly: the losses of the paper and automatic differentiation.

`derived.DerivedGradients` computes the same by hand, faster; `check_gradients` compares the two.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sac_learner.sac.actor import actor_loss
from sac_learner.sac.critic import critic_loss, critic_target
from sac_learner.sac.distribution import sample_action
from sac_learner.sac.networks import GaussianPolicy, TwinCritic
from sac_learner.sac.settings import SacSettings
from sac_learner.sac.temperature import temperature_loss

# Scalars of the last update, still tensors: reading one (float) waits for the device, so that is left to the caller.
Metrics = dict[str, Tensor]
# Norm of the difference of two gradients, as a part of their norm. Rounding leaves about 1e-6 (own measurement); a
# wrong sign, factor or term of any loss is far above.
GRADIENT_TOLERANCE = 1e-3
# The same with products in bfloat16: rounding leaves 0.004 to 0.013 (own measurement, 256 units).
BFLOAT16_GRADIENT_TOLERANCE = 5e-2
# Observations of this size push some log standard deviations to their limits in a policy as it is made, not all.
_CLIPPING_SCALE = 100.0
# So many batches are tried. In one of them rounding may put a unit on the other side of ReLU's zero, which moves a
# gradient by up to 5e-3 of its size (own measurement, 4 of 144 batches with BatchNorm). A mistake shows in all.
_BATCHES = 3
# So often the networks are moved and the gradients compared: the second time finds what was kept of the first.
_MOVES = 2
# A metric below this counts as this large: means over the batch of numbers around 1 may be zero by chance.
_SMALL_METRIC = 0.1


class TensorBatch(NamedTuple):
    """A batch on the device: `batch.Batch` as tensors."""

    observation: Tensor  # [B, O]
    action: Tensor  # [B, A]
    reward: Tensor  # [B]
    next_observation: Tensor  # [B, O]
    bootstrap: Tensor  # [B]


@dataclasses.dataclass(frozen=True)
class Networks:
    """What the gradients are taken of. `log_alpha` is a scalar; it has a gradient when it is learned."""

    policy: GaussianPolicy
    critic: TwinCritic
    target_critic: TwinCritic
    log_alpha: Tensor
    target_entropy: float

    @property
    def temperature_is_learned(self) -> bool:
        """Whether alpha has a gradient."""
        return self.log_alpha.requires_grad


class Descent(NamedTuple):
    """What a step of one optimiser needs."""

    gradient: Tensor  # of all parameters, as one vector
    metrics: Metrics
    statistics: Tensor | None = None  # of the critics' BatchNorm, to be tracked with the step (`TwinCritic.track`)


class Gradients(Protocol):
    """One update is: `critic`, step of the critics, `actor`, step of policy and temperature."""

    products: torch.dtype  # type of the matrix products

    def critic(self, batch: TensorBatch, alpha: Tensor, noise: Tensor) -> Descent:
        """Down the critics' loss.

        Args:
            batch: transitions.
            alpha: temperature, a scalar.
            noise: standard normal, of the action at the next observation and, in updates that also step the policy, of
                that at the observation [1 or 2, B, A].
        """

    def actor(self, batch: TensorBatch, alpha: Tensor, noise: Tensor) -> Descent:
        """Down the losses of policy and temperature (if learned), log_alpha last; the same arguments, after the step of
        the critics."""


class PlainGradients:
    """Automatic differentiation of the losses as they are written."""

    products = torch.float32

    def __init__(self, settings: SacSettings, networks: Networks) -> None:
        self._settings, self._networks = settings, networks

    def critic(self, batch: TensorBatch, alpha: Tensor, noise: Tensor) -> Descent:
        networks, settings, statistics = self._networks, self._settings, None
        with torch.no_grad():
            next_action, next_log_prob = sample_action(*networks.policy(batch.next_observation), noise[0])
        following = batch.next_observation, next_action
        if networks.critic.normalisation == "batch":
            q, next_q, statistics = networks.critic.joint(batch.observation, batch.action, *following)
        else:
            q, next_q = networks.critic(batch.observation, batch.action), networks.target_critic(*following)
        target = critic_target(
            batch.reward,
            batch.bootstrap,
            next_q.detach(),
            next_log_prob,
            alpha,
            discount=settings.discount,
            reward_scale=settings.reward_scale,
        )
        loss = critic_loss(q, target)
        gradient = _joined(torch.autograd.grad(loss, list(networks.critic.parameters())))
        return Descent(gradient, {"critic_loss": loss.detach(), "q_mean": q.detach().mean()}, statistics)

    def actor(self, batch: TensorBatch, alpha: Tensor, noise: Tensor) -> Descent:
        networks = self._networks
        action, log_prob = sample_action(*networks.policy(batch.observation), noise[1])
        loss = total = actor_loss(networks.critic(batch.observation, action), log_prob, alpha)
        parameters = list(networks.policy.parameters())
        if networks.temperature_is_learned:
            variable = self._settings.temperature_loss
            total = loss + temperature_loss(networks.log_alpha, log_prob.detach(), networks.target_entropy, variable)
            parameters.append(networks.log_alpha)
        gradient = _joined(torch.autograd.grad(total, parameters))
        metrics = {"actor_loss": loss.detach(), "entropy": -log_prob.detach().mean(), "temperature": alpha}
        return Descent(gradient, metrics)


def _joined(gradients: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


def check_gradients(
    plain: Gradients,
    other: Gradients,
    networks: Networks,
    batch_size: int,
    tolerance: float = GRADIENT_TOLERANCE,
    delayed_actor: bool = False,
) -> str:
    """Compare two ways to compute the gradients on fixed batches of this size.

    In networks as they are made much is equal or zero, and a mistake about it would not show: targets and critics,
    biases, running statistics. So they are moved for the comparison, and then put back to the bit.

    Args:
        plain, other: the two ways, of the same networks.
        networks: for their sizes and device.
        batch_size: transitions in a batch.
        tolerance: norm of a difference that is allowed, as a part of the norm.
        delayed_actor: there are updates that step the critics alone; these are compared, too.

    Returns:
        What differs, or an empty string.
    """
    generator = torch.Generator().manual_seed(_BATCHES)
    with _kept(networks):
        for _ in range(_MOVES):
            _move(networks, generator)
            if problem := _compare(plain, other, networks, batch_size, tolerance, delayed_actor):
                return problem
    return ""


def _compare(
    plain: Gradients, other: Gradients, networks: Networks, batch_size: int, tolerance: float, delayed_actor: bool
) -> str:
    """What differs with the networks as they are, or an empty string."""
    # Rounding to 8 bits shows too much where the policy is steep; the limits are the same for all products.
    for scale in (1.0, _CLIPPING_SCALE) if tolerance <= GRADIENT_TOLERANCE else (1.0,):
        for seed in range(_BATCHES):
            batch, noise = _fixed_batch(networks, batch_size, scale, seed)
            problem = _difference(plain, other, batch, noise, tolerance, delayed_actor)
            if not problem:
                break
        else:
            return problem
    return ""


@contextlib.contextmanager
def _kept(networks: Networks) -> Iterator[None]:
    """Afterwards all is as it was before."""
    tensors = [networks.log_alpha.detach()]
    for module in (networks.policy, networks.critic, networks.target_critic):
        tensors += [each.detach() for each in (*module.parameters(), *module.buffers())]
    before = [tensor.clone() for tensor in tensors]
    try:
        yield
    finally:
        for tensor, value in zip(tensors, before, strict=True):
            tensor.copy_(value)


@torch.no_grad()
def _move(networks: Networks, generator: torch.Generator) -> None:
    """Everything that gradients depend on becomes something else, each network another way."""

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator).to(like.device)

    for module in (networks.policy, networks.critic, networks.target_critic):
        for weight, bias in zip(module.weights, module.biases, strict=True):
            weight.mul_(1.0 + 0.1 * normal(weight))
            bias.add_(0.3 * normal(bias))
    for statistics in networks.critic.buffers():  # variances stay above 0
        statistics.add_(0.3 * normal(statistics).abs())
    if networks.temperature_is_learned:
        networks.log_alpha.sub_(0.5)


def _difference(
    plain: Gradients, other: Gradients, batch: TensorBatch, noise: Tensor, tolerance: float, delayed_actor: bool
) -> str:
    """What differs on this batch, or an empty string."""
    alpha = torch.tensor(0.3, device=noise.device)
    for name, part in (("critic", noise), ("actor", noise), ("critic", noise[:1])):
        if len(part) == 1 and not delayed_actor:
            continue
        expected, got = (_by_name(getattr(each, name)(batch, alpha, part)) for each in (plain, other))
        for key, value in got.items():
            size = expected[key].norm().clamp_min(1e-6 if key == "gradient" else _SMALL_METRIC)
            error = float((value - expected[key]).norm() / size)
            if not error <= tolerance:
                return f"{name} {key} differs by {error:.2g} of its size, limit {tolerance:g}"
    return ""


def _by_name(descent: Descent) -> Metrics:
    named = {"gradient": descent.gradient, **descent.metrics}
    return named if descent.statistics is None else {**named, "statistics": descent.statistics}


def _fixed_batch(networks: Networks, batch_size: int, scale: float, seed: int) -> tuple[TensorBatch, Tensor]:
    """The same transitions and noise each time, with observations of that standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    observation_size = networks.policy.weights[0].shape[0]
    action_size = networks.policy.weights[-1].shape[1] // 2

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(networks.log_alpha.device)

    batch = TensorBatch(
        observation=scale * normal(batch_size, observation_size),
        action=torch.tanh(normal(batch_size, action_size)),
        reward=normal(batch_size),
        next_observation=scale * normal(batch_size, observation_size),
        bootstrap=(normal(batch_size) > -1.0).float(),
    )
    return batch, normal(2, batch_size, action_size)
