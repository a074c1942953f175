"""The reset between episodes, as a state machine that steps once per control period.

It carries out a plan (:mod:`valve_task.reset_plan`), checks every joint, tries again, draws another start, and leaves
the rest to a human.
"""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
from robot_bridge.backend import RobotState
from robot_bridge.robot import RobotSettings

from valve_task.episode import ResetReport
from valve_task.reset_plan import Flags, Motion, ResetPhase, ResetSettings, Vector, make_plan
from valve_task.reset_request import ResetProgress
from valve_task.tasks import Start, Task

# Readings averaged before a joint is judged: the noise of a single one may exceed the tolerance.
_READINGS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class ResetCommand:
    """Goals and torque of all joints, the auxiliary ones included, for one control period."""

    goals_rad: Vector
    torque_on: Flags


class ResetProcedure:
    """One reset. Call :meth:`step` with each new state until it returns None; then look at `phase` and `failure`.

    Args:
        robot: names, ranges, speed limits and the procedure.
        settings: tolerances and times.
        start: pose of the robot and angles of the auxiliary joints; without angles those are left alone.
        control_period_s: time between two calls of :meth:`step`.

    Raises:
        ValueError: a start for another number of joints.
    """

    def __init__(self, robot: RobotSettings, settings: ResetSettings, start: Start, control_period_s: float) -> None:
        self._settings = settings
        self._period_s = control_period_s
        self._names = robot.all_joint_names
        self._low = np.array([*robot.position_min_rad, *robot.auxiliary_position_min_rad])
        self._high = np.array([*robot.position_max_rad, *robot.auxiliary_position_max_rad])
        self._max_move = control_period_s * np.array([*robot.speed_limit_rad_s, *robot.auxiliary_speed_limit_rad_s])
        self._plan = make_plan(robot, settings, start)
        self._readings: collections.deque[tuple[Vector, Vector]] = collections.deque(maxlen=_READINGS)
        self.attempts = 1
        self.steps = 0
        self.failure = ""
        self._begin(self._plan.way)

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to command: `phase` is DONE or FAILED."""
        return self.phase in (ResetPhase.DONE, ResetPhase.FAILED)

    def worst(self, position_rad: Vector) -> tuple[str, float]:
        """The checked joint that is furthest from the start, and its position minus the start [rad]."""
        error = np.where(self._plan.checked, position_rad - self._plan.target_rad, 0.0)
        worst = int(np.abs(error).argmax())
        return self._names[worst], float(error[worst])

    def step(self, state: RobotState) -> ResetCommand | None:
        """The command that answers this state, or None when the reset has ended."""
        self._readings.append((state.position_rad, state.velocity_rad_s))
        self._change_phase()
        if self.finished:
            return None
        self.steps += 1
        self._steps_in_phase += 1
        goals, torque_on = self._motion.goals_rad, self._motion.torque_on
        self._held |= self._plan.own & ~torque_on & self._at_edge(state)
        goals, torque_on = np.where(self._held, state.position_rad, goals), torque_on | self._held
        move = np.clip(goals - state.position_rad, -self._max_move, self._max_move)
        return ResetCommand(np.clip(state.position_rad + move, self._low, self._high), torque_on)

    def _at_edge(self, state: RobotState) -> Flags:
        """Joints that will have left their range at the next state. One that is free and is pushed out of it, or sinks,
        is held at the edge until the phase ends: far outside it must not be switched on any more."""
        ahead_rad = state.position_rad + state.velocity_rad_s * self._period_s
        return (ahead_rad < self._low) | (ahead_rad > self._high)

    def _begin(self, motions: tuple[Motion, ...]) -> None:
        """Carry out these motions; without any it is done."""
        self._ahead = list(motions)
        self._go_on()

    def _go_on(self) -> None:
        if not self._ahead:
            self.phase = ResetPhase.DONE
            return
        self._motion = self._ahead.pop(0)
        self.phase = self._motion.phase
        self._held = np.zeros(len(self._names), dtype=bool)
        self._steps_in_phase = 0
        self._readings.clear()

    def _change_phase(self) -> None:
        if self.finished:
            return
        motion, elapsed_s = self._motion, self._steps_in_phase * self._period_s
        arrived = all(
            self._arrived(motion.goals_rad, joints) or elapsed_s >= longest_s for joints, longest_s in motion.waits
        )
        if not arrived or elapsed_s < motion.lasts_s:
            return
        if motion is self._plan.way[-1]:
            self._verify(last_look=all(elapsed_s >= longest_s for _, longest_s in motion.waits))
        else:
            self._go_on()

    def _arrived(self, goals_rad: Vector, joints: Flags) -> bool:
        """Whether those joints are at their goals, or have stopped short of them, in the mean of the last readings."""
        if len(self._readings) < _READINGS:
            return False
        position = sum(reading[0] for reading in self._readings) / _READINGS
        velocity = sum(reading[1] for reading in self._readings) / _READINGS
        near = np.abs(position - goals_rad) <= self._settings.arrived_rad
        still = np.abs(velocity) <= self._settings.still_rad_s
        return bool((near | still)[joints].all())

    def _verify(self, last_look: bool) -> None:
        """After the motion to the start pose: let go; else, at the last look, try again, or give up."""
        target = self._plan.target_rad
        position = sum(reading[0] for reading in self._readings) / len(self._readings)
        wrong = self._plan.checked & (np.abs(position - target) > self._settings.tolerance_rad)
        if not wrong.any():
            self._begin(self._plan.release)
            return
        if not last_look:
            return
        if self.attempts <= self._settings.retries:
            self.attempts += 1
            self._begin(self._plan.again + self._plan.way)
            return
        self.failure = "; ".join(
            f"joint '{self._names[i]}' is at {position[i]:.3f} rad, expected {target[i]:.3f} "
            f"+- {self._settings.tolerance_rad:.3f} rad"
            for i in np.flatnonzero(wrong)
        )
        self.phase = ResetPhase.FAILED


class EpisodeReset:
    """The reset before an episode: draws a start and carries it out; a start that cannot be reached is drawn anew.

    Args:
        robot, settings: of the procedure.
        task: draws the starts.
        rng: of the draws.
        auxiliary_rad: where the auxiliary joints start, whatever is drawn; None: as drawn.
    """

    wants_put_back = wants_set_down = False  # by somebody else: a hand gets there by itself

    def __init__(
        self,
        robot: RobotSettings,
        settings: ResetSettings,
        task: Task,
        rng: np.random.Generator,
        auxiliary_rad: Vector | None = None,
    ) -> None:
        self._robot, self._settings, self._task, self._rng = robot, settings, task, rng
        self._auxiliary_rad = auxiliary_rad
        self._position_rad: Vector | None = None
        self._procedure = self._drawn()
        self._draws_left = settings.draws - 1
        self._attempts_before = 0
        self._first_s: float | None = None
        self._last_s = 0.0

    @property
    def phase(self) -> ResetPhase:
        return self._procedure.phase

    @property
    def failure(self) -> str:
        """Which joints are wrong and by how much, after a failed reset; otherwise empty."""
        return self._procedure.failure

    @property
    def report(self) -> ResetReport:
        """Attempts and robot time so far."""
        duration_s = 0.0 if self._first_s is None else self._last_s - self._first_s
        return ResetReport(self._attempts_before + self._procedure.attempts, duration_s)

    @property
    def progress(self) -> ResetProgress:
        """How far it has come, after the first step."""
        worst, error_rad = ("", 0.0) if self._position_rad is None else self._procedure.worst(self._position_rad)
        return ResetProgress(self.phase.value, self.report.attempts, worst, error_rad)

    def step(self, state: RobotState) -> ResetCommand | None:
        """The command that answers this state, or None when the reset has ended (`phase` DONE or FAILED)."""
        if self._first_s is None:
            self._first_s = state.time_s
        self._last_s, self._position_rad = state.time_s, state.position_rad
        command = self._procedure.step(state)
        while self.phase is ResetPhase.FAILED and self._draws_left > 0:
            self._draws_left -= 1
            self._attempts_before += self._procedure.attempts
            self._procedure = self._drawn()
            command = self._procedure.step(state)
        return command

    def put_back_done(self) -> None:
        """Never asked for."""

    def held_up(self, state: RobotState) -> str:
        """Never asked for."""
        return ""

    def set_down(self) -> None:
        """Never asked for."""

    def _drawn(self) -> ResetProcedure:
        start = self._task.draw(self._rng)
        if self._auxiliary_rad is not None:
            start = self._task.moved(start, self._auxiliary_rad)
        return ResetProcedure(self._robot, self._settings, start, self._task.control_period_s)
