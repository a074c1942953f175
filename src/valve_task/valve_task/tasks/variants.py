"""The table of tasks by name. ROBEL = google-research/robel, `dclaw/__init__.py` and the file of each task."""

from __future__ import annotations

import functools
import math

from robot_bridge.robot import RobotSettings
from rosac_common.settings import SettingsError

from valve_task.tasks.base import Task, Variant
from valve_task.tasks.pose import PoseTask
from valve_task.tasks.settings import TaskSettings
from valve_task.tasks.turn import ScrewTask, TurnTask
from valve_task.tasks.walk import WalkTask

# Simulation step 2.5 ms in ROBEL; 40 of them are a control step of Turn and Screw, 20 one of Pose.
_TURN_PERIOD_S, _POSE_PERIOD_S = 0.1, 0.05
_THIRD = math.pi / 3

# ROBEL base_env.py, qpos_range, and turn.py, RESET_POSE.
_DCLAW = functools.partial(
    Variant,
    "dclaw",
    "dclaw_valve",
    action_centre_rad=(0.0,) * 9,
    action_half_range_rad=(0.48, math.pi / 3, math.pi / 2) * 3,
    reset_pose_rad=(0.0, -math.pi / 3, math.pi / 3) * 3,
)
# arXiv 1812.05905: the valve starts anywhere, the coloured lobe shall point to the right, which is angle 0.
_TURN = _DCLAW(80, _TURN_PERIOD_S, 0.1, initial_valve_rad=(-math.pi, math.pi), target_valve_rad=(0.0, 0.0))
# ROBEL turn.py
_TURN_FIXED = _DCLAW(40, _TURN_PERIOD_S, 0.1, initial_valve_rad=(0.0, 0.0), target_valve_rad=(math.pi, math.pi))
_TURN_RANDOM = _DCLAW(
    40, _TURN_PERIOD_S, 0.1, initial_valve_rad=(-_THIRD, _THIRD), target_valve_rad=(math.pi - _THIRD, math.pi + _THIRD)
)
# ROBEL screw.py
_SCREW_FIXED = _DCLAW(80, _TURN_PERIOD_S, 0.2, initial_valve_rad=(0.0, 0.0), target_velocity_rad_s=(0.5, 0.5))
_SCREW_RANDOM = _DCLAW(
    80, _TURN_PERIOD_S, 0.2, initial_valve_rad=(-math.pi, math.pi), target_velocity_rad_s=(-0.75, 0.75)
)
# ROBEL pose.py
_POSE_FIXED = _DCLAW(80, _POSE_PERIOD_S, math.radians(10.0))
_POSE_RANDOM = _POSE_FIXED._replace(moving_pose=True)
# arXiv 1812.05905: at most 500 steps; the period is that of the authors' later environment (google-research, safemrl).
_WALK = Variant("minitaur", "minitaur_walk", 500, 0.02)

_TASKS: dict[str, tuple[type[Task], Variant]] = {
    "DClawTurn": (TurnTask, _TURN),
    "DClawTurnFixed": (TurnTask, _TURN_FIXED),
    "DClawTurnRandom": (TurnTask, _TURN_RANDOM),
    "DClawTurnRandomDynamics": (TurnTask, _TURN_RANDOM._replace(random_dynamics=True)),
    "DClawScrewFixed": (ScrewTask, _SCREW_FIXED),
    "DClawScrewRandom": (ScrewTask, _SCREW_RANDOM),
    "DClawScrewRandomDynamics": (ScrewTask, _SCREW_RANDOM._replace(random_dynamics=True)),
    "DClawPoseFixed": (PoseTask, _POSE_FIXED),
    "DClawPoseRandom": (PoseTask, _POSE_RANDOM),
    "DClawPoseRandomDynamics": (PoseTask, _POSE_RANDOM._replace(random_dynamics=True)),
    "MinitaurWalk": (WalkTask, _WALK),
    "MinitaurWalkRandomDynamics": (WalkTask, _WALK._replace(random_dynamics=True)),
    "MinitaurWalkCommand": (WalkTask, _WALK._replace(commanded=True)),
}
TASK_NAMES = tuple(_TASKS)
_SCALARS = ("horizon_steps", "control_period_s", "success_tolerance_rad")
_RANGES = ("initial_valve_rad", "target_valve_rad", "target_velocity_rad_s")
_JOINTS = ("action_centre_rad", "action_half_range_rad", "reset_pose_rad")


def tasks_of(robot: str) -> tuple[str, ...]:
    """The tasks that are made for a robot, by the name of its file (config/robots)."""
    return tuple(name for name, (_, variant) in _TASKS.items() if variant.robot == robot)


def robot_of(task: str) -> str:
    """The robot that a task is made for.

    Raises:
        SettingsError: unknown name.
    """
    return _find(task)[1].robot


def task_file_of(task: str) -> str:
    """The file in config/tasks whose settings are laid over the figures of a task.

    Raises:
        SettingsError: unknown name.
    """
    return _find(task)[1].task_file


def error_unit_of(task: str) -> str:
    """What the errors of a task are counted in.

    Raises:
        SettingsError: unknown name.
    """
    return _find(task)[0].error_unit


def make_task(settings: TaskSettings, robot: RobotSettings) -> Task:
    """The task of that name, with the settings laid over its own figures.

    Raises:
        SettingsError: unknown name, a range that is not [low, high], or a setting that the task does not have.
    """
    kind, variant = _find(settings.name)
    return kind(settings, robot, _overlaid(variant, settings))


def _find(name: str) -> tuple[type[Task], Variant]:
    if name not in _TASKS:
        raise SettingsError(f"unknown task '{name}'; task.name must be one of {', '.join(_TASKS)}")
    return _TASKS[name]


def _overlaid(variant: Variant, settings: TaskSettings) -> Variant:
    changes = {name: getattr(settings, name) for name in _SCALARS if getattr(settings, name)}
    if "success_tolerance_rad" in changes and not variant.success_tolerance_rad:
        raise SettingsError(f"task {settings.name} has no setting task.success_tolerance_rad: remove it")
    for name in _RANGES + _JOINTS:
        values = tuple(getattr(settings, name))
        if not values:
            continue
        if not getattr(variant, name):
            raise SettingsError(f"task {settings.name} has no setting task.{name}: remove it or choose another task")
        if name in _RANGES and (len(values) != 2 or not values[0] <= values[1]):
            raise SettingsError(f"task.{name} is {list(values)}; it must be [lowest, highest]")
        changes[name] = values
    return variant._replace(**changes)
