"""Which Gymnasium environments rosac can learn: their spaces, and the values that they must give."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

Array = npt.NDArray[np.float32]

# Dimensions of an observation up to which it is a vector, or a table that may be read as one; above are images.
_MOST_DIMENSIONS = 2
_MOST = float(np.finfo(np.float32).max)
_LIMIT = f"values must be finite (float32, as which they are stored, ends at {_MOST:.1e})"


class GymEnvironmentError(ValueError):
    """The environment is unknown, cannot be made, or has spaces that rosac cannot learn. The message has the remedy."""


class ValueProblem(ValueError):  # noqa: N818 - becomes an error where the step is known
    """A value that an environment may not give. The message says which and what is expected."""


def observation_size(env_id: str, space: spaces.Space | None) -> int:
    """Numbers in an observation.

    Raises:
        GymEnvironmentError: it is no vector of numbers.
    """
    if not isinstance(space, spaces.Box):
        raise GymEnvironmentError(
            f"environment '{env_id}' has observation space {space}: rosac learns from a Box of numbers; flatten it "
            "with gymnasium.wrappers.FlattenObservation and register the wrapped environment"
        )
    is_number = np.issubdtype(space.dtype, np.floating) or np.issubdtype(space.dtype, np.integer)
    dimensions = len(space.shape)
    if not is_number or dimensions > _MOST_DIMENSIONS or (space.dtype == np.uint8 and dimensions > 1):
        raise GymEnvironmentError(
            f"environment '{env_id}' has observations of {space.dtype} {space.shape}: rosac learns from vectors of "
            "numbers, images are a later step; choose an environment with vector observations, or wrap this one with "
            "gymnasium.wrappers.TransformObservation and register it"
        )
    if not (size := int(np.prod(space.shape))):
        raise GymEnvironmentError(f"environment '{env_id}' has observation space {space}: nothing to learn from")
    return size


def checked_action_space(env_id: str, space: spaces.Space | None) -> spaces.Box:
    """The action space.

    Raises:
        GymEnvironmentError: it is no Box of floats with finite bounds.
    """
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


def vector(name: str, value: Any, size: int) -> Array:
    """A copy as float32 [size]: environments may hand out the array that they go on writing into.

    Raises:
        ValueProblem: of another size, no numbers, or not finite.
    """
    try:
        with np.errstate(over="ignore"):
            flat = np.array(value, dtype=np.float32).reshape(-1)
    except (TypeError, ValueError):
        raise ValueProblem(f"{name} is {reprlib.repr(value)}, expected {size} numbers") from None
    if flat.size != size:
        raise ValueProblem(f"{name} has {flat.size} values, expected {size}")
    finite = np.isfinite(flat)
    if not finite.all():
        place = int(finite.argmin())
        raise ValueProblem(f"{name}[{place}] is {np.asarray(value).reshape(-1)[place]}; {_LIMIT}")
    return flat


def number(name: str, value: Any) -> float:
    """One number, also in an array of one.

    Raises:
        ValueProblem: anything else, or not finite.
    """
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.empty(0)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise ValueProblem(f"{name} is {reprlib.repr(value)}, expected one number")
    result = float(array.item())
    if not abs(result) <= _MOST:
        raise ValueProblem(f"{name} is {result}; {_LIMIT}")
    return result
