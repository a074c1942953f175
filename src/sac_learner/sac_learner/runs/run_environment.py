"""The task of a run in one process, without ROS: for pictures and measurements of what it learned."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import valve_task.env  # noqa: F401 - registers the environments
from rosac_common.settings import to_mapping

from sac_learner.graph.stacks import complete_arguments, find_stack, resolve
from sac_learner.runs.run_directory import Run


def run_environment(run: Run, changes: Mapping[str, str], render_mode: str | None = None) -> gymnasium.Env:
    """The environment of the run's task with the run's settings of robot, task, resets and simulation.

    Args:
        run: whose task.
        changes: arguments that differ from the run's, such as {"terrain": "stairs"}.
        render_mode: None or "rgb_array".

    Raises:
        ArgumentError: an argument has a value that it does not allow.
        SettingsError: a file of the run's settings is missing or bad.
    """
    stack = find_stack(run.stack)
    arguments = complete_arguments(stack, {**run.arguments, **changes})
    parameters = resolve(stack, arguments, run.name, run.path).parameters
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
