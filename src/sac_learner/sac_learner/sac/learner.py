"""One object that holds networks, optimisers and temperature, and does one gradient update at a time."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from sac_learner.policy import LOG_STD_LIMITS
from sac_learner.replay import Batch
from sac_learner.sac.actor import actor_loss
from sac_learner.sac.critic import critic_loss, critic_target, smooth_targets
from sac_learner.sac.distribution import sample_action
from sac_learner.sac.networks import GaussianPolicy, TwinCritic
from sac_learner.sac.optimiser import Adam
from sac_learner.sac.settings import SacSettings
from sac_learner.sac.temperature import temperature_loss

# Scalars of the last update, still tensors: reading one (float) waits for the device, so that is left to the caller.
Metrics = dict[str, Tensor]


class SacLearner:
    """Soft Actor-Critic, algorithm 1 of the paper: critics, then policy and temperature, then target critics.

    The same settings, seed, thread count and batches give the same weights, bit for bit, on a CPU.
    """

    def __init__(
        self, settings: SacSettings, observation_size: int, action_size: int, *, seed: int, device: str = "cpu"
    ) -> None:
        self.settings = settings
        self.observation_size, self.action_size = observation_size, action_size
        self.device = torch.device(device)
        self.target_entropy = settings.target_entropy_per_action * action_size
        self.updates = 0
        weights_seed, noise_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
        # Weights are drawn on the CPU, so that a seed means the same on every device.
        start = torch.Generator().manual_seed(weights_seed)
        sizes = (observation_size, action_size, settings.hidden_sizes)
        limits = (settings.log_std_min, settings.log_std_max)
        self.policy = GaussianPolicy(*sizes, limits, start).to(self.device)
        self.critic = TwinCritic(*sizes, start).to(self.device)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self._target_parameters = list(self.target_critic.parameters())
        self._noise = torch.Generator(self.device).manual_seed(noise_seed)
        learned = settings.temperature_mode == "learned"
        alpha = settings.initial_temperature if learned else settings.fixed_temperature
        log_alpha = math.log(alpha) if alpha > 0.0 else -math.inf
        self.log_alpha = nn.Parameter(torch.tensor(log_alpha, device=self.device), requires_grad=learned)
        # Policy and temperature step together; Adam treats every element alone, so this equals two optimisers.
        actor_parameters = [*self.policy.parameters(), *([self.log_alpha] if learned else [])]
        self._critic_adam = Adam(self.critic.parameters(), settings.learning_rate)
        self._actor_adam = Adam(actor_parameters, settings.learning_rate)

    def update(self, batch: Batch) -> Metrics:
        """One gradient step of everything on a freshly sampled batch.

        Raises:
            ValueError: a field of the batch has another shape or dtype than the networks; nothing is changed then.
        """
        batch.check(self.observation_size, self.action_size)
        observation, action, reward, next_observation, bootstrap = (
            torch.from_numpy(field).to(self.device) for field in batch
        )
        alpha = self.log_alpha.detach().exp()
        metrics = self._update_critics(observation, action, reward, next_observation, bootstrap, alpha)
        metrics |= self._update_actor(observation, alpha)
        smooth_targets(self._target_parameters, self._critic_adam.parameters, self.settings.tau)
        self.updates += 1
        return metrics

    def _sample(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.policy(observation)
        noise = torch.empty_like(mean).normal_(generator=self._noise)
        return sample_action(mean, log_std, noise)

    def _update_critics(
        self,
        observation: Tensor,
        action: Tensor,
        reward: Tensor,
        next_observation: Tensor,
        bootstrap: Tensor,
        alpha: Tensor,
    ) -> Metrics:
        with torch.no_grad():
            next_action, next_log_prob = self._sample(next_observation)
            next_q = self.target_critic(next_observation, next_action)
            target = critic_target(
                reward,
                bootstrap,
                next_q,
                next_log_prob,
                alpha,
                discount=self.settings.discount,
                reward_scale=self.settings.reward_scale,
            )
        q = self.critic(observation, action)
        loss = critic_loss(q, target)
        self._critic_adam.step(loss)
        return {"critic_loss": loss.detach(), "q_mean": q.detach().mean()}

    def _update_actor(self, observation: Tensor, alpha: Tensor) -> Metrics:
        action, log_prob = self._sample(observation)
        loss = actor_loss(self.critic(observation, action), log_prob, alpha)
        total = loss
        if self.log_alpha.requires_grad:
            total = loss + temperature_loss(
                self.log_alpha, log_prob.detach(), self.target_entropy, self.settings.temperature_loss
            )
        self._actor_adam.step(total)
        return {"actor_loss": loss.detach(), "entropy": -log_prob.detach().mean(), "temperature": alpha}

    def policy_tensors(self) -> dict[str, np.ndarray]:
        """The policy as `PolicyWeights.tensors` (copies, float32)."""
        names = [f"hidden.{i}" for i in range(len(self.settings.hidden_sizes))] + ["output"]
        tensors = {}
        for name, weight, bias in zip(names, self.policy.weights, self.policy.biases, strict=True):
            tensors[f"{name}.weight"] = weight.detach().cpu().numpy().copy()
            tensors[f"{name}.bias"] = bias.detach().cpu().numpy().copy()
        tensors[LOG_STD_LIMITS] = np.array(self.policy.log_std_limits, dtype=np.float32)
        return tensors

    def state(self) -> dict[str, Tensor]:
        """Everything that the next update depends on, by name: weights, targets, moments, temperature, noise."""
        return {"noise_generator": self._noise.get_state(), **self._tensors()}

    def load_state(self, state: Mapping[str, Tensor], updates: int) -> None:
        """Take up a state of `state()`.

        Raises:
            ValueError: a tensor is missing, unknown or of another shape or dtype; nothing is changed then.
        """
        problem = _difference(self.state(), state)
        if problem:
            raise ValueError(problem)
        self._noise.set_state(state["noise_generator"].cpu())
        for name, tensor in self._tensors().items():
            tensor.copy_(state[name])
        self.updates = updates

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {"log_alpha": self.log_alpha.detach()}
        modules = {"policy": self.policy, "critic": self.critic, "target_critic": self.target_critic}
        for name, module in modules.items():
            tensors |= {f"{name}.{key}": value.detach() for key, value in module.named_parameters()}
        for name, optimiser in (("critic_adam", self._critic_adam), ("actor_adam", self._actor_adam)):
            tensors |= {f"{name}.{key}": value for key, value in optimiser.state().items()}
        return tensors


def _difference(own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """The first way in which the names, shapes or dtypes differ, or None."""
    missing, unknown = sorted(own.keys() - other.keys()), sorted(other.keys() - own.keys())
    if missing or unknown:
        return f"tensors missing: {missing or 'none'}, unknown: {unknown or 'none'}"
    for name, tensor in own.items():
        if tensor.shape != other[name].shape or tensor.dtype != other[name].dtype:
            return (
                f"tensor '{name}' is {tuple(other[name].shape)} {other[name].dtype}, "
                f"expected {tuple(tensor.shape)} {tensor.dtype}"
            )
    return None
