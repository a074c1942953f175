"""Seeds of the nodes: of a run's first session, of each later one, and of its evaluations.

Equal seeds draw equal numbers. A resumed run would explore as it did at first, from the same starts to the same
targets, and in simulation store the same transitions again; an evaluation would judge by episodes that were trained on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Uses of the nodes' seeds beside the first session; each draws numbers of its own.
_SESSION, _EVALUATION = range(2)


def first_seeds(seed: int, names: Sequence[str]) -> dict[str, int]:
    """A seed of its own for each node: equal ones would draw equal numbers in different nodes."""
    states = np.random.SeedSequence(seed).generate_state(len(names))
    return {name: int(state) for name, state in zip(names, states, strict=True)}


def in_session(parameters: Mapping[str, Any], session: int) -> dict[str, Any]:
    """The nodes' parameters with the seeds of a session. Args: session: 1, the first, leaves them as they are."""
    return dict(parameters) if session == 1 else _spawned(parameters, (_SESSION, session))


def in_evaluation(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The nodes' parameters with the seeds of an evaluation."""
    return _spawned(parameters, (_EVALUATION,))


def _spawned(parameters: Mapping[str, Any], key: tuple[int, ...]) -> dict[str, Any]:
    """The learner keeps its seed: its numbers go on from the checkpoint, and without one it repeats its start."""
    return {
        name: settings if name == "learner" else dataclasses.replace(settings, seed=_spawn(settings.seed, key))
        for name, settings in parameters.items()
    }


def _spawn(seed: int, key: tuple[int, ...]) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0])
