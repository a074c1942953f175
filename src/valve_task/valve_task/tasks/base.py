"""What a task is: observation, reward and success as functions of the robot's state. No physics, no ROS, no clock."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from robot_bridge.backend import RobotState
from robot_bridge.body_state import BodyState
from robot_bridge.robot import RobotSettings
from rosac_common.settings import SettingsError

from valve_task.tasks.action import ActionMap, check_one_each
from valve_task.tasks.equations import COUNTERS, safety_counts
from valve_task.tasks.settings import TaskSettings

Vector = npt.NDArray[np.float64]
Observation = npt.NDArray[np.float32]


class Variant(NamedTuple):
    """The figures of one named task, after the settings have been laid over them."""

    robot: str  # name of the robot file that it is made for (config/robots)
    task_file: str  # name of the file whose settings are laid over these figures (config/tasks)
    horizon_steps: int
    control_period_s: float
    success_tolerance_rad: float = 0.0  # 0: the task judges success by something else
    # One value for each joint; empty: the task has a map of its own from actions to goals, or draws its poses itself.
    action_centre_rad: tuple[float, ...] = ()  # joint goals of action 0
    action_half_range_rad: tuple[float, ...] = ()  # those of action +-1 lie this far from there
    reset_pose_rad: tuple[float, ...] = ()  # after the reset
    initial_valve_rad: tuple[float, ...] = ()
    target_valve_rad: tuple[float, ...] = ()
    target_velocity_rad_s: tuple[float, ...] = ()
    moving_pose: bool = False
    random_dynamics: bool = False
    commanded: bool = False  # the task follows a velocity that somebody asks for


class Start(NamedTuple):
    """Where an episode starts: what the reset has to bring about."""

    pose_rad: Vector  # (joints,)
    clear_rad: Vector  # (joints,) a pose on the way in which the fingers touch nothing
    auxiliary_rad: Vector | None  # (auxiliary joints,), or None: they stay as they are


class Outcome(NamedTuple):
    """One control step judged by the state that it led to."""

    reward: float
    terms: tuple[float, ...]  # of the reward, in the order of Task.reward_terms
    error: float  # magnitude, in Task.error_unit
    success: bool
    terminated: bool
    counts: tuple[int, ...]  # in the order of Task.counters


class Task(abc.ABC):
    """One task on one robot. :meth:`draw` begins an episode; the rest are functions of its draws, of the states that it
    has observed since then, and of what they are given.

    A joint vector of `RobotState` holds the robot's joints first, then the auxiliary ones.
    """

    reward_terms: ClassVar[tuple[str, ...]]
    counters: ClassVar[tuple[str, ...]] = COUNTERS
    error_unit: ClassVar[str] = "rad"
    moves_about: ClassVar[bool] = False  # the whole robot does: it needs `RobotState.body`, and has to be put back

    def __init__(self, settings: TaskSettings, robot: RobotSettings, variant: Variant) -> None:
        self.name = settings.name
        self.settings = settings
        self.variant = variant
        self.horizon_steps = variant.horizon_steps
        self.control_period_s = variant.control_period_s
        self.random_dynamics = variant.random_dynamics
        if variant.reset_pose_rad:
            check_one_each("reset_pose_rad", variant.reset_pose_rad, robot)
            _check_in_range(variant.reset_pose_rad, robot)
        self.actions = self._action_map(settings, robot)
        self.action_size = self.actions.size
        self.reset_pose_rad = np.array(variant.reset_pose_rad)
        flat, joints = robot.joint_symmetries, len(robot.all_joint_names)
        self._joint_symmetries = [flat[start : start + joints] for start in range(0, len(flat), joints)]

    @property
    def symmetries(self) -> tuple[list[int], list[int]]:
        """Changes of observation and action that turn a true transition into another true one, one row each for every
        symmetry of the robot that is one of the task and its settings: +-(j + 1) at place i means new[i] = +-old[j].
        Empty: none."""
        rows = self._own_symmetries()
        observation = [place for _, changed in rows for place in changed]
        return observation, [place for row, _ in rows for place in self.actions.symmetry(row)]

    @property
    def lost_symmetries(self) -> str:
        """Which symmetries of the robot the task does not have, and by what setting. Empty: it has them all."""
        own = [row for row, _ in self._own_symmetries()]
        lost = [row for row in self._joint_symmetries if row not in own]
        if not lost:
            return ""
        changed = ", ".join(dict.fromkeys(name for row in lost for name in self.broken_by(row)))
        return (
            f"task {self.name} has {len(own)} of the robot's {len(self._joint_symmetries)} symmetries; not the same "
            f"after the others: {changed or 'what the task is about'}"
        )

    @property
    def relabelling(self) -> dict[str, Any]:
        """What else the target could have been, as `sac_learner.sac.settings.RelabellingSettings` has it. Empty:
        nothing that the robot would not notice."""
        return {}

    def observation_symmetry(self, joint_symmetry: list[int]) -> list[int] | None:
        """What a symmetry of all joints (a row of `RobotSettings.joint_symmetries`) does to the observation, in the
        same notation. None: unknown, or the task does not look the same after it."""
        return None

    def broken_by(self, joint_symmetry: list[int]) -> list[str]:
        """Settings of task and robot that are not the same after a symmetry of all joints, so that goals or reward
        would not be either: the task does not have it. Overriding methods add their own."""
        return self.actions.broken_by(joint_symmetry)

    @property
    @abc.abstractmethod
    def observation_size(self) -> int:
        """Length of the observation vector."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator) -> Start:
        """Draw start and target of the next episode."""

    def moved(self, start: Start, auxiliary_rad: Vector) -> Start:
        """The draw just made, but the auxiliary joints start there [rad]."""
        return start._replace(auxiliary_rad=auxiliary_rad)

    @abc.abstractmethod
    def observe(self, state: RobotState, step: int, last_action: npt.NDArray[np.float32]) -> Observation:
        """The observation before control step `step`; `last_action` is the executed one, zeros at step 0."""

    @abc.abstractmethod
    def error(self, state: RobotState, step: int) -> float:
        """Magnitude of the error by which success is judged [error_unit], before control step `step`."""

    @abc.abstractmethod
    def evaluate(self, state: RobotState, step: int, action: npt.NDArray[np.float32]) -> Outcome:
        """Judge the step that led to this state. `step` counts the steps done, so the first one is judged with 1;
        `action` is what was executed in it."""

    def shaped(
        self, action: npt.NDArray[np.float32], last_action: npt.NDArray[np.float32], episode: int
    ) -> npt.NDArray[np.float32]:
        """What training makes of an action that the policy asks for, after `last_action`; episodes count from 0."""
        return action

    def marked_rad(self, step: int) -> float | None:
        """Angle of the simulated object at which a picture marks the target before control step `step`; None: none."""
        return None

    def stays(self, body: BodyState) -> None:  # noqa: B027 - most tasks have nothing to change
        """The next episode begins here, away from the mark, since nobody has put the robot back."""

    def command(self, forward_m_s: float) -> str:
        """Somebody asks for a velocity [m/s]; returns why it is ignored, empty when it is not."""
        return f"task {self.name} follows no commanded velocity"

    def _action_map(self, settings: TaskSettings, robot: RobotSettings) -> ActionMap:
        """How actions become joint goals."""
        variant = self.variant
        return ActionMap(variant.action_centre_rad, variant.action_half_range_rad, robot, self.control_period_s)

    def _own_symmetries(self) -> list[tuple[list[int], list[int]]]:
        """Those of all joints, and what they do to the observation."""
        rows = [row for row in self._joint_symmetries if not self.broken_by(row)]
        return [(row, changed) for row in rows if (changed := self.observation_symmetry(row))]

    @staticmethod
    def _shifted(symmetry: list[int], first: int) -> list[int]:
        """A signed permutation of a part of the observation that begins at place `first`."""
        return [place + first if place > 0 else place - first for place in symmetry]

    def _counts(self, position_rad: Vector, velocity_rad_s: Vector) -> tuple[int, int]:
        return safety_counts(
            position_rad,
            velocity_rad_s,
            self.actions.low_rad,
            self.actions.high_rad,
            self.settings.limit_margin_rad,
            self.settings.high_speed_rad_s,
        )


def _check_in_range(pose_rad: Sequence[float], robot: RobotSettings) -> None:
    """That the reset can bring every joint to its place.

    Raises:
        SettingsError: it cannot.
    """
    joints = zip(robot.joint_names, pose_rad, robot.position_min_rad, robot.position_max_rad, strict=True)
    outside = [f"{name} {rad:g}, range {low:g} to {top:g}" for name, rad, low, top in joints if not low <= rad <= top]
    if outside:
        raise SettingsError(f"task.reset_pose_rad is outside the robot's range [rad]: {'; '.join(outside)}")
