"""Which reset belongs to a task: the place where robots that stay where they are and those that walk part."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from robot_bridge.backend import RobotState
from robot_bridge.robot import RobotSettings

from valve_task.episode import ResetReport
from valve_task.reset import EpisodeReset, ResetCommand, ResetPhase, ResetSettings, Vector
from valve_task.reset_request import ResetProgress
from valve_task.tasks import Task
from valve_task.walk_reset import WalkReset, WalkResetSettings


class Reset(Protocol):
    """What brings a robot to the start of an episode: step it with each new state until it returns None.

    While `wants_put_back` is true it waits for somebody else: for a simulation that has put the robot on its mark and
    says so with :meth:`put_back_done`, or for an operator who holds it up, :meth:`held_up`, and then sets it down when
    `wants_set_down` is true, :meth:`set_down`.
    """

    wants_put_back: bool
    wants_set_down: bool

    @property
    def phase(self) -> ResetPhase:
        """What it is doing; DONE or FAILED when it has ended."""

    @property
    def failure(self) -> str:
        """Why it failed; else empty."""

    @property
    def report(self) -> ResetReport:
        """Attempts and robot time so far."""

    @property
    def progress(self) -> ResetProgress:
        """How far it has come, after the first step."""

    def step(self, state: RobotState) -> ResetCommand | None:
        """The command that answers this state, or None when the reset has ended."""

    def put_back_done(self) -> None:
        """Somebody has put the robot on its mark."""

    def held_up(self, state: RobotState) -> str:
        """An operator holds the robot up; returns why its legs cannot move yet, else empty."""

    def set_down(self) -> None:
        """The operator has set the robot on its mark."""


def new_reset(
    task: Task,
    robot: RobotSettings,
    settings: ResetSettings,
    walk_settings: WalkResetSettings,
    rng: np.random.Generator,
    auxiliary_rad: Vector | None = None,
) -> Reset:
    """The reset before an episode of this task.

    Args:
        task: draws the start, and says whether the whole robot moves about.
        robot: names, ranges, speed limits and procedure.
        settings: of the reset of a robot that stays where it is; the robot file chooses its procedure.
        walk_settings: of the reset of one that moves about.
        rng: of the draws.
        auxiliary_rad: where the auxiliary joints start, whatever is drawn; None: as drawn.
    """
    if task.moves_about:
        return WalkReset(robot, walk_settings, task, rng)
    return EpisodeReset(robot, settings, task, rng, auxiliary_rad)
