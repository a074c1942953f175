"""The modes of the learner: each is a parameter file in config/learner. No ROS here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rosac_common.environment import share
from rosac_common.settings import SettingsError, load_block


def mode_names() -> tuple[str, ...]:
    """All modes, in alphabetical order."""
    return tuple(sorted(path.stem for path in _directory().glob("*.yaml")))


def mode_parameters(name: str) -> dict[str, Any]:
    """What a mode sets: dotted name -> value.

    Raises:
        SettingsError: there is no such mode, or its file is not one block under '/**'.
    """
    if name not in mode_names():
        raise SettingsError(f"mode '{name}': must be one of {', '.join(mode_names())}")
    return load_block(_directory() / f"{name}.yaml")


def _directory() -> Path:
    return share("sac_learner") / "config" / "learner"
