"""The tasks: observation, reward and success rules (docs/tasks.md)."""

from valve_task.tasks.action import ActionError, ActionMap
from valve_task.tasks.base import Outcome, Start, Task, Variant
from valve_task.tasks.settings import TaskSettings
from valve_task.tasks.variants import TASK_NAMES, error_unit_of, make_task, robot_of, task_file_of, tasks_of

__all__ = [
    "TASK_NAMES",
    "ActionError",
    "ActionMap",
    "Outcome",
    "Start",
    "Task",
    "TaskSettings",
    "Variant",
    "error_unit_of",
    "make_task",
    "robot_of",
    "task_file_of",
    "tasks_of",
]
