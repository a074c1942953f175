"""The installed files of a task: the stacks and the environments start from the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rosac_common.environment import share
from rosac_common.settings import load_block

from valve_task.tasks import robot_of, task_file_of


def robot_parameters(task: str) -> dict[str, Any]:
    """The robot file that a task is made for: dotted name -> value.

    Raises:
        SettingsError: unknown task, or the file is missing or malformed.
    """
    return load_block(_config() / "robots" / f"{robot_of(task)}.yaml")


def task_parameters(task: str) -> dict[str, Any]:
    """The task file of a task, with its name: dotted name of `TaskNodeSettings` -> value.

    Raises:
        SettingsError: unknown task, or the file is missing or malformed.
    """
    return {**load_block(_config() / "tasks" / f"{task_file_of(task)}.yaml"), "task.name": task}


def _config() -> Path:
    return share("sac_learner") / "config"
