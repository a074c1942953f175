"""The reset between episodes, as a state machine that steps once per control period.

The phases are those of the hardware procedure in google-research/robel, dclaw/scripted_reset.py: take the fingers out
of the way with soft top and bottom joints while the valve's motor turns the valve to its start, go to the start pose,
check every joint, disentangle and try again, ask a human, and at last let the valve go.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import math

import numpy as np
import numpy.typing as npt
from robot_bridge.backend import RobotState
from robot_bridge.robot import RobotSettings
from rosac_common.settings import setting

from valve_task.episode import ResetReport
from valve_task.reset_request import ResetProgress
from valve_task.tasks import Start, Task

Vector = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Readings averaged before a joint is judged: the noise of a single one may exceed the tolerance.
_READINGS = 3


@dataclasses.dataclass(frozen=True)
class ResetSettings:
    """The block `reset`. Defaults from ROBEL (google-research/robel, dclaw/scripted_reset.py) unless said otherwise."""

    tolerance_rad: float = setting(
        math.radians(5.0), "each joint and the valve end within this of the start [rad] (GOOD_ERROR_TOL)", minimum=0.001
    )
    arrived_rad: float = setting(
        math.radians(1.0),
        "a motion ends when this close to its goal [rad] (hardware_robot.py, wait tolerance)",
        minimum=0.0,
    )
    still_rad_s: float = setting(
        0.05, "or when every joint is slower than this [rad/s] (own figure: 0.3 degrees in 0.1 s)", minimum=0.0
    )
    clear_time_s: float = setting(
        1.0, "longest wait for the fingers to clear the valve [s] (MINIMUM_CLAW_RESET_TIME)", minimum=0.0
    )
    pose_time_s: float = setting(
        3.0, "longest motion to the start pose [s] (hardware_robot.py, wait time-out)", minimum=0.0
    )
    valve_time_s: float = setting(10.0, "longest motion of the valve [s] (reset_to_states, timeout=10)", minimum=0.0)
    disentangle_time_s: float = setting(
        0.75, "each of the four disentangling motions [s] (DISENTANGLE_INTERVAL_TIME)", minimum=0.0
    )
    disentangle_top_rad: float = setting(
        math.pi / 4, "top joints go here to free the others, clipped to their range [rad] (TOP_DISENTANGLE_RESET_POS)"
    )
    retries: int = setting(3, "disentangling attempts before a start is given up (MAX_RESET_RETRIES)", minimum=0)
    draws: int = setting(
        3, "starts tried before a human is asked (own figure: 1 in 150 drawn poses has fingers touching)", minimum=1
    )


class ResetPhase(enum.Enum):
    """What the reset is doing."""

    CLEAR = "taking the fingers off the valve"
    SPREAD = "top and bottom joints to the start pose, middle joints still out"
    POSE = "going to the start pose"
    REST = "disentangling: all torque off"
    FREE_TOP = "disentangling: top joints"
    FREE_MIDDLE = "disentangling: middle joints"
    FREE_BOTTOM = "disentangling: bottom joints"
    RELEASE = "letting the valve go"
    DONE = "done"
    FAILED = "failed"


_AFTER = {
    ResetPhase.REST: ResetPhase.FREE_TOP,
    ResetPhase.FREE_TOP: ResetPhase.FREE_MIDDLE,
    ResetPhase.FREE_MIDDLE: ResetPhase.FREE_BOTTOM,
    ResetPhase.FREE_BOTTOM: ResetPhase.CLEAR,
}


@dataclasses.dataclass(frozen=True, slots=True)
class ResetCommand:
    """Goals and torque of all joints, the auxiliary ones included, for one control period."""

    goals_rad: Vector
    torque_on: Flags


class ResetProcedure:
    """One reset. Call :meth:`step` with each new state until it returns None; then look at `phase` and `failure`.

    Args:
        robot: names, ranges and speed limits; its joints come in threes: top, middle, bottom of each finger.
        settings: tolerances and times.
        start: pose of the fingers and angle of the valve; without an angle the valve is left alone.
        control_period_s: time between two calls of :meth:`step`.
    """

    def __init__(self, robot: RobotSettings, settings: ResetSettings, start: Start, control_period_s: float) -> None:
        self._settings = settings
        self._period_s = control_period_s
        self._names = robot.all_joint_names
        self._low = np.array([*robot.position_min_rad, *robot.auxiliary_position_min_rad])
        self._high = np.array([*robot.position_max_rad, *robot.auxiliary_position_max_rad])
        self._max_move = control_period_s * np.array([*robot.speed_limit_rad_s, *robot.auxiliary_speed_limit_rad_s])
        joints, everything = len(robot.joint_names), np.arange(len(self._names))
        self._fingers = everything < joints
        self._top, self._middle, self._bottom = (self._fingers & (everything % 3 == i) for i in range(3))
        self._turned = everything >= joints if start.auxiliary_rad is not None else everything < 0
        self._checked = self._fingers | self._turned
        auxiliary = np.zeros(len(self._names) - joints) if start.auxiliary_rad is None else start.auxiliary_rad
        self._target = np.clip(np.concatenate([start.pose_rad, auxiliary]), self._low, self._high)
        self._clear = np.clip(np.concatenate([start.clear_rad, auxiliary]), self._low, self._high)
        self._spread = np.where(self._middle, self._clear, self._target)
        self._freeing = self._clear.copy()
        self._freeing[self._top] = np.minimum(settings.disentangle_top_rad, self._high[self._top])
        self._readings: collections.deque[tuple[Vector, Vector]] = collections.deque(maxlen=_READINGS)
        self.attempts = 1
        self.steps = 0
        self.failure = ""
        self._enter(ResetPhase.CLEAR)

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to command: `phase` is DONE or FAILED."""
        return self.phase in (ResetPhase.DONE, ResetPhase.FAILED)

    def worst(self, position_rad: Vector) -> tuple[str, float]:
        """The checked joint that is furthest from the start, and its position minus the start [rad]."""
        error = np.where(self._checked, position_rad - self._target, 0.0)
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
        goals, torque_on = self._motion()
        self._held |= self._fingers & ~torque_on & self._at_edge(state)
        goals, torque_on = np.where(self._held, state.position_rad, goals), torque_on | self._held
        move = np.clip(goals - state.position_rad, -self._max_move, self._max_move)
        return ResetCommand(np.clip(state.position_rad + move, self._low, self._high), torque_on)

    def _at_edge(self, state: RobotState) -> Flags:
        """Joints that will have left their range at the next state. One that is free and is pushed out of it, or sinks,
        is held at the edge until the phase ends: far outside it must not be switched on any more."""
        ahead_rad = state.position_rad + state.velocity_rad_s * self._period_s
        return (ahead_rad < self._low) | (ahead_rad > self._high)

    def _enter(self, phase: ResetPhase) -> None:
        self.phase = phase
        self._held = np.zeros(len(self._names), dtype=bool)
        self._steps_in_phase = 0
        self._readings.clear()

    def _change_phase(self) -> None:
        elapsed_s = self._steps_in_phase * self._period_s
        times = self._settings
        if self.phase is ResetPhase.CLEAR:
            clear = self._arrived(self._clear, self._middle) or elapsed_s >= times.clear_time_s
            if clear and (self._arrived(self._clear, self._turned) or elapsed_s >= times.valve_time_s):
                spread_first = not np.array_equal(self._spread, self._target)
                self._enter(ResetPhase.SPREAD if spread_first else ResetPhase.POSE)
        elif self.phase is ResetPhase.SPREAD:
            if self._arrived(self._spread, self._fingers) or elapsed_s >= times.pose_time_s:
                self._enter(ResetPhase.POSE)
        elif self.phase is ResetPhase.POSE:
            if self._arrived(self._target, self._checked) or elapsed_s >= times.pose_time_s:
                self._verify(last_look=elapsed_s >= times.pose_time_s)
        elif self.phase is ResetPhase.RELEASE:
            self._enter(ResetPhase.DONE)
        elif elapsed_s >= times.disentangle_time_s:
            self._enter(_AFTER[self.phase])

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
        """After the motion to the start pose: let go; else, at the last look, disentangle and try again, or give up."""
        position = sum(reading[0] for reading in self._readings) / len(self._readings)
        wrong = self._checked & (np.abs(position - self._target) > self._settings.tolerance_rad)
        if not wrong.any():
            self._enter(ResetPhase.RELEASE)
            return
        if not last_look:
            return
        if self.attempts <= self._settings.retries:
            self.attempts += 1
            self._enter(ResetPhase.REST)
            return
        self.failure = "; ".join(
            f"joint '{self._names[i]}' is at {position[i]:.3f} rad, expected {self._target[i]:.3f} "
            f"+- {self._settings.tolerance_rad:.3f} rad"
            for i in np.flatnonzero(wrong)
        )
        self.phase = ResetPhase.FAILED

    def _motion(self) -> tuple[Vector, Flags]:
        """Goals and torque of the present phase."""
        return {
            ResetPhase.CLEAR: (self._clear, self._middle | self._turned),
            ResetPhase.SPREAD: (self._spread, self._checked),
            ResetPhase.POSE: (self._target, self._checked),
            ResetPhase.REST: (self._freeing, np.zeros_like(self._fingers)),
            ResetPhase.FREE_TOP: (self._freeing, self._top),
            ResetPhase.FREE_MIDDLE: (self._freeing, self._top | self._middle),
            ResetPhase.FREE_BOTTOM: (self._freeing, self._fingers),
            ResetPhase.RELEASE: (self._target, self._fingers),
        }[self.phase]


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
