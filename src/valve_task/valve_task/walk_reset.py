"""The reset of a robot that walks: somebody puts it back on its mark, it stands up and comes to rest there.

In simulation that somebody is the simulation itself; on hardware it is the operator, or nobody while the robot is still
in its lane and on its feet (`walk_reset.in_lane_m`). A robot without torque does not stand, and legs that it lies on
are not moved: the operator lifts it first, and sets it down once its legs are ready.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from robot_bridge.backend import RobotState
from robot_bridge.robot import RobotSettings
from rosac_common.settings import setting

from valve_task.episode import ResetReport
from valve_task.reset import ResetCommand, ResetPhase
from valve_task.reset_request import ResetProgress
from valve_task.tasks import Task


@dataclasses.dataclass(frozen=True)
class WalkResetSettings:
    """The block `walk_reset`. All own figures."""

    in_lane_m: float = setting(
        0.0,
        "a robot on its feet this close to its mark stays where it is, and the next velocity drawn "
        "(MinitaurWalkCommand) leads back: it walks to and fro and needs no hand [m]; 0: it is always put back",
        minimum=0.0,
    )
    upright: float = setting(
        0.95,
        "a standing robot's z axis points upwards by at least this (18 degrees of lean)",
        minimum=0.0,
        maximum=1.0,
    )
    pose_tolerance_rad: float = setting(
        0.2, "held up, its legs are ready when every motor is this close to the start pose [rad]", minimum=0.001
    )
    still_rad_s: float = setting(
        0.5, "it stands when every motor and the body turn slower than this [rad/s]", minimum=0.01
    )
    settle_s: float = setting(0.1, "and have done so for this long [s]", minimum=0.0)
    stand_time_s: float = setting(2.0, "longest time to come to rest [s]", minimum=0.1)
    retries: int = setting(2, "times it is put back again when it does not stand", minimum=0)


class WalkReset:
    """One reset (:class:`valve_task.resets.Reset`).

    Args:
        robot: its speed limit clips the motion; only joints within their ranges are moved.
        settings: limits and times.
        task: its draw is the pose to stand in.
        rng: of the draw.
    """

    def __init__(self, robot: RobotSettings, settings: WalkResetSettings, task: Task, rng: np.random.Generator) -> None:
        self._settings = settings
        self._task, self._period_s = task, task.control_period_s
        self._target = task.draw(rng).pose_rad
        self._names = robot.joint_names
        margin_rad = robot.safety.switch_on_margin_rad
        self._low, self._high = np.array(robot.position_min_rad), np.array(robot.position_max_rad)
        self._lowest, self._highest = self._low - margin_rad, self._high + margin_rad
        self._max_move = self._period_s * np.array(robot.speed_limit_rad_s)
        self._torque_on = np.ones(len(robot.joint_names), dtype=bool)
        self._attempts = 1
        self._steps = self._still_steps = 0
        self._first_s: float | None = None
        self._state: RobotState | None = None
        self.phase = ResetPhase.POSE
        self.failure = ""
        self.wants_put_back = self.wants_set_down = False
        self._held_up = False

    @property
    def report(self) -> ResetReport:
        """Attempts and robot time so far."""
        duration_s = 0.0 if self._state is None else self._state.time_s - self._first_s
        return ResetReport(self._attempts, duration_s)

    @property
    def progress(self) -> ResetProgress:
        """How far it has come, after the first step."""
        if self._state is None:
            return ResetProgress(self.phase.value, self._attempts, "", 0.0)
        errors = np.abs(self._state.position_rad - self._target)
        worst = int(np.argmax(errors))
        return ResetProgress(self.phase.value, self._attempts, self._names[worst], float(errors[worst]))

    def put_back_done(self) -> None:
        """Somebody has put the robot on its mark."""
        self.wants_put_back = False
        self._steps = self._still_steps = 0

    def held_up(self, state: RobotState) -> str:
        """The operator holds the robot in the air, so that its legs can go to the start pose; returns why they cannot
        yet, else empty."""
        outside = (state.position_rad < self._lowest) | (state.position_rad > self._highest)
        if outside.any():
            return "; ".join(
                f"joint '{self._names[i]}' is at {state.position_rad[i]:.2f} rad, its range is {self._low[i]:g} to "
                f"{self._high[i]:g}: move it there by hand, then call operator/done"
                for i in np.flatnonzero(outside)
            )
        self.put_back_done()
        self._held_up = True
        return ""

    def set_down(self) -> None:
        """The robot stands on the ground, and nobody touches it."""
        self.wants_set_down = self._held_up = False
        self._steps = self._still_steps = 0

    def step(self, state: RobotState) -> ResetCommand | None:
        """The command that answers this state, or None when the reset has ended (`phase` DONE or FAILED)."""
        if self._first_s is None:
            self._first_s = state.time_s
            self.wants_put_back = not self._in_lane(state)
            if not self.wants_put_back:
                self._task.stays(state.body)
        self._state = state
        if self._held_up:
            self._judge_legs(state)
        elif not self.wants_put_back:
            self._judge(state)
        if self.phase is not ResetPhase.POSE:
            return None
        move = np.clip(self._target - state.position_rad, -self._max_move, self._max_move)
        return ResetCommand(state.position_rad + move, self._torque_on)

    def _in_lane(self, state: RobotState) -> bool:
        away_m = float(np.linalg.norm(state.body.position_m[:2]))
        return away_m < self._settings.in_lane_m and state.body.upright >= self._settings.upright

    def _judge_legs(self, state: RobotState) -> None:
        """In the air: ready to be set down, or failed when the legs do not come to the start pose."""
        self._steps += 1
        if self.wants_set_down or np.abs(state.position_rad - self._target).max() <= self._settings.pose_tolerance_rad:
            self.wants_set_down = True
        elif self._steps * self._period_s > self._settings.stand_time_s:
            self.phase = ResetPhase.FAILED
            worst = self.progress
            self.failure = (
                f"joint '{worst.worst_joint}' is {worst.worst_error_rad:.2f} rad away from the start pose after "
                f"{self._settings.stand_time_s:g} s in the air, limit {self._settings.pose_tolerance_rad:g}"
            )

    def _judge(self, state: RobotState) -> None:
        """Done once it has stood still for a while; put back again when it does not come to that."""
        settings = self._settings
        fastest = max(np.abs(state.velocity_rad_s).max(), np.abs(state.body.angular_velocity_rad_s).max())
        stands = state.body.upright >= settings.upright and fastest <= settings.still_rad_s
        self._steps += 1
        self._still_steps = self._still_steps + 1 if stands else 0
        if self._still_steps * self._period_s > settings.settle_s:
            self.phase = ResetPhase.DONE
        elif self._steps * self._period_s > settings.stand_time_s:
            self._try_again(state, fastest)

    def _try_again(self, state: RobotState, fastest_rad_s: float) -> None:
        if self._attempts <= self._settings.retries:
            self._attempts += 1
            self.wants_put_back = True
            return
        self.phase = ResetPhase.FAILED
        self.failure = (
            f"the robot does not stand: upright {state.body.upright:.2f}, at least {self._settings.upright:g} needed; "
            f"fastest motion {fastest_rad_s:.2f} rad/s, at most {self._settings.still_rad_s:g}"
        )
