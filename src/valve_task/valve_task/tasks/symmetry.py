"""Whether settings stay what they are under a symmetry: a signed permutation, +-(j + 1) at place i means that place i
takes the value, or its negative, that place j had."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

# Own figure: settings that differ by less are the same figure, rounded [rad, or rad/s].
TOLERANCE = 1e-5


def keeps(symmetry: Sequence[int], values: npt.ArrayLike) -> bool:
    """Whether values (n,) that turn with the joints, such as a pose, are the same afterwards."""
    return _same(_changed(symmetry, values), values)


def keeps_sizes(symmetry: Sequence[int], values: npt.ArrayLike) -> bool:
    """The same for values (n,) without a direction, such as the limit of a speed."""
    return keeps(np.abs(symmetry).tolist(), values)


def keeps_range(symmetry: Sequence[int], low: npt.ArrayLike, high: npt.ArrayLike) -> bool:
    """The same for ranges, both ends (n,): the ends of one that is mirrored change places."""
    ends = _changed(symmetry, low), _changed(symmetry, high)
    return _same(np.minimum(*ends), low) and _same(np.maximum(*ends), high)


def _changed(symmetry: Sequence[int], values: npt.ArrayLike) -> Vector:
    places = np.array(symmetry)
    return np.sign(places) * np.asarray(values)[np.abs(places) - 1]


def _same(values: Vector, others: npt.ArrayLike) -> bool:
    return bool((np.abs(values - np.asarray(others)) <= TOLERANCE).all())
