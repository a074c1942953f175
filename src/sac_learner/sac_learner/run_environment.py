"""The task of a run in one process, without ROS: for pictures and measurements of what it learned."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import valve_task.env  # noqa: F401 - registers the environments
from rosac_common.settings import to_mapping

from sac_learner.run_directory import Run
from sac_learner.stacks import complete_arguments, find_stack, resolve


def run_environment(run: Run, changes: Mapping[str, str], render_mode: str | None = None) -> gymnasium.Env:
    """The environment of the run's task with the run's settings of task and simulation.

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
    task, simulation = parameters["task"].task, parameters["bridge"].simulation
    return gymnasium.make(
        f"rosac/{task.name}-v0",
        disable_env_checker=True,  # the tests check the environments
        render_mode=render_mode,
        task=to_mapping(task),
        simulation=to_mapping(simulation),
    )
