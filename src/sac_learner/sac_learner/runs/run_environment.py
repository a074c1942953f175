"""The task of a run in one process, without ROS: for pictures and measurements of what it learned."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import valve_task.env  # noqa: F401 - registers the environments
from rosac_common.settings import to_mapping

from sac_learner.runs.run_directory import Run


def run_environment(run: Run, changes: Mapping[str, str], render_mode: str | None = None) -> gymnasium.Env:
    """The environment of the run's task with the run's settings of robot, task, resets and simulation.

    Args:
        run: whose task.
        changes: arguments that differ from the run's, such as {"terrain": "stairs"}.
        render_mode: None or "rgb_array".

    Raises:
        ArgumentError: an argument has a value that it does not allow.
        RunError: the run's copy of its params:= file is missing.
        SettingsError: a file of the run's settings is missing or bad.
    """
    parameters = run.resolve(changes).parameters
    node = parameters["task"]
    return gymnasium.make(
        f"rosac/{node.task.name}-v0",
        disable_env_checker=True,  # the tests check the environments
        render_mode=render_mode,
        robot=to_mapping(node.robot),
        task=to_mapping(node.task),
        reset=to_mapping(node.reset),
        walk_reset=to_mapping(node.walk_reset),
        simulation=to_mapping(parameters["bridge"].simulation),
        training=False,
    )
