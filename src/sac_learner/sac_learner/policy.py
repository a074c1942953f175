"""The policy as the robot runs it: weights, their file, the forward pass in NumPy, and the guard of a swap.

No PyTorch here: the actor process needs none, and its policy answers in tens of microseconds.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import zlib
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sac_learner.atomic_file import DamagedFileError, read_tensors, tensor_bytes, write_atomic

Array = npt.NDArray[np.float32]
FORMAT = "rosac policy"
FORMAT_VERSION = 2
LOG_STD_LIMITS = "log_std_limits"
NOISE_CORRELATION = "noise_correlation"
_NORMALISER = ("observation_mean", "observation_std")


class PolicyError(ValueError):
    """Weights that are no policy, or not one of these sizes. The message names what is wrong."""


@dataclasses.dataclass(frozen=True)
class PolicyWeights:
    """A policy and how observations are normalised for it: PolicyWeights.msg without ROS.

    `tensors`: `hidden.0.weight` [units, O], `hidden.0.bias` [units], ..., `output.weight` [2A, units], `output.bias`
    [2A], `log_std_limits` [2], `noise_correlation` [1] (see `ExplorationNoise`). ReLU between layers; the output holds
    the means, then the log standard deviations, which are clipped to the limits. The deterministic action is
    tanh(mean).
    """

    run: str
    version: int
    transitions: int
    updates: int
    explore_uniformly: bool
    tensors: dict[str, Array]
    observation_mean: Array  # [O]
    observation_std: Array  # [O]
    checksum: int = -1

    def computed_checksum(self) -> int:
        """CRC-32 (zlib) over tensor names (each ended by a zero byte), ranks and dimensions (uint32, little-endian),
        data, mean and std (float32, little-endian)."""
        shapes = [tensor.shape for tensor in self.tensors.values()]
        dimensions = [size for shape in shapes for size in shape]
        head = b"".join(name.encode() + b"\0" for name in self.tensors)
        head += struct.pack(f"<{len(shapes)}I", *map(len, shapes)) + struct.pack(f"<{len(dimensions)}I", *dimensions)
        checksum = zlib.crc32(head)
        for array in (*self.tensors.values(), self.observation_mean, self.observation_std):
            checksum = zlib.crc32(np.ascontiguousarray(array, "<f4").reshape(-1).view(np.uint8), checksum)
        return checksum

    def sealed(self) -> PolicyWeights:
        """The same with its checksum filled in."""
        return dataclasses.replace(self, checksum=self.computed_checksum())

    def save(self, path: Path, metadata: dict[str, Any]) -> None:
        """Write the policy to a safetensors file, atomically, with further metadata (task name, ...).

        Raises:
            StorageError: the file cannot be written.
        """
        own = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "run": self.run,
            "policy_version": self.version,
            "transitions": self.transitions,
            "updates": self.updates,
            "explore_uniformly": self.explore_uniformly,
        }
        normaliser = {"observation_mean": self.observation_mean, "observation_std": self.observation_std}
        write_atomic(path, tensor_bytes(self.tensors | normaliser, {**metadata, **own}))


def load_policy(path: Path) -> PolicyWeights:
    """Read an exported policy, sealed.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: truncated, damaged, or no policy of this format version.
    """
    tensors, metadata = read_tensors(path)
    found = (metadata.get("format"), metadata.get("format_version"))
    if found != (FORMAT, FORMAT_VERSION):
        raise DamagedFileError(f"{path} is {found[0]} version {found[1]}, expected {FORMAT} {FORMAT_VERSION}")
    weights = PolicyWeights(
        run=metadata["run"],
        version=metadata["policy_version"],
        transitions=metadata["transitions"],
        updates=metadata["updates"],
        explore_uniformly=metadata["explore_uniformly"],
        tensors={name: tensors[name] for name in _expected_names(tensors) if name in tensors},
        observation_mean=tensors["observation_mean"],
        observation_std=tensors["observation_std"],
    )
    return weights.sealed()


def _expected_names(tensors: dict[str, Any]) -> list[str]:
    """Names of a policy with this many hidden layers, from input to output."""
    count = sum(name.startswith("hidden.") and name.endswith(".weight") for name in tensors)
    layers = [f"hidden.{i}" for i in range(count)] + ["output"]
    return [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")] + [
        LOG_STD_LIMITS,
        NOISE_CORRELATION,
    ]


class ExplorationNoise:
    """Standard normal numbers for one action after another, low-passed: n_t = c n_(t-1) + sqrt(1 - c^2) e_t.

    Each number alone is standard normal whatever c is, so the policy's distribution stays what it was learned to be;
    successive ones have the correlation c, which spares gears and moves joints further (arXiv 2005.05719, section 2).
    """

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._last = np.zeros(size, dtype=np.float32)
        self._begun = False

    def draw(self, correlation: float) -> Array:
        """The noise of the next action [A]; `correlation` 0 gives independent numbers."""
        fresh = self._rng.standard_normal(len(self._last), dtype=np.float32)
        if self._begun and correlation:
            fresh = correlation * self._last + math.sqrt(1.0 - correlation * correlation) * fresh
        self._last, self._begun = fresh, True
        return fresh


class PolicyNetwork:
    """The policy's forward pass for one observation."""

    def __init__(self, weights: PolicyWeights) -> None:
        """Check the weights and lay them out.

        Raises:
            PolicyError: names or shapes are not those of a policy, or a value is not finite.
        """
        self.weights = weights
        self._layers = _checked_layers(weights)
        self.observation_size = weights.observation_mean.size
        self.action_size = self._layers[-1][1].size // 2
        self._mean = weights.observation_mean
        self._inverse_std = (1.0 / weights.observation_std).astype(np.float32)
        self._low, self._high = weights.tensors[LOG_STD_LIMITS]
        self.noise_correlation = float(weights.tensors[NOISE_CORRELATION][0])

    def _output(self, observation: Array) -> Array:
        """Observation [O] or [n, O] -> means and log standard deviations [2A] or [n, 2A]."""
        hidden = (observation - self._mean) * self._inverse_std
        *inner, (last_weight, last_bias) = self._layers
        for weight, bias in inner:
            hidden = hidden @ weight
            hidden += bias
            np.maximum(hidden, 0.0, out=hidden)
        return hidden @ last_weight + last_bias

    def mean_action(self, observation: Array) -> Array:
        """The deterministic action tanh(mean): [O] -> [A], or [n, O] -> [n, A]."""
        return np.tanh(self._output(observation)[..., : self.action_size])

    def sample_action(self, observation: Array, noise: ExplorationNoise) -> Array:
        """An action drawn from the policy: [O] -> [A]."""
        output = self._output(observation)
        mean, log_std = output[: self.action_size], output[self.action_size :]
        std = np.exp(np.minimum(np.maximum(log_std, self._low), self._high))
        return np.tanh(mean + std * noise.draw(self.noise_correlation))


def _checked_layers(weights: PolicyWeights) -> list[tuple[Array, Array]]:
    """The layers as ([in, out], [out]), contiguous."""
    tensors, names = weights.tensors, _expected_names(weights.tensors)
    if set(names) != set(tensors):
        raise PolicyError(f"tensors are {', '.join(tensors)}; expected {', '.join(names)}")
    arrays = {**tensors, **{name: getattr(weights, name) for name in _NORMALISER}}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise PolicyError(f"{name} has a value that is not finite")
    width = weights.observation_mean.size
    for name, shape in (
        (_NORMALISER[0], (width,)),
        (_NORMALISER[1], (width,)),
        (LOG_STD_LIMITS, (2,)),
        (NOISE_CORRELATION, (1,)),
    ):
        if arrays[name].shape != shape:
            raise PolicyError(f"{name} has shape {arrays[name].shape}, expected {shape}")
    if not 0.0 <= (correlation := float(tensors[NOISE_CORRELATION][0])) < 1.0:
        raise PolicyError(f"{NOISE_CORRELATION} is {correlation}; it must be at least 0 and below 1")
    if (weights.observation_std <= 0.0).any():
        raise PolicyError(f"observation_std is {weights.observation_std.min()}; it must be above 0")
    layers = []
    for weight_name, bias_name in zip(names[:-2:2], names[1:-2:2], strict=True):
        weight, bias = tensors[weight_name], tensors[bias_name]
        if weight.ndim != 2 or weight.shape[1] != width or bias.shape != (weight.shape[0],):
            raise PolicyError(
                f"{weight_name} has shape {weight.shape} and {bias_name} {bias.shape}, expected (n, {width}) and (n,)"
            )
        layers.append((np.ascontiguousarray(weight.T), bias))
        width = weight.shape[0]
    if width % 2:
        raise PolicyError(f"the output has {width} values, expected means and log standard deviations: an even number")
    return layers


class PolicyGuard:
    """Decides whether new weights may replace the policy that moves the robot."""

    def __init__(
        self, observation_size: int, action_size: int, *, max_action_change: float, recent_observations: int
    ) -> None:
        """Args: max_action_change: see `accept`; recent_observations: how many of the latest are compared."""
        self._sizes = (observation_size, action_size)
        self._max_change = max_action_change
        self._recent: deque[Array] = deque(maxlen=recent_observations)
        self.current: PolicyNetwork | None = None

    def observe(self, observation: Array) -> None:
        """Remember an observation for the comparison of policies."""
        self._recent.append(observation)

    def accept(self, weights: PolicyWeights) -> str | None:
        """Take the weights as the current policy, or keep the old one and return why.

        Refused: wrong checksum; version not above the current one of the same run; wrong names or shapes; a value
        that is not finite, or actions that are not at the recent observations; a mean absolute change of the
        deterministic action over the recent observations above max_action_change times the number of versions between
        the two. That product grows while the learner goes on, so one broken policy is refused, and a large but lasting
        change passes a few versions later.
        """
        if weights.checksum != (computed := weights.computed_checksum()):
            return f"checksum is {weights.checksum}, computed {computed}: the message was damaged"
        old = self.current.weights if self.current else None
        if old and (weights.run, weights.version, weights.checksum) == (old.run, old.version, old.checksum):
            return None  # sent again, as for a late joiner
        if old and weights.run == old.run and weights.version <= old.version:
            return f"version {weights.version} is not above the current {old.version}"
        try:
            network = PolicyNetwork(weights)
        except PolicyError as error:
            return str(error)
        if (found := (network.observation_size, network.action_size)) != self._sizes:
            return f"its observation and action sizes are {found}, the robot's {self._sizes}"
        problem = self._problem_of_actions(network, old) if self._recent else None
        if problem is None:
            self.current = network
        return problem

    def _problem_of_actions(self, network: PolicyNetwork, old: PolicyWeights | None) -> str | None:
        """What is wrong with what the new policy would have done lately, or None."""
        observations = np.stack(self._recent)
        with np.errstate(over="ignore", invalid="ignore"):  # weights that are finite may be so large
            actions = network.mean_action(observations)
        if not np.isfinite(actions).all():
            return "its actions at recent observations are not finite"
        if not old or network.weights.run != old.run or old.explore_uniformly:
            return None
        versions = network.weights.version - old.version
        change = float(np.abs(actions - self.current.mean_action(observations)).mean())
        limit = self._max_change * versions
        if change <= limit:
            return None
        return (
            f"it changes the action by {change:.3f} on average, the limit is {limit:.3f} "
            f"({versions} versions at max_action_change {self._max_change})"
        )
