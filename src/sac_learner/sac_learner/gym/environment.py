"""A Gymnasium environment as the learner sees it: flat float32 observations, actions in (-1, 1). No ROS here."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
from rosac_common.settings import from_mapping, leaves

from sac_learner.gym.spaces import (
    Array,
    GymEnvironmentError,
    ValueProblem,
    checked_action_space,
    number,
    observation_size,
    vector,
)
from sac_learner.sac.settings import RelabellingSettings
from sac_learner.sac.symmetry import Symmetries

# Environments of rosac itself are registered by this module.
_OWN_NAMESPACE, _OWN_MODULE = "rosac/", "valve_task.env"
_REMEDY = "mend the environment; gymnasium.utils.env_checker.check_env finds what does not follow Gymnasium's API"
_POLICY_REMEDY = "its weights or the observations are too large: scale observations and rewards towards 1"


class BadStepError(RuntimeError):
    """A step or a reset failed, or gave what cannot be learned from. The message names place, value and remedy."""


class StepResult(NamedTuple):
    """What one step led to."""

    observation: Array  # [O]
    reward: float
    terminated: bool
    truncated: bool
    success: bool | None  # None: not judged


class GymEnvironment:
    """An environment with Box spaces, its observations flattened and its actions scaled from (-1, 1) to the bounds.

    What it gives is checked: nothing that is not finite or of another size gets any further.
    """

    def __init__(self, env_id: str, *, max_episode_steps: int = 0, use: str = "training") -> None:
        """Make the environment and check its spaces.

        Args:
            env_id: the registered id, or `module:id` to import a module of one's own first.
            max_episode_steps: time limit of an episode; 0: the environment's own.
            use: what it is for, in messages.

        Raises:
            GymEnvironmentError: see there.
        """
        self.env_id = env_id
        self._use = use
        self._environment = _make(env_id, max_episode_steps)
        try:
            self.observation_size = observation_size(env_id, getattr(self._environment, "observation_space", None))
            space = checked_action_space(env_id, getattr(self._environment, "action_space", None))
        except GymEnvironmentError:
            self._environment.close()
            raise
        self.action_size = int(np.prod(space.shape))
        self._action_shape, self._action_dtype = space.shape, space.dtype
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        self._low, self._high = low.reshape(-1), high.reshape(-1)
        self._centre, self._half_range = (self._low + self._high) / 2, (self._high - self._low) / 2
        self.episode, self.episode_step = -1, 0  # number of the present episode, and steps taken in it
        self.notes: list[str] = []  # for the console

    @property
    def robot_time_s(self) -> float | None:
        """Time that the robot has moved [s], resets included; None where the environment does not say."""
        value = self._attribute("robot_time_s")
        return value if isinstance(value, float) and math.isfinite(value) else None

    def symmetries(self) -> Symmetries | None:
        """Of observation and action; None where the environment names none.

        Raises:
            GymEnvironmentError: they do not fit the spaces.
        """
        value = self._attribute("symmetries")
        if value is None:
            return None
        if not (isinstance(value, tuple) and len(value) == 2 and all(_is_list_of_int(part) for part in value)):
            return self._ignore("symmetries", value, "a tuple of two lists of int")
        try:
            return Symmetries.from_signed(*value, self.observation_size, self.action_size)
        except ValueError as error:
            raise GymEnvironmentError(
                f"environment '{self.env_id}': {error}; mend its attribute `symmetries`, or train with "
                "--set sac.symmetry_augmentation=false"
            ) from error

    def relabelling(self) -> RelabellingSettings:
        """Of the target, as `SacLearner` takes it; empty where the environment names none."""
        value = self._attribute("relabelling")
        if isinstance(value, Mapping) and set(value) <= {leaf.name for leaf in leaves(RelabellingSettings)}:
            return from_mapping(RelabellingSettings, value, f"relabelling of environment '{self.env_id}'")
        if value is not None:
            self._ignore("relabelling", value, "a mapping of RelabellingSettings")
        return RelabellingSettings()

    def scaled(self, action: Array) -> npt.NDArray[Any]:
        """An action of the policy [A] in the bounds, shape and dtype of the environment."""
        # The clip takes off what rounding put beyond a bound.
        values = np.clip(self._centre + self._half_range * action, self._low, self._high)
        return values.astype(self._action_dtype).reshape(self._action_shape)

    def reset(self, seed: int | None = None) -> Array:
        """Begin an episode; returns the first observation [O].

        Raises:
            BadStepError: see there.
        """
        self.episode, self.episode_step = self.episode + 1, 0
        with self._named("reset"):
            given = self._environment.reset(seed=seed)
            if not (isinstance(given, tuple) and len(given) == 2):
                raise ValueProblem("it must return (observation, info)")
            return vector("observation", given[0], self.observation_size)

    def step(self, action: Array) -> StepResult:
        """One step with an action in (-1, 1) [A].

        Raises:
            BadStepError: see there.
        """
        with self._named(f"step {self.episode_step}", _POLICY_REMEDY):
            action = vector("action of the policy", action, self.action_size)
        with self._named(f"step {self.episode_step}"):
            given = self._environment.step(self.scaled(action))
            if not (isinstance(given, tuple) and len(given) == 5 and isinstance(given[4], Mapping)):
                raise ValueProblem("it must return (observation, reward, terminated, truncated, info)")
            observation, reward, terminated, truncated, info = given
            success = info.get("is_success")
            result = StepResult(
                vector("observation", observation, self.observation_size),
                number("reward", reward),
                bool(number("terminated", terminated)),
                bool(number("truncated", truncated)),
                None if success is None else bool(number("is_success", success)),
            )
        self.episode_step += 1
        return result

    def close(self) -> None:
        """Release what the environment holds.

        Raises:
            BadStepError: it does not let go.
        """
        with self._named("close"):
            self._environment.close()

    @contextlib.contextmanager
    def _named(self, what: str, remedy: str = _REMEDY) -> Iterator[None]:
        """Everything that goes wrong inside as an error that says where and when."""
        where = f"{self.env_id}, {self._use} episode {self.episode}, {what}"
        try:
            yield
        except ValueProblem as problem:
            raise BadStepError(f"{where}: {problem}; {remedy}") from None
        except Exception as error:  # a stranger's environment may raise anything
            place = traceback.extract_tb(error.__traceback__)[-1]
            cause = f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
            raise BadStepError(f"{where}: {cause}; {remedy}") from error

    def _attribute(self, name: str) -> Any:
        """An attribute that rosac's own environments have; of a stranger's it may be anything."""
        try:
            return getattr(self._environment.unwrapped, name, None)
        except Exception:
            return None

    def _ignore(self, name: str, value: Any, expected: str) -> None:
        self.notes.append(
            f"the attribute '{name}' of {self.env_id} is not used: it is a {type(value).__name__}, where rosac's own "
            f"environments have {expected}"
        )


def _is_list_of_int(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int for each in value)


def _make(env_id: str, max_episode_steps: int) -> gymnasium.Env:
    if env_id.startswith(_OWN_NAMESPACE):
        importlib.import_module(_OWN_MODULE)
    elif ":" in env_id:
        _import(env_id)
    limit = {"max_episode_steps": max_episode_steps} if max_episode_steps else {}
    try:
        # rosac checks the spaces itself, and every value that it stores.
        return gymnasium.make(env_id, disable_env_checker=True, **limit)
    except gymnasium.error.UnregisteredEnv as error:
        raise GymEnvironmentError(
            f"unknown environment '{env_id}': {error} Gymnasium's list: python -c 'import gymnasium; "
            "gymnasium.pprint_registry()'; for an environment of your own: MODULE:ID"
        ) from error
    except Exception as error:  # the constructor of a stranger may raise anything
        remedy = "; install what it needs" if isinstance(error, ImportError) else ""
        raise GymEnvironmentError(
            f"environment '{env_id}' cannot be made: {type(error).__name__}: {error}{remedy}"
        ) from error


def _import(env_id: str) -> None:
    """The module of MODULE:ID, also from the current directory, which the command `rosac` starts without."""
    module, here = env_id.partition(":")[0], os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does
    try:
        importlib.import_module(module)
    except Exception as error:  # a stranger's module may raise anything
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module}.".startswith(f"{missing}."):
            raise GymEnvironmentError(
                f"environment '{env_id}': there is no module '{missing}' in {here} or where Python looks for modules; "
                "start rosac in the directory that holds it, name that directory in PYTHONPATH, or install it"
            ) from error
        remedy = "install what it needs" if missing else "mend it"
        raise GymEnvironmentError(
            f"environment '{env_id}': the module '{module}' cannot be imported: {type(error).__name__}: {error}; "
            f"{remedy}"
        ) from error
