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
from sac_learner.sac.distribution import sample_action
from sac_learner.sac.gradients import Metrics, Networks, TensorBatch
from sac_learner.sac.networks import LAYER_NORM_EPSILON, TwinCritic, views_like
from sac_learner.sac.settings import SacSettings
from sac_learner.sac.temperature import temperature_loss

_norm, _norm_backward = torch.ops.aten.native_layer_norm, torch.ops.aten.native_layer_norm_backward
_relu_backward = torch.ops.aten.threshold_backward.grad_input


class _Rounded:
    """Tensors in the type of the products: those given, or copies to be refreshed when they have changed."""

    def __init__(self, sources: list[Tensor], dtype: torch.dtype) -> None:
        self._sources = sources
        self.tensors = [source.to(dtype) for source in sources]
        self._copies = any(a is not b for a, b in zip(sources, self.tensors, strict=True))

    def refresh(self) -> None:
        """Take over the sources."""
        if self._copies:
            torch._foreach_copy_(self.tensors, self._sources)

    def write_back(self) -> None:
        """Give the sources what was computed in the copies."""
        if self._copies:
            torch._foreach_copy_(self._sources, self.tensors)


class _CriticWeights:
    """Views of the parameters of both critics, or of vectors like them, in the shapes that the passes need.

    `inner` holds the layers before the last in the type of the products.
    """

    def __init__(self, weights: list[Tensor], biases: list[Tensor], dtype: torch.dtype) -> None:
        self.biases = biases
        self.inner = _Rounded(weights[:-1], dtype)
        self.inner_biases = _Rounded(biases[:-1], dtype)
        self.transposed = [weight.transpose(1, 2) for weight in self.inner.tensors]
        self.first, self.first_bias = self.inner.tensors[0].unbind(0), self.inner_biases.tensors[0].unbind(0)
        self.last, self.last_bias = weights[-1].squeeze(2).unbind(0), biases[-1].view(-1).split(1)
        self.last_biases, self.last_transposed = biases[-1].view(-1), weights[-1].transpose(1, 2)
        self.each_transposed = [weight.unbind(0) for weight in self.transposed]

    def refresh(self) -> None:
        """The parameters have changed."""
        self.inner.refresh()
        self.inner_biases.refresh()


class _CriticPass:
    """One forward pass through both critics, kept for the way back. Serves all three passes of an update in turn."""

    def __init__(
        self, critic: TwinCritic, batch_size: int, observation_size: int, dtype: torch.dtype, gathers: bool
    ) -> None:
        device = critic.weights[0].device
        sizes = [weight.shape[2] for weight in critic.weights[:-1]]
        n = critic.COUNT
        self._observation_size = observation_size
        self._layer_norm = critic.layer_norm

        def rooms(*shape: int) -> list[Tensor]:
            return [torch.empty(*shape, size, dtype=dtype, device=device) for size in sizes]

        self._sums = rooms(n, batch_size)  # before LayerNorm and ReLU
        self._first_sums = self._sums[0].unbind(0)
        self._hidden = list(self._sums)  # after; the same memory without LayerNorm
        self._statistics: list[tuple[Tensor, Tensor]] = [(None, None)] * len(sizes)  # mean and 1/std [n, B, 1]
        self._back = rooms(n, batch_size)
        if gathers:
            self._chosen, self._chosen_back = rooms(batch_size), rooms(batch_size)
        self.smaller_to_action = self._gathered_to_action if gathers else self._masked_to_action
        self._q = torch.empty(n, batch_size, device=device)
        self._each_q = self._q.unbind(0)

    def forward(self, critic: _CriticWeights, joined: Tensor) -> Tensor:
        """Values [2, B] of observations and actions side by side [B, O + A]; valid until the next pass."""
        for bias, weight, out in zip(critic.first_bias, critic.first, self._first_sums, strict=True):
            torch.addmm(bias, joined, weight, out=out)
        self._activate(0)
        for layer in range(1, len(self._sums)):
            bias, weight = critic.inner_biases.tensors[layer], critic.inner.tensors[layer]
            torch.baddbmm(bias, self._hidden[layer - 1], weight, out=self._sums[layer])
            self._activate(layer)
        self._each_last = self._hidden[-1].float().unbind(0)
        for bias, hidden, weight, out in zip(critic.last_bias, self._each_last, critic.last, self._each_q, strict=True):
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
        for hidden, each_dq, out in zip(self._each_last, dq.unbind(0), gradient.last, strict=True):
            torch.mv(hidden.t(), each_dq, out=out)
        torch.mul(dq.unsqueeze(2), critic.last_transposed, out=self._back[-1])
        for layer in reversed(range(len(self._sums))):
            back = _relu_backward(self._back[layer], self._hidden[layer], 0, grad_input=self._back[layer])
            if self._layer_norm:
                back = self._norm_back(back, self._sums[layer], *self._statistics[layer])
            torch.sum(back, 1, keepdim=True, dtype=torch.float32, out=gradient.biases[layer])
            if layer:
                torch.bmm(self._hidden[layer - 1].transpose(1, 2), back, out=gradient.inner.tensors[layer])
                torch.bmm(back, critic.transposed[layer], out=self._back[layer - 1])
        for each_back, out in zip(back.unbind(0), gradient.first, strict=True):
            torch.mm(joined.t(), each_back, out=out)
        gradient.inner.write_back()

    @staticmethod
    def _norm_back(back: Tensor, sums: Tensor, mean: Tensor, inverse_std: Tensor) -> Tensor:
        shape = sums.shape[-1:]
        return _norm_backward(back, sums, shape, mean, inverse_std, None, None, [True, False, False])[0]

    # Two ways to the gradient of the sum over the batch of the smaller value with respect to the actions [B, A]. Only
    # the smaller critic has one.

    def _masked_to_action(self, critic: _CriticWeights) -> Tensor:
        """Both critics, with zeros for the larger one: twice the products, but nothing waits for the numbers, as a GPU
        must not."""
        first = (self._each_q[0] <= self._each_q[1]).to(self._back[-1].dtype)
        dq = torch.stack((first, 1.0 - first))
        torch.mul(dq.unsqueeze(2), critic.last_transposed, out=self._back[-1])
        for layer in reversed(range(len(self._sums))):
            back = _relu_backward(self._back[layer], self._hidden[layer], 0, grad_input=self._back[layer])
            if self._layer_norm:
                back = self._norm_back(back, self._sums[layer], *self._statistics[layer])
            if layer:
                torch.bmm(back, critic.transposed[layer], out=self._back[layer - 1])
        return torch.bmm(back, critic.transposed[0][:, :, self._observation_size :]).float().sum(0)

    def _gathered_to_action(self, critic: _CriticWeights) -> Tensor:
        """The rows of both critics where each is the smaller one are brought together first."""
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
        to_action = torch.cat([part @ weight[:, self._observation_size :] for part, weight in parts]).float()
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

    def __init__(self, weights: list[Tensor], biases: list[Tensor], batch_size: int, dtype: torch.dtype) -> None:
        device = weights[0].device

        def room(rows: int, columns: int) -> Tensor:
            return torch.empty(rows, columns, dtype=dtype, device=device)

        self._inner, self._inner_biases = _Rounded(weights[:-1], dtype), _Rounded(biases[:-1], dtype)
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

    def to_parameters(self, d_head: Tensor, to_last: Tensor, to_inner: _Rounded, to_biases: list[Tensor]) -> None:
        """Gradients of all parameters from those of the head of the second half [B, 2A]."""
        size = len(d_head)
        torch.sum(d_head, 0, out=to_biases[-1])
        torch.mm(self._last_hidden[size:].t(), d_head, out=to_last)
        back = torch.mm(d_head, self._last.t()).to(self._input.dtype)
        for layer in reversed(range(len(self._hidden))):
            back = _relu_backward(back, self._hidden[layer][size:], 0, grad_input=back)
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
        gathers: bool | None = None,
    ) -> None:
        """Args: products: their type; gathers: compute the smaller critic's part only, which needs the numbers on the
        host; None: on a CPU."""
        self._settings, self._networks, self._products = settings, networks, products
        self._gathers = networks.log_alpha.device.type == "cpu" if gathers is None else gathers
        # Detached: they share the parameters' memory and nothing records what is done with them.
        self._policy = _detached(networks.policy)
        self._critic, self._target = (
            _CriticWeights(*_detached(critic), products) for critic in (networks.critic, networks.target_critic)
        )
        device = networks.log_alpha.device
        count = sum(parameter.numel() for parameter in networks.policy.parameters())
        self._to_actor = torch.empty(count + networks.temperature_is_learned, device=device)
        to_weights, self._to_biases = _split(views_like(self._to_actor[:count], list(networks.policy.parameters())))
        self._to_last, self._to_inner = to_weights[-1], _Rounded(to_weights[:-1], products)
        critic_parameters = list(networks.critic.parameters())
        self._to_critic = torch.empty(sum(parameter.numel() for parameter in critic_parameters), device=device)
        self._to_critics = _CriticWeights(*_split(views_like(self._to_critic, critic_parameters)), products)
        self._batch_size = -1

    def _make_room(self, batch: TensorBatch) -> None:
        self._batch_size = len(batch.reward)
        device = batch.reward.device
        observation_size = batch.observation.shape[1]
        width = observation_size + batch.action.shape[1]
        self._joined = torch.empty(self._batch_size, width, dtype=self._products, device=device)
        self._critic_pass = _CriticPass(
            self._networks.critic, self._batch_size, observation_size, self._products, self._gathers
        )
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
