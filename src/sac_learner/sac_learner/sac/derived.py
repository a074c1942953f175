"""The gradients of one update, derived by hand: matrix products and little else.

What automatic differentiation spends beside the products is left out, such as the way back to what has no parameters.
The functions here only compute; so they run as they are, compiled for a CPU (`compiled.py`) or captured on a GPU
(`learning/cuda.py`). The rounding differs from the plain gradients, nothing else; `gradients.check_gradients` compares
the two at the start of every learner.

With bfloat16 products the hidden layers and the weights that they are multiplied with are rounded to 8 bits, as in
mixed-precision training (arXiv 1905.12322); output layers, losses, parameters and Adam stay in float32.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sac_learner.sac.critic import critic_loss, critic_target
from sac_learner.sac.derived_layers import (
    Layers,
    Moments,
    Outcome,
    through_critics,
    through_policy,
    to_action,
    to_parameters,
)
from sac_learner.sac.distribution import sample_action
from sac_learner.sac.gradients import Descent, Networks, TensorBatch
from sac_learner.sac.networks import joined_moments
from sac_learner.sac.settings import SacSettings
from sac_learner.sac.temperature import temperature_loss

# Makes of a function of tensors, and of such tensors, one that does the same faster; raises RuntimeError if it cannot.
Compile = Callable[[Callable[..., Any], tuple[Any, ...]], Callable[..., Any]]


@dataclasses.dataclass(frozen=True)
class Form:
    """What an update looks like, apart from its tensors."""

    discount: float
    reward_scale: float
    log_std_limits: tuple[float, float]
    target_entropy: float
    temperature_variable: str  # of the temperature's loss; empty: it is fixed
    normalisation: str  # in the critics
    products: torch.dtype


class Kept(NamedTuple):
    """What the critics' gradient leaves for the policy's: all about the action drawn at the observation."""

    outcome: Outcome  # of the policy
    raw_log_std: Tensor  # before the clip [B, A]
    log_std: Tensor
    action: Tensor
    log_prob: Tensor  # [B]


class DerivedGradients:
    """The same gradients as `PlainGradients`. `critic` passes both halves of the batch through the policy at once;
    `actor` then uses what it kept."""

    def __init__(
        self,
        settings: SacSettings,
        networks: Networks,
        products: torch.dtype = torch.float32,
        compiler: Compile | None = None,
    ) -> None:
        """Args: products: their type; compiler: used for each size of batch that comes; None: computed as written."""
        self._form = Form(
            discount=settings.discount,
            reward_scale=settings.reward_scale,
            log_std_limits=networks.policy.log_std_limits,
            target_entropy=networks.target_entropy,
            temperature_variable=settings.temperature_loss if networks.temperature_is_learned else "",
            normalisation=networks.critic.normalisation,
            products=products,
        )
        # Detached: they share the parameters' memory and nothing records what is done with them.
        self._policy, self._critic, self._target = (
            Layers([w.detach() for w in module.weights], [b.detach() for b in module.biases])
            for module in (networks.policy, networks.critic, networks.target_critic)
        )
        self._moments = networks.critic.moments() if self._form.normalisation == "batch" else []
        self._log_alpha = networks.log_alpha.detach()
        self.products, self._compiler = products, compiler
        self._functions: dict[tuple[str, int, int], Callable[..., Any]] = {}

    @torch.no_grad()
    def critic(self, batch: TensorBatch, alpha: Tensor, noise: Tensor) -> Descent:
        arguments = (self._policy, self._critic, self._target, batch, alpha, noise)
        descent, self._kept = self._function("critic", batch, noise, arguments)(*arguments)
        return descent

    @torch.no_grad()
    def actor(self, batch: TensorBatch, alpha: Tensor, noise: Tensor) -> Descent:
        critic = (self._critic, self._moments)
        arguments = (self._policy, *critic, self._log_alpha, batch.observation, self._kept, alpha, noise)
        return self._function("actor", batch, noise, arguments)(*arguments)

    def _function(self, name: str, batch: TensorBatch, noise: Tensor, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        """The gradient of that name; where there is a compiler, compiled for tensors of these sizes."""
        key = (name, len(batch.reward), len(noise))
        if key not in self._functions:
            written = functools.partial(critic_gradient if name == "critic" else actor_gradient, self._form)
            self._functions[key] = self._compiler(written, arguments) if self._compiler else written
        return self._functions[key]


def critic_gradient(
    form: Form, policy: Layers, critic: Layers, target: Layers, batch: TensorBatch, alpha: Tensor, noise: Tensor
) -> tuple[Descent, Kept | None]:
    """Down the critics' loss, and what `actor_gradient` needs if noise holds its part."""
    size = len(batch.reward)
    rows = torch.cat([batch.next_observation, batch.observation][: len(noise)])
    outcome = through_policy(policy, rows, form.products)
    mean, raw_log_std = outcome.values.chunk(2, dim=-1)
    log_std = raw_log_std.clamp(*form.log_std_limits)
    action, log_prob = sample_action(mean, log_std, noise.flatten(0, 1))
    joined = torch.cat((batch.observation, batch.action), 1)
    next_joined = torch.cat((batch.next_observation, action[:size]), 1)
    if form.normalisation == "batch":
        passed, moments = through_critics(critic, torch.cat((joined, next_joined)), form.normalisation, form.products)
        (q, next_q), statistics = passed.values.split(size, 1), joined_moments(moments)
    else:
        next_q = through_critics(target, next_joined, form.normalisation, form.products)[0].values
        passed, _ = through_critics(critic, joined, form.normalisation, form.products)
        q, statistics = passed.values, None
    values = critic_target(
        batch.reward,
        batch.bootstrap,
        next_q,
        log_prob[:size],
        alpha,
        discount=form.discount,
        reward_scale=form.reward_scale,
    )
    d_values = ((q - values) / size).unsqueeze(2)
    if form.normalisation == "batch":  # nothing goes back through the targets
        d_values = torch.cat((d_values, torch.zeros_like(d_values)), 1)
    gradient = to_parameters(critic, passed, d_values, form.products, form.normalisation)
    kept = None
    if len(noise) > 1:
        second = (raw_log_std, log_std, action, log_prob)
        kept = Kept(outcome.rows(size), *(each[size:] for each in second))
    return Descent(gradient, {"critic_loss": critic_loss(q, values), "q_mean": q.mean()}, statistics), kept


def actor_gradient(
    form: Form,
    policy: Layers,
    critic: Layers,
    moments: Moments,
    log_alpha: Tensor,
    observation: Tensor,
    kept: Kept,
    alpha: Tensor,
    noise: Tensor,
) -> Descent:
    """Down the losses of policy and temperature (if learned)."""
    size = len(observation)
    joined = torch.cat((observation, kept.action), 1)
    passed, _ = through_critics(critic, joined, form.normalisation, form.products, moments)
    q = passed.values
    mean_log_prob = kept.log_prob.mean()
    loss = alpha * mean_log_prob - torch.minimum(q[0], q[1]).mean()
    metrics = {"actor_loss": loss, "entropy": -mean_log_prob, "temperature": alpha.clone()}
    d_action = to_action(critic, passed, observation.shape[1], form.products, form.normalisation)
    # With a = tanh(u): d log pi / du = 2 a, d log pi / d log_std = 2 a du/dlog_std - 1.
    d_u = (2.0 * alpha * kept.action - d_action * (1.0 - kept.action.square())) / size
    d_log_std = d_u * kept.log_std.exp() * noise[1] - alpha / size
    d_log_std = d_log_std * (kept.log_std == kept.raw_log_std)  # clipped ones do not move
    gradient = to_parameters(policy, kept.outcome, torch.cat((d_u, d_log_std), 1), form.products)
    if form.temperature_variable:
        # Both losses are -x (mean log pi + H): the derivative is the loss where x is alpha = exp(log_alpha).
        factor = log_alpha if form.temperature_variable == "alpha" else torch.zeros_like(log_alpha)
        d_log_alpha = temperature_loss(factor, kept.log_prob, form.target_entropy, "alpha")
        gradient = torch.cat((gradient, d_log_alpha.reshape(1)))
    return Descent(gradient, metrics)
