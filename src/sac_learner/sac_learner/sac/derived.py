"""The gradients of one update, derived by hand, for a CPU: matrix products and little else.

What automatic differentiation spends beside the products is left out: intermediate copies, masks, and in the actor's
loss the way back through the critic that is not the smaller one. The rounding differs from the plain gradients, nothing
else; `gradients.check_gradients` compares the two at the start of every learner.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sac_learner.sac.critic import critic_loss, critic_target
from sac_learner.sac.distribution import sample_action
from sac_learner.sac.gradients import Metrics, Networks, TensorBatch
from sac_learner.sac.networks import LAYER_NORM_EPSILON, TwinCritic, views_like
from sac_learner.sac.settings import SacSettings
from sac_learner.sac.temperature import temperature_loss

_norm, _norm_backward = torch.ops.aten.native_layer_norm, torch.ops.aten.native_layer_norm_backward
_relu_backward = torch.ops.aten.threshold_backward.grad_input


class _CriticWeights:
    """Views of the parameters of both critics, or of vectors like them, in the shapes that the passes need."""

    def __init__(self, weights: list[Tensor], biases: list[Tensor]) -> None:
        self.weights, self.biases = weights, biases
        self.transposed = [weight.transpose(1, 2) for weight in weights]
        self.first, self.first_bias = weights[0].unbind(0), biases[0].unbind(0)
        self.last, self.last_bias = weights[-1].squeeze(2).unbind(0), biases[-1].view(-1).split(1)
        self.last_biases = biases[-1].view(-1)
        self.each_transposed = [weight.unbind(0) for weight in self.transposed]


class _CriticPass:
    """One forward pass through both critics, kept for the way back. Serves all three passes of an update in turn."""

    def __init__(self, critic: TwinCritic, batch_size: int, observation_size: int) -> None:
        device = critic.weights[0].device
        sizes = [weight.shape[2] for weight in critic.weights[:-1]]
        n = critic.COUNT
        self._observation_size = observation_size
        self._layer_norm = critic.layer_norm
        self._sums = [torch.empty(n, batch_size, size, device=device) for size in sizes]  # before LayerNorm and ReLU
        self._first_sums = self._sums[0].unbind(0)
        self._hidden = list(self._sums)  # after; the same memory without LayerNorm
        self._statistics: list[tuple[Tensor, Tensor]] = [(None, None)] * len(sizes)  # mean and 1/std [n, B, 1]
        self._back = [torch.empty(n, batch_size, size, device=device) for size in sizes]
        self._chosen = [torch.empty(batch_size, size, device=device) for size in sizes]
        self._chosen_back = [torch.empty(batch_size, size, device=device) for size in sizes]
        self._q = torch.empty(n, batch_size, device=device)
        self._each_q = self._q.unbind(0)

    def forward(self, critic: _CriticWeights, joined: Tensor) -> Tensor:
        """Values [2, B] of observations and actions side by side [B, O + A]; valid until the next pass."""
        for bias, weight, out in zip(critic.first_bias, critic.first, self._first_sums, strict=True):
            torch.addmm(bias, joined, weight, out=out)
        self._activate(0)
        for layer in range(1, len(self._sums)):
            torch.baddbmm(critic.biases[layer], self._hidden[layer - 1], critic.weights[layer], out=self._sums[layer])
            self._activate(layer)
        for bias, hidden, weight, out in zip(
            critic.last_bias, self._hidden[-1].unbind(0), critic.last, self._each_q, strict=True
        ):
            torch.addmv(bias, hidden, weight, out=out)
        return self._q

    def _activate(self, layer: int) -> None:
        hidden = self._sums[layer]
        if self._layer_norm:
            hidden, *statistics = _norm(hidden, hidden.shape[-1:], None, None, LAYER_NORM_EPSILON)
            self._statistics[layer] = tuple(statistics)
        self._hidden[layer] = hidden.relu_()

    def to_parameters(self, critic: _CriticWeights, joined: Tensor, dq: Tensor, gradient: _CriticWeights) -> None:
        """Gradients of all parameters from those of the values [2, B]."""
        torch.sum(dq, 1, out=gradient.last_biases)
        for hidden, each_dq, out in zip(self._hidden[-1].unbind(0), dq.unbind(0), gradient.last, strict=True):
            torch.mv(hidden.t(), each_dq, out=out)
        torch.mul(dq.unsqueeze(2), critic.transposed[-1], out=self._back[-1])
        for layer in reversed(range(len(self._sums))):
            back = _relu_backward(self._back[layer], self._hidden[layer], 0, grad_input=self._back[layer])
            if self._layer_norm:
                back = self._norm_back(back, self._sums[layer], *self._statistics[layer])
            torch.sum(back, 1, keepdim=True, out=gradient.biases[layer])
            if layer:
                torch.bmm(self._hidden[layer - 1].transpose(1, 2), back, out=gradient.weights[layer])
                torch.bmm(back, critic.transposed[layer], out=self._back[layer - 1])
        for each_back, out in zip(back.unbind(0), gradient.first, strict=True):
            torch.mm(joined.t(), each_back, out=out)

    @staticmethod
    def _norm_back(back: Tensor, sums: Tensor, mean: Tensor, inverse_std: Tensor) -> Tensor:
        shape = sums.shape[-1:]
        return _norm_backward(back, sums, shape, mean, inverse_std, None, None, [True, False, False])[0]

    def smaller_to_action(self, critic: _CriticWeights) -> Tensor:
        """Gradient of the sum over the batch of the smaller value with respect to the actions [B, A].

        Only the smaller critic has one: its rows of both critics are brought together first.
        """
        second = self._each_q[1] < self._each_q[0]
        rows = ((~second).nonzero().squeeze(1), second.nonzero().squeeze(1))
        counts = [len(part) for part in rows]
        for out, weight in zip(self._chosen_back[-1].split(counts), critic.last, strict=True):
            out.copy_(weight.expand_as(out))
        for layer in reversed(range(len(self._sums))):
            back, chosen = self._chosen_back[layer], self._choose(self._hidden[layer], rows, self._chosen[layer])
            back = _relu_backward(back, chosen, 0, grad_input=back)
            if self._layer_norm:
                mean, inverse_std = (self._choose(statistic, rows) for statistic in self._statistics[layer])
                sums = self._choose(self._sums[layer], rows, chosen)
                back = self._norm_back(back, sums, mean, inverse_std)
            if layer:
                outs = self._chosen_back[layer - 1].split(counts)
                for part, weight, out in zip(back.split(counts), critic.each_transposed[layer], outs, strict=True):
                    torch.mm(part, weight, out=out)
        parts = zip(back.split(counts), critic.each_transposed[0], strict=True)
        to_action = torch.cat([part @ weight[:, self._observation_size :] for part, weight in parts])
        return torch.empty_like(to_action).index_copy_(0, torch.cat(rows), to_action)

    @staticmethod
    def _choose(both: Tensor, rows: tuple[Tensor, Tensor], out: Tensor | None = None) -> Tensor:
        """Rows of the first critic's part, then of the second's: [2, B, n] -> [B, n]."""
        if out is None:
            out = both.new_empty(both.shape[1:])
        for each, part, target in zip(both.unbind(0), rows, out.split([len(part) for part in rows]), strict=True):
            torch.index_select(each, 0, part, out=target)
        return out


class _PolicyPass:
    """One pass through the policy for the next observations and, behind them, the observations."""

    def __init__(self, weights: list[Tensor], batch_size: int) -> None:
        device = weights[0].device
        self._input = torch.empty(2 * batch_size, weights[0].shape[0], device=device)
        self._hidden = [torch.empty(2 * batch_size, weight.shape[1], device=device) for weight in weights[:-1]]
        self._head = torch.empty(2 * batch_size, weights[-1].shape[1], device=device)
        self._back = [torch.empty(batch_size, weight.shape[1], device=device) for weight in weights[:-1]]

    def forward(self, weights: list[Tensor], biases: list[Tensor], observations: list[Tensor]) -> Tensor:
        """Means and log standard deviations, not clipped, one below the other [n B, 2A]."""
        rows = sum(len(observation) for observation in observations)
        hidden = torch.cat(observations, out=self._input[:rows])
        for layer, buffer in enumerate(self._hidden):
            hidden = torch.addmm(biases[layer], hidden, weights[layer], out=buffer[:rows]).relu_()
        return torch.addmm(biases[-1], hidden, weights[-1], out=self._head[:rows])

    def to_parameters(
        self, weights: list[Tensor], d_head: Tensor, to_weights: list[Tensor], to_biases: list[Tensor]
    ) -> None:
        """Gradients of all parameters from those of the head of the second half [B, 2A]."""
        back, size = d_head, len(d_head)
        for layer in reversed(range(len(weights))):
            before = (self._hidden[layer - 1] if layer else self._input)[size:]
            torch.sum(back, 0, out=to_biases[layer])
            torch.mm(before.t(), back, out=to_weights[layer])
            if layer:
                back = torch.mm(back, weights[layer].t(), out=self._back[layer - 1])
                back = _relu_backward(back, before, 0, grad_input=back)


class DerivedGradients:
    """The same gradients as `PlainGradients`; the vectors are valid until the next call.

    `critic` passes both halves of the batch through the policy at once; `actor` then uses what it kept.
    """

    def __init__(self, settings: SacSettings, networks: Networks) -> None:
        self._settings, self._networks = settings, networks
        # Detached: they share the parameters' memory and nothing records what is done with them.
        self._policy = _detached(networks.policy)
        self._critic, self._target = (
            _CriticWeights(*_detached(critic)) for critic in (networks.critic, networks.target_critic)
        )
        device = networks.log_alpha.device
        count = sum(parameter.numel() for parameter in networks.policy.parameters())
        self._to_actor = torch.empty(count + networks.temperature_is_learned, device=device)
        self._to_policy = _split(views_like(self._to_actor[:count], list(networks.policy.parameters())))
        critic_parameters = list(networks.critic.parameters())
        self._to_critic = torch.empty(sum(parameter.numel() for parameter in critic_parameters), device=device)
        self._to_critics = _CriticWeights(*_split(views_like(self._to_critic, critic_parameters)))
        self._batch_size = -1

    def _make_room(self, batch: TensorBatch) -> None:
        self._batch_size = len(batch.reward)
        device = batch.reward.device
        observation_size = batch.observation.shape[1]
        width = observation_size + batch.action.shape[1]
        self._joined = torch.empty(self._batch_size, width, device=device)
        self._critic_pass = _CriticPass(self._networks.critic, self._batch_size, observation_size)
        self._policy_pass = _PolicyPass(self._policy[0], self._batch_size)

    @torch.no_grad()
    def critic(self, batch: TensorBatch, alpha: Tensor, noise: Tensor) -> tuple[Tensor, Metrics]:
        if len(batch.reward) != self._batch_size:
            self._make_room(batch)
        size, settings = self._batch_size, self._settings
        head = self._policy_pass.forward(*self._policy, [batch.next_observation, batch.observation][: len(noise)])
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
        q = self._critic_pass.forward(self._critic, joined)
        mean_log_prob = log_prob.mean()
        loss = alpha * mean_log_prob - torch.minimum(q[0], q[1]).mean()
        metrics = {"actor_loss": loss, "entropy": -mean_log_prob, "temperature": alpha}
        d_action = self._critic_pass.smaller_to_action(self._critic)
        # With a = tanh(u): d log pi / du = 2 a, d log pi / d log_std = 2 a du/dlog_std - 1.
        d_u = (2.0 * alpha * action - d_action * (1.0 - action.square())) / size
        d_log_std = d_u * log_std.exp() * noise[1] - alpha / size
        d_log_std *= log_std == self._raw_log_std  # clipped ones do not move
        self._policy_pass.to_parameters(self._policy[0], torch.cat((d_u, d_log_std), 1), *self._to_policy)
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
