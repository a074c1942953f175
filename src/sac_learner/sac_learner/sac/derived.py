"""The gradients of one update, derived by hand: matrix products and little else.

What automatic differentiation spends beside the products is left out: intermediate copies, masks, and in the actor's
loss the way back through the critic that is not the smaller one. The rounding differs from the plain gradients, nothing
else; `gradients.check_gradients` compares the two at the start of every learner.

With bfloat16 products the hidden layers and the weights that they are multiplied with are rounded to 8 bits, as in
mixed-precision training (arXiv 1905.12322); output layers, losses, parameters and Adam stay in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sac_learner.sac.critic import critic_loss, critic_target
from sac_learner.sac.derived_critic import BatchedPass, CriticWeights, GatheringPass, Rounded, relu_backward
from sac_learner.sac.distribution import sample_action
from sac_learner.sac.gradients import Metrics, Networks, TensorBatch
from sac_learner.sac.networks import views_like
from sac_learner.sac.settings import SacSettings
from sac_learner.sac.temperature import temperature_loss


class _PolicyPass:
    """One pass through the policy for the next observations and, behind them, the observations."""

    def __init__(self, weights: list[Tensor], biases: list[Tensor], batch_size: int, dtype: torch.dtype) -> None:
        device = weights[0].device

        def room(rows: int, columns: int) -> Tensor:
            return torch.empty(rows, columns, dtype=dtype, device=device)

        self._inner, self._inner_biases = Rounded(weights[:-1], dtype), Rounded(biases[:-1], dtype)
        self._last, self._last_bias = weights[-1], biases[-1]
        self._input = room(2 * batch_size, weights[0].shape[0])
        self._hidden = [room(2 * batch_size, weight.shape[1]) for weight in weights[:-1]]
        self._head = torch.empty(2 * batch_size, weights[-1].shape[1], device=device)
        self._back = [room(batch_size, weight.shape[1]) for weight in weights[:-1]]

    def forward(self, observations: list[Tensor]) -> Tensor:
        """Means and log standard deviations, not clipped, one below the other [n B, 2A]."""
        self._inner.refresh()
        self._inner_biases.refresh()
        rows = sum(len(observation) for observation in observations)
        hidden = torch.cat(observations, out=self._input[:rows])
        for bias, weight, buffer in zip(self._inner_biases.tensors, self._inner.tensors, self._hidden, strict=True):
            hidden = torch.addmm(bias, hidden, weight, out=buffer[:rows]).relu_()
        self._last_hidden = hidden.float()
        return torch.addmm(self._last_bias, self._last_hidden, self._last, out=self._head[:rows])

    def to_parameters(self, d_head: Tensor, to_last: Tensor, to_inner: Rounded, to_biases: list[Tensor]) -> None:
        """Gradients of all parameters from those of the head of the second half [B, 2A]."""
        size = len(d_head)
        torch.sum(d_head, 0, out=to_biases[-1])
        torch.mm(self._last_hidden[size:].t(), d_head, out=to_last)
        back = torch.mm(d_head, self._last.t()).to(self._input.dtype)
        for layer in reversed(range(len(self._hidden))):
            back = relu_backward(back, self._hidden[layer][size:], 0, grad_input=back)
            before = (self._hidden[layer - 1] if layer else self._input)[size:]
            torch.sum(back, 0, dtype=torch.float32, out=to_biases[layer])
            torch.mm(before.t(), back, out=to_inner.tensors[layer])
            if layer:
                back = torch.mm(back, self._inner.tensors[layer].t(), out=self._back[layer - 1])
        to_inner.write_back()


class DerivedGradients:
    """The same gradients as `PlainGradients`; the vectors are valid until the next call.

    `critic` passes both halves of the batch through the policy at once; `actor` then uses what it kept.
    """

    def __init__(
        self,
        settings: SacSettings,
        networks: Networks,
        products: torch.dtype = torch.float32,
        batched: bool | None = None,
    ) -> None:
        """Args: products: their type; batched: use the critics' `BatchedPass`; None: where they are not on a CPU."""
        self._settings, self._networks, self._products = settings, networks, products
        batched = networks.log_alpha.device.type != "cpu" if batched is None else batched
        self._pass_type = BatchedPass if batched else GatheringPass
        # Detached: they share the parameters' memory and nothing records what is done with them.
        self._policy = _detached(networks.policy)
        self._critic, self._target = (
            CriticWeights(*_detached(critic), products) for critic in (networks.critic, networks.target_critic)
        )
        device = networks.log_alpha.device
        count = sum(parameter.numel() for parameter in networks.policy.parameters())
        self._to_actor = torch.empty(count + networks.temperature_is_learned, device=device)
        to_weights, self._to_biases = _split(views_like(self._to_actor[:count], list(networks.policy.parameters())))
        self._to_last, self._to_inner = to_weights[-1], Rounded(to_weights[:-1], products)
        critic_parameters = list(networks.critic.parameters())
        self._to_critic = torch.empty(sum(parameter.numel() for parameter in critic_parameters), device=device)
        self._to_critics = CriticWeights(*_split(views_like(self._to_critic, critic_parameters)), products)
        self._batch_size = -1

    def _make_room(self, batch: TensorBatch) -> None:
        self._batch_size = len(batch.reward)
        device = batch.reward.device
        observation_size = batch.observation.shape[1]
        width = observation_size + batch.action.shape[1]
        self._joined = torch.empty(self._batch_size, width, dtype=self._products, device=device)
        self._critic_pass = self._pass_type(self._networks.critic, self._batch_size, observation_size, self._products)
        self._policy_pass = _PolicyPass(*self._policy, self._batch_size, self._products)

    @torch.no_grad()
    def critic(self, batch: TensorBatch, alpha: Tensor, noise: Tensor) -> tuple[Tensor, Metrics]:
        if len(batch.reward) != self._batch_size:
            self._make_room(batch)
        size, settings = self._batch_size, self._settings
        self._critic.refresh()
        self._target.refresh()
        head = self._policy_pass.forward([batch.next_observation, batch.observation][: len(noise)])
        self._raw_log_std = head[size:, head.shape[1] // 2 :]
        mean, log_std = head.chunk(2, dim=-1)
        self._log_std = log_std.clamp(*self._networks.policy.log_std_limits)
        self._action, self._log_prob = sample_action(mean, self._log_std, noise.flatten(0, 1))
        next_joined = torch.cat((batch.next_observation, self._action[:size]), 1, out=self._joined)
        target = critic_target(
            batch.reward,
            batch.bootstrap,
            self._critic_pass.forward(self._target, next_joined),
            self._log_prob[:size],
            alpha,
            discount=settings.discount,
            reward_scale=settings.reward_scale,
        )
        joined = torch.cat((batch.observation, batch.action), 1, out=self._joined)
        q = self._critic_pass.forward(self._critic, joined)
        metrics = {"critic_loss": critic_loss(q, target), "q_mean": q.mean()}
        self._critic_pass.to_parameters(self._critic, joined, (q - target) / size, self._to_critics)
        return self._to_critic, metrics

    @torch.no_grad()
    def actor(self, batch: TensorBatch, alpha: Tensor, noise: Tensor) -> tuple[Tensor, Metrics]:
        size, networks = self._batch_size, self._networks
        action, log_prob, log_std = self._action[size:], self._log_prob[size:], self._log_std[size:]
        joined = torch.cat((batch.observation, action), 1, out=self._joined)
        self._critic.refresh()
        q = self._critic_pass.forward(self._critic, joined)
        mean_log_prob = log_prob.mean()
        loss = alpha * mean_log_prob - torch.minimum(q[0], q[1]).mean()
        metrics = {"actor_loss": loss, "entropy": -mean_log_prob, "temperature": alpha}
        d_action = self._critic_pass.smaller_to_action(self._critic)
        # With a = tanh(u): d log pi / du = 2 a, d log pi / d log_std = 2 a du/dlog_std - 1.
        d_u = (2.0 * alpha * action - d_action * (1.0 - action.square())) / size
        d_log_std = d_u * log_std.exp() * noise[1] - alpha / size
        d_log_std *= log_std == self._raw_log_std  # clipped ones do not move
        d_head = torch.cat((d_u, d_log_std), 1)
        self._policy_pass.to_parameters(d_head, self._to_last, self._to_inner, self._to_biases)
        if networks.temperature_is_learned:
            variable = self._settings.temperature_loss
            # Both losses are -x (mean log pi + H): the derivative is the loss where x is alpha = exp(log_alpha).
            factor = networks.log_alpha if variable == "alpha" else torch.zeros_like(networks.log_alpha)
            self._to_actor[-1] = temperature_loss(factor, log_prob, networks.target_entropy, "alpha")
        return self._to_actor, metrics


def _detached(module: torch.nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    return [weight.detach() for weight in module.weights], [bias.detach() for bias in module.biases]


def _split(views: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and biases, in the order in which a module has them: all weights first."""
    half = len(views) // 2
    return views[:half], views[half:]
