"""One object that holds networks, optimisers and temperature, and does one gradient update at a time."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from sac_learner.policy import LOG_STD_LIMITS, NOISE_CORRELATION
from sac_learner.sac.batch import Batch
from sac_learner.sac.compiled import compile_for_cpu
from sac_learner.sac.critic import smooth
from sac_learner.sac.derived import Compile, DerivedGradients
from sac_learner.sac.gradients import (
    BFLOAT16_GRADIENT_TOLERANCE,
    GRADIENT_TOLERANCE,
    Gradients,
    Metrics,
    Networks,
    PlainGradients,
    TensorBatch,
    check_gradients,
)
from sac_learner.sac.networks import GaussianPolicy, TwinCritic, flatten_parameters
from sac_learner.sac.optimiser import Adam
from sac_learner.sac.relabelling import make_relabelling
from sac_learner.sac.settings import RelabellingSettings, SacSettings
from sac_learner.sac.symmetry import Symmetries

_CPU = torch.device("cpu")
_NO_RELABELLING = RelabellingSettings()


class SacLearner:
    """Soft Actor-Critic, algorithm 1 of the paper: critics, then policy and temperature, then target critics.

    The same settings, seed, thread count and batches give the same weights, bit for bit, on a CPU.

    Args:
        settings: hyperparameters.
        observation_size, action_size: of the task.
        seed: of the first weights and of all noise.
        device: PyTorch device of the updates.
        symmetries: of the task, used if `settings.symmetry_augmentation`.
        relabelling: of the task's target, used if `settings.target_relabelling`.

    Raises:
        SettingsError: `relabelling` does not fit the observation.
    """

    def __init__(
        self,
        settings: SacSettings,
        observation_size: int,
        action_size: int,
        *,
        seed: int,
        device: torch.device = _CPU,
        symmetries: Symmetries | None = None,
        relabelling: RelabellingSettings = _NO_RELABELLING,
    ) -> None:
        self.settings = settings
        self.observation_size, self.action_size = observation_size, action_size
        self.device = device
        self.target_entropy = settings.target_entropy_per_action * action_size
        self.updates = 0
        weights_seed, noise_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
        # Weights are drawn on the CPU, so that a seed means the same on every device.
        start = torch.Generator().manual_seed(weights_seed)
        sizes = (observation_size, action_size, settings.hidden_sizes)
        self.policy = GaussianPolicy(*sizes, (settings.log_std_min, settings.log_std_max), start).to(self.device)
        self.critic = TwinCritic(*sizes, settings.critic_normalisation, start).to(self.device)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        smoothed = settings.policy_smoothing < 1.0
        self.acting_policy = copy.deepcopy(self.policy).requires_grad_(False) if smoothed else self.policy
        self.generator = torch.Generator(self.device).manual_seed(noise_seed)  # of all noise
        learned = settings.temperature_mode == "learned"
        alpha = settings.initial_temperature if learned else settings.fixed_temperature
        log_alpha = math.log(alpha) if alpha > 0.0 else -math.inf
        self.log_alpha = nn.Parameter(torch.tensor(log_alpha, device=self.device), requires_grad=learned)
        # Policy and temperature step together; Adam treats every element alone, so this equals two optimisers.
        actor_parameters = nn.ParameterList([*self.policy.parameters(), *([self.log_alpha] if learned else [])])
        step = (settings.learning_rate, settings.adam_beta_1)
        self._actor_adam = Adam(flatten_parameters(actor_parameters), *step)
        self._critic_adam = Adam(flatten_parameters(self.critic), *step)
        self._targets = flatten_parameters(self.target_critic)
        self._acting = flatten_parameters(self.acting_policy) if smoothed else None
        self._symmetries = symmetries.to(self.device) if symmetries and settings.symmetry_augmentation else None
        relabels = make_relabelling(relabelling, observation_size, self.device)
        self._relabelling = relabels if settings.target_relabelling else None
        networks = Networks(self.policy, self.critic, self.target_critic, self.log_alpha, self.target_entropy)
        self._metrics: Metrics = {}  # those of the policy are of the newest update that stepped it
        self._gradients, self.fallback = _choose_gradients(settings, networks)

    @property
    def products(self) -> str:
        """Type of the matrix products: what `settings.products` came to on this device."""
        return str(self._gradients.products).removeprefix("torch.")

    def update(self, batch: Batch) -> Metrics:
        """One gradient step of everything on a freshly sampled batch; of policy and temperature in every
        `actor_interval`-th update.

        Raises:
            ValueError: a field of the batch has another shape or dtype than the networks, or a value that is not
                finite; nothing is changed then.
        """
        batch.check(self.observation_size, self.action_size)
        tensors = TensorBatch(*(torch.from_numpy(field).to(self.device) for field in batch))
        return self.advance(lambda steps_actor: self.compute(tensors, steps_actor))

    def advance(self, work: Callable[[bool], Metrics]) -> Metrics:
        """One update, done by `work`, which is told whether to step policy and temperature and then does what
        `compute` does; the metrics of the newest update of each kind."""
        self._metrics = self._metrics | work(self.updates % self.settings.actor_interval == 0)
        self.updates += 1
        return self._metrics

    def compute(self, batch: TensorBatch, steps_actor: bool) -> Metrics:
        """The arithmetic of one update on the device. It keeps nothing but the tensors of `state()` and the generator,
        and never waits for a GPU, so that it can be captured."""
        if self._symmetries is not None:
            batch = self._symmetries.augment(batch, self.generator)
        if self._relabelling is not None:
            batch = self._relabelling.augment(batch, self.generator)
        alpha = self.log_alpha.detach().exp()
        noise = batch.action.new_empty(1 + steps_actor, *batch.action.shape)
        for part in noise:
            part.normal_(generator=self.generator)
        down = self._gradients.critic(batch, alpha, noise)
        metrics = down.metrics
        self._critic_adam.step(down.gradient)
        if down.statistics is not None:
            self.critic.track(down.statistics)
        if steps_actor:
            down = self._gradients.actor(batch, alpha, noise)
            self._actor_adam.step(down.gradient)
            metrics = metrics | down.metrics
            if self._acting is not None:
                smooth(self._acting, self._actor_adam.parameters[: len(self._acting)], self.settings.policy_smoothing)
        smooth(self._targets, self._critic_adam.parameters, self.settings.tau)
        return metrics

    def policy_tensors(self) -> dict[str, np.ndarray]:
        """The acting policy as `PolicyWeights.tensors` (copies, float32)."""
        names = [f"hidden.{i}" for i in range(len(self.settings.hidden_sizes))] + ["output"]
        tensors = {}
        for name, weight, bias in zip(names, self.acting_policy.weights, self.acting_policy.biases, strict=True):
            tensors[f"{name}.weight"] = weight.detach().cpu().numpy().T.copy()
            tensors[f"{name}.bias"] = bias.detach().cpu().numpy().copy()
        tensors[LOG_STD_LIMITS] = np.array(self.policy.log_std_limits, dtype=np.float32)
        tensors[NOISE_CORRELATION] = np.array([self.settings.noise_correlation], dtype=np.float32)
        return tensors

    def state(self) -> dict[str, Tensor]:
        """Everything that the next update depends on, by name: weights, targets, moments, temperature, noise."""
        return {"noise_generator": self.generator.get_state(), **self._tensors()}

    def load_state(self, state: Mapping[str, Tensor], updates: int) -> None:
        """Take up a state of `state()`.

        Raises:
            ValueError: a tensor is missing, unknown or of another shape or dtype; nothing is changed then.
        """
        problem = _difference(self.state(), state)
        if problem:
            raise ValueError(problem)
        self.generator.set_state(state["noise_generator"].cpu())
        for name, tensor in self._tensors().items():
            tensor.copy_(state[name])
        self.updates, self._metrics = updates, {}

    def renew_generator(self) -> None:
        """Replace the generator of all noise after a broken capture has left it unusable; `load_state` sets it."""
        self.generator = torch.Generator(self.device)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {"log_alpha": self.log_alpha.detach()}
        modules = {"policy": self.policy, "critic": self.critic, "target_critic": self.target_critic}
        if self._acting is not None:
            modules["acting_policy"] = self.acting_policy
        for name, module in modules.items():
            tensors |= {f"{name}.{key}": value.detach() for key, value in module.named_parameters()}
        tensors |= {f"critic.{key}": value for key, value in self.critic.named_buffers()}
        for name, optimiser in (("critic_adam", self._critic_adam), ("actor_adam", self._actor_adam)):
            tensors |= {f"{name}.{key}": value for key, value in optimiser.state().items()}
        return tensors


def _difference(own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """The first way in which the names, shapes or dtypes differ, or None."""
    missing, unknown = sorted(own.keys() - other.keys()), sorted(other.keys() - own.keys())
    if missing or unknown:
        return f"tensors missing: {missing or 'none'}, unknown: {unknown or 'none'}"
    for name, tensor in own.items():
        if name == "noise_generator" and tensor.shape != other[name].shape:
            return "it was made on another kind of device (cpu, cuda), whose random numbers cannot be continued here"
        if tensor.shape != other[name].shape or tensor.dtype != other[name].dtype:
            return (
                f"tensor '{name}' is {tuple(other[name].shape)} {other[name].dtype}, "
                f"expected {tuple(tensor.shape)} {tensor.dtype}"
            )
    return None


def _choose_gradients(settings: SacSettings, networks: Networks) -> tuple[Gradients, str]:
    """How gradients are computed, and why it is not the way that the settings ask for (or an empty string)."""
    plain = PlainGradients(settings, networks)
    if settings.gradients == "plain":
        return plain, ""
    device = networks.log_alpha.device
    products = _type_of_products(settings, device)

    def checked(compiler: Compile | None, products: torch.dtype) -> Gradients:
        derived = DerivedGradients(settings, networks, products, compiler)
        tolerance = GRADIENT_TOLERANCE if products is torch.float32 else BFLOAT16_GRADIENT_TOLERANCE
        delayed_actor = settings.actor_interval > 1
        if problem := check_gradients(plain, derived, networks, settings.batch_size, tolerance, delayed_actor):
            raise RuntimeError(f"they do not agree with the plain ones: {problem}")
        return derived

    # On a GPU the whole update is captured instead (`learning/cuda.py`).
    compiler = compile_for_cpu if settings.gradients == "compiled" and device.type == "cpu" else None
    try:
        derived = checked(None, torch.float32)
        if products is not torch.float32:  # rounding hides small mistakes: checked after the rest
            derived = checked(None, products)
    except RuntimeError as error:  # also an operation that this device does not have
        return plain, _complaint("hand-derived gradients", error, "the plain ones")
    if compiler is None:
        return derived, ""
    try:
        return checked(compiler, products), ""
    except RuntimeError as error:
        return derived, _complaint("compiled gradients", error, "the hand-derived ones, not compiled")


def _complaint(name: str, error: RuntimeError, instead: str) -> str:
    cause = str(error).splitlines()[0]
    return (
        f"the {name} cannot be used: {cause}. Updates use {instead}, which are slower; if nothing here says what to "
        f"do about it, please report this with the version of PyTorch ({torch.__version__}) and the device"
    )


def _type_of_products(settings: SacSettings, device: torch.device) -> torch.dtype:
    """`settings.products`, with auto decided by what this processor or GPU computes without emulation."""
    if settings.products == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    return getattr(torch, settings.products)
