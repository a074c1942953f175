"""A Gymnasium environment as the learner sees it: flat float32 observations, actions in (-1, 1). No ROS here."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from rosac_common.settings import from_mapping

from sac_learner.sac.settings import RelabellingSettings

Array = npt.NDArray[np.float32]

# Environments of rosac itself are registered by this module.
_OWN_NAMESPACE, _OWN_MODULE = "rosac/", "valve_task.env"
# Dimensions of an observation up to which it is a vector, or a table that may be read as one; above are images.
_MOST_DIMENSIONS = 2


class GymEnvironmentError(ValueError):
    """The environment is unknown, cannot be made, or has spaces that rosac cannot learn. The message has the remedy."""


class StepResult(NamedTuple):
    """What one step led to."""

    observation: Array  # [O]
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


class GymEnvironment:
    """An environment with Box spaces, its observations flattened and its actions scaled from (-1, 1) to the bounds."""

    def __init__(self, env_id: str, *, max_episode_steps: int = 0) -> None:
        """Make the environment and check its spaces.

        Args:
            env_id: the registered id, or `module:id` to import a module of one's own first.
            max_episode_steps: time limit of an episode; 0: the environment's own.

        Raises:
            GymEnvironmentError: see there.
        """
        self.env_id = env_id
        self._environment = _make(env_id, max_episode_steps)
        try:
            self.observation_size = _observation_size(env_id, self._environment.observation_space)
            space = _checked_action_space(env_id, self._environment.action_space)
        except GymEnvironmentError:
            self._environment.close()
            raise
        self.action_size = int(np.prod(space.shape))
        self._action_shape, self._action_dtype = space.shape, space.dtype
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        self._low, self._high = low.reshape(-1), high.reshape(-1)
        self._centre, self._half_range = (self._low + self._high) / 2, (self._high - self._low) / 2

    @property
    def robot_time_s(self) -> float | None:
        """Time that the robot has moved [s], resets included; None where the environment does not say."""
        return getattr(self._environment.unwrapped, "robot_time_s", None)

    @property
    def symmetries(self) -> tuple[list[int], list[int]]:
        """Of observation and action, as `Symmetries.from_signed` takes them; empty where the environment names none."""
        return getattr(self._environment.unwrapped, "symmetries", ([], []))

    @property
    def relabelling(self) -> RelabellingSettings:
        """Of the target, as `SacLearner` takes it; empty where the environment names none."""
        return from_mapping(RelabellingSettings, getattr(self._environment.unwrapped, "relabelling", {}), "relabelling")

    def scaled(self, action: Array) -> npt.NDArray[Any]:
        """An action of the policy [A] in the bounds, shape and dtype of the environment."""
        # The clip takes off what rounding put beyond a bound.
        values = np.clip(self._centre + self._half_range * action, self._low, self._high)
        return values.astype(self._action_dtype).reshape(self._action_shape)

    def reset(self, seed: int | None = None) -> Array:
        """Begin an episode; returns the first observation [O]."""
        return self._flat(self._environment.reset(seed=seed)[0])

    def step(self, action: Array) -> StepResult:
        """One step with an action in (-1, 1) [A]."""
        observation, reward, terminated, truncated, info = self._environment.step(self.scaled(action))
        return StepResult(self._flat(observation), float(reward), bool(terminated), bool(truncated), info)

    def close(self) -> None:
        """Release what the environment holds."""
        self._environment.close()

    def _flat(self, observation: npt.NDArray[Any]) -> Array:
        # A copy: environments may hand out the array that they go on writing into.
        return np.array(observation, dtype=np.float32).reshape(-1)


def _make(env_id: str, max_episode_steps: int) -> gymnasium.Env:
    if env_id.startswith(_OWN_NAMESPACE):
        importlib.import_module(_OWN_MODULE)
    limit = {"max_episode_steps": max_episode_steps} if max_episode_steps else {}
    try:
        # rosac checks the spaces itself, and every value that it stores.
        return gymnasium.make(env_id, disable_env_checker=True, **limit)
    except gymnasium.error.UnregisteredEnv as error:
        raise GymEnvironmentError(
            f"unknown environment '{env_id}': {error} Gymnasium's list: python -c 'import gymnasium; "
            "gymnasium.pprint_registry()'; for an environment of your own: MODULE:ID"
        ) from error
    except ImportError as error:
        raise GymEnvironmentError(
            f"environment '{env_id}' cannot be made: {error}. Install what it needs; Gymnasium's MuJoCo environments "
            "need gymnasium[mujoco]"
        ) from error
    except Exception as error:  # the constructor of a stranger may raise anything
        raise GymEnvironmentError(f"environment '{env_id}' cannot be made: {type(error).__name__}: {error}") from error


def _observation_size(env_id: str, space: spaces.Space) -> int:
    if not isinstance(space, spaces.Box):
        raise GymEnvironmentError(
            f"environment '{env_id}' has observation space {space}: rosac learns from a Box of floats; flatten it with "
            "gymnasium.wrappers.FlattenObservation and register the wrapped environment"
        )
    if not np.issubdtype(space.dtype, np.floating) or len(space.shape) > _MOST_DIMENSIONS:
        raise GymEnvironmentError(
            f"environment '{env_id}' has observations of {space.dtype} {space.shape}: rosac learns from vectors of "
            "floats, images are a later step; choose an environment with vector observations, or wrap this one with "
            "gymnasium.wrappers.TransformObservation and register it"
        )
    if not (size := int(np.prod(space.shape))):
        raise GymEnvironmentError(f"environment '{env_id}' has observation space {space}: nothing to learn from")
    return size


def _checked_action_space(env_id: str, space: spaces.Space) -> spaces.Box:
    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise GymEnvironmentError(
            f"environment '{env_id}' has action space {space}: Soft Actor-Critic as in rosac needs continuous actions, "
            "a Box of floats; choose an environment or a version of it that has them"
        )
    if not np.prod(space.shape):
        raise GymEnvironmentError(f"environment '{env_id}' has action space {space}: no action to choose")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise GymEnvironmentError(
            f"environment '{env_id}' has action space {space}: the policy works in (-1, 1) and is scaled to the "
            "bounds, so all must be finite; give it finite bounds with gymnasium.wrappers.TransformAction and register "
            "the wrapped environment"
        )
    if not (space.low < space.high).all():
        raise GymEnvironmentError(
            f"environment '{env_id}' has action space {space}: every lower bound must be below its upper bound"
        )
    return space
