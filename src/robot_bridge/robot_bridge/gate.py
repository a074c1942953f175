"""The safety gate: every command passes it on its way to the motors. It knows no robot, no ROS and no clock.

States (SafetyState.msg): disarmed - torque off; armed - checked commands move the robot; hold - keeps its last goals
until the next good command; stopped - torque off (a moment later in a controlled stop), latched until every cause has
cleared, then reset, then armed again. `causes.RULES` says which cause does what.
"""

from __future__ import annotations

import math

import numpy as np

from robot_bridge.backend import Flags, Vector
from robot_bridge.causes import RULES, Cause, Reaction
from robot_bridge.gate_types import CauseReport, Command, GateReport, GateResult, GateState, Verdict
from robot_bridge.robot import RobotSettings

# Part of the control period after which a command counts as on time: the clocks of two processes (own figure).
_ON_TIME = 0.9


class SafetyGate:
    """Checks commands and keeps the state. Times are seconds of one steady clock, given by the caller.

    Args:
        robot: names, ranges, speed limits and the block `safety`.
        command_timeout_s: hold after this time without a good command.
        command_age_limit_s: refuse commands that answer an older state.
    """

    def __init__(self, robot: RobotSettings, command_timeout_s: float, command_age_limit_s: float) -> None:
        self._limits = robot.safety
        self._timeout_s = command_timeout_s
        self.command_age_limit_s = command_age_limit_s
        self._names = robot.all_joint_names
        self._required = len(robot.joint_names)
        self._low = np.array([*robot.position_min_rad, *robot.auxiliary_position_min_rad])
        self._high = np.array([*robot.position_max_rad, *robot.auxiliary_position_max_rad])
        self._speed = np.array([*robot.speed_limit_rad_s, *robot.auxiliary_speed_limit_rad_s])
        self._switch_on_margin_rad = robot.safety.switch_on_margin_rad
        self._legs = robot.legs
        self._order: tuple[list[str] | None, list[int]] = (None, [])  # names of the last command, their places
        self._causes: dict[Cause, CauseReport] = {}
        self._last_good_s = 0.0
        self._refused_in_a_row = 0
        self._stop_time_s = robot.safety.stop_time_s
        self._release_s: float | None = None  # when a controlled stop ends and torque goes off
        self.state = GateState.DISARMED
        self.goals_rad = np.zeros(len(self._names))
        self.torque_on = np.zeros(len(self._names), dtype=bool)
        self.accepted = self.limited = self.refused = 0
        self.last_detail = ""  # of the last command that was limited or refused
        self.revision = 0  # grows with every change of state or causes
        self.orders = 0  # grows with every change of goals or torque that is not a command's

    def arm(self, measured_rad: Vector, now_s: float) -> tuple[bool, str]:
        """Torque on at the present position, commands pass from now on. The auxiliary joints stay free.

        Args:
            measured_rad: positions of all joints [rad].
            now_s: time.

        Returns:
            Whether it is armed now, and why not or what next.
        """
        if self.state is GateState.STOPPED:
            return False, f"stopped by {self._names_of_causes()}: clear the cause, call safety/reset, then safety/arm"
        if self.state is not GateState.DISARMED:
            return True, f"already {self.state.name.lower()}"
        if not np.isfinite(measured_rad).all():
            return False, f"the measured positions are not finite: {measured_rad.tolist()}; check the robot"
        self.goals_rad = measured_rad.copy()
        self.torque_on = np.arange(len(self._names)) < self._required
        self._release_s = None
        self._last_good_s = now_s
        self._refused_in_a_row = 0
        self.orders += 1
        self._enter(GateState.ARMED)
        return True, "armed: commands move the robot"

    def disarm(self) -> None:
        """Torque off. A latched stop stays latched."""
        self._let_go()
        if self.state is not GateState.STOPPED:
            self._causes.clear()
            self._enter(GateState.DISARMED)

    def reset(self) -> tuple[bool, str]:
        """Unlatch a stop whose causes have all cleared. The robot is disarmed afterwards and does not move; with that a
        controlled stop ends that is not over yet.

        Returns:
            Whether the stop is unlatched, and why not or what next.
        """
        if self.state is not GateState.STOPPED:
            return False, f"not stopped but {self.state.name.lower()}: there is nothing to reset"
        active = [f"{report.cause} ({report.detail})" for report in self._causes.values() if report.active]
        if active:
            return False, f"still active: {'; '.join(active)}"
        if self.torque_on.any():
            self._let_go()
        self._causes.clear()
        self._enter(GateState.DISARMED)
        return True, "disarmed: call safety/arm to move again"

    def stop(self, cause: Cause, active: bool, detail: str, hold_rad: Vector | None = None, now_s: float = 0.0) -> None:
        """A source of stop speaks: active latches the stop, inactive only notes that this cause has cleared.

        Args:
            cause: which source.
            active: whether the cause is present.
            detail: value, limit and remedy.
            hold_rad: what a controlled stop holds for a moment [rad]: where all joints are now or, where that is not
                known, the goals in force; without them torque goes off at once.
            now_s: time.
        """
        if not active:
            known = self._causes.get(cause)
            if known is not None and known.active:
                self._causes[cause] = known._replace(active=False)
                self.revision += 1
            return
        if self.state is GateState.STOPPED and self.is_active(cause):
            return  # what was said first stays
        moves = self.state in (GateState.ARMED, GateState.HOLD)
        if self.state is not GateState.STOPPED:
            self._causes.clear()
        self._causes[cause] = CauseReport(cause, True, detail)
        if RULES[cause].reaction is not Reaction.CONTROLLED_STOP or hold_rad is None:
            self._let_go()
        elif moves:
            self.goals_rad = hold_rad.copy()
            # One outside its range cannot be held there: its servo would pull it back.
            self.torque_on = self.torque_on & (self._outside(hold_rad) <= self._switch_on_margin_rad)
            self._release_s = now_s + self._stop_time_s
            self.orders += 1
        self._enter(GateState.STOPPED)

    def count_anew(self, turned_rad: Vector) -> None:
        """Joints show so much less from this reading on, whole turns: their goals in force are less, too."""
        self.goals_rad = self.goals_rad - turned_rad

    def hold(self, cause: Cause, detail: str) -> None:
        """Keep the last goals until the next good command."""
        if self.state is GateState.ARMED:
            self._hold(cause, detail)

    def _let_go(self) -> None:
        self.torque_on = np.zeros_like(self.torque_on)
        self._release_s = None
        self.orders += 1

    def tick(self, now_s: float) -> None:
        """Let time pass: hold when commands have ceased, torque off at the end of a controlled stop."""
        if self._release_s is not None and now_s >= self._release_s:
            self._let_go()
            self.revision += 1
        if self.state is GateState.ARMED and now_s - self._last_good_s > self._timeout_s:
            silence_s = now_s - self._last_good_s
            silence = f"no good command for {silence_s:.3f} s, limit {self._timeout_s:g} s"
            detail = f"{silence}: start the task, or look at its log"
            self._hold(Cause.COMMAND_TIMEOUT, detail)

    def check(
        self,
        command: Command,
        measured_rad: Vector,
        interval_s: float,
        now_s: float,
        pace_s: float = math.inf,
    ) -> GateResult:
        """Judge one command.

        Args:
            command: what came in.
            measured_rad: positions of all joints in the state that the command answers [rad].
            interval_s: time over which the speed limit holds: the control period.
            now_s: time.
            pace_s: time that this command may use; well below interval_s, commands come faster than they should, and
                goals move no further in it than the speed limit allows.

        Returns:
            The goals and torques for the motors; for a refused command those before it.
        """
        if self.state in (GateState.DISARMED, GateState.STOPPED):
            remedy = "safety/arm" if self.state is GateState.DISARMED else "safety/reset, then safety/arm"
            return self.refuse(None, f"the robot is {self.state.name.lower()}: call {remedy}")
        if command.age_s > self.command_age_limit_s:
            return self.refuse(
                Cause.STALE_COMMAND,
                f"it answers a state {command.age_s:.3f} s old, limit {self.command_age_limit_s:g} s: too slow?",
            )
        problem = self._problem(command)
        if problem:
            return self.refuse(Cause.BAD_COMMAND, problem)
        goals, torque = self._by_joint(command, measured_rad)
        if problem := self._leaps(torque, measured_rad):
            self.stop(Cause.JOINT_RANGE, True, problem, self.goals_rad, now_s)  # measured a while ago, maybe
            return self.refuse(None, problem)
        if problem := self._leaves_workspace(goals, measured_rad):
            return self.refuse(Cause.BAD_COMMAND, problem)
        goals, detail = self._limit(goals, torque, measured_rad, interval_s, pace_s)
        if detail and (problem := self._leaves_workspace(goals, measured_rad)):  # clamping each joint bends a leg
            return self.refuse(Cause.BAD_COMMAND, problem)
        return self._pass(goals, torque, detail, now_s)

    def refuse(self, cause: Cause | None, detail: str) -> GateResult:
        """Refuse a command; hold when it is one too many in a row. No cause: the gate's own state is the reason."""
        self.refused += 1
        self.last_detail = f"command refused: {detail}"
        if cause is not None:
            self._refused_in_a_row += 1
            if self._refused_in_a_row >= self._limits.bad_command_limit and self.state is GateState.ARMED:
                self._hold(cause, f"{self._refused_in_a_row} commands in a row refused, the last one because {detail}")
        return GateResult(Verdict.REFUSED, self.goals_rad, self.torque_on, detail)

    @property
    def may_move(self) -> bool:
        """Whether a command could move a joint, or one is under torque: limp joints of an armed robot count, too."""
        return self.state in (GateState.ARMED, GateState.HOLD) or bool(self.torque_on.any())

    @property
    def judged(self) -> Flags:
        """Joints whose measured values count: those under torque; while stopped, all of the robot's own."""
        if self.state is GateState.STOPPED:
            return np.arange(len(self._names)) < self._required
        return self.torque_on

    def silence_s(self, now_s: float) -> float:
        """Time since the last good command while the robot may move; 0 while it may not."""
        return now_s - self._last_good_s if self.state in (GateState.ARMED, GateState.HOLD) else 0.0

    def is_latched(self, cause: Cause) -> bool:
        """Whether the gate was stopped by that cause, which may have cleared since."""
        return self.state is GateState.STOPPED and cause in self._causes

    def is_active(self, cause: Cause) -> bool:
        """Whether that cause is present now."""
        return cause in self._causes and self._causes[cause].active

    def report(self) -> GateReport:
        """State, causes and counts."""
        return GateReport(self.state, tuple(self._causes.values()), self.accepted, self.limited, self.refused)

    def _pass(self, goals: Vector, torque: Flags, detail: str, now_s: float) -> GateResult:
        self.goals_rad, self.torque_on = goals, torque
        self._last_good_s = now_s
        self._refused_in_a_row = 0
        if self.state is GateState.HOLD:
            self._causes.clear()
            self._enter(GateState.ARMED)
        if not detail:
            self.accepted += 1
            return GateResult(Verdict.ACCEPTED, goals, torque, "")
        self.limited += 1
        self.last_detail = f"command limited: {detail}"
        return GateResult(Verdict.LIMITED, goals, torque, detail)

    def _problem(self, command: Command) -> str:
        """Why a command is malformed; empty when it is not. Remembers the order of its names."""
        names = command.names
        if names != self._order[0]:
            unknown = [name for name in names if name not in self._names]
            missing = [name for name in self._names[: self._required] if name not in names]
            if unknown or missing or len(set(names)) != len(names):
                return f"unknown joints {unknown}, missing joints {missing}, of {list(names)}; known: {self._names}"
            self._order = (list(names), [self._names.index(name) for name in names])
        if len(command.position_rad) != len(names):
            return f"{len(command.position_rad)} positions for {len(names)} names"
        if not np.isfinite(command.position_rad).all():
            return f"a position is not finite: {dict(zip(names, command.position_rad, strict=True))}"
        if len(command.effort) not in (0, len(names)):
            return f"{len(command.effort)} efforts for {len(names)} names; give none, or one each"
        if any(effort not in (0.0, 1.0) for effort in command.effort):
            return f"an effort is neither 1.0 (torque on) nor 0.0 (torque off): {list(command.effort)}"
        return ""

    def _by_joint(self, command: Command, measured_rad: Vector) -> tuple[Vector, Flags]:
        """Goals and torques in the order of the joints. A joint without torque has its own position as goal."""
        order = self._order[1]
        goals, torque = measured_rad.copy(), np.zeros(len(self._names), dtype=bool)
        torque[order] = True if len(command.effort) == 0 else np.asarray(command.effort) != 0.0
        goals[order] = command.position_rad
        return (goals if torque.all() else np.where(torque, goals, measured_rad)), torque

    def _leaps(self, torque: Flags, measured_rad: Vector) -> str:
        """Why a joint must not be switched on where it stands; empty: it may. Auxiliary joints may turn
        on and on: their servos count within one turn."""
        outside = self._outside(measured_rad)
        leaps = (torque & ~self.torque_on & (outside > self._switch_on_margin_rad))[: self._required]
        if not leaps.any():
            return ""
        i = int(np.argmax(leaps))
        return (
            f"joint '{self._names[i]}' is to be switched on at {measured_rad[i]:.3f} rad, {outside[i]:.3f} outside its "
            f"range {self._low[i]:g} .. {self._high[i]:g}, limit {self._switch_on_margin_rad:g}: its servo would pull "
            "it back at once; move it back by hand"
        )

    def _outside(self, measured_rad: Vector) -> Vector:
        """How far each joint is outside its range [rad]; negative inside."""
        return np.maximum(self._low - measured_rad, measured_rad - self._high)

    def _leaves_workspace(self, goals: Vector, measured_rad: Vector) -> str:
        """Why a command leads out of the legs' workspace; empty: it does not, or leads back into it."""
        if self._legs is None:
            return ""
        return self._legs.problem(goals[: self._required], measured_rad[: self._required])

    def _limit(
        self, goals: Vector, torque: Flags, measured: Vector, interval_s: float, pace_s: float
    ) -> tuple[Vector, str]:
        """Clamp to what the speed limit allows, then to range, out of which a servo takes no goal: a joint that was
        pushed out comes back as the servo pulls it. An auxiliary joint may have been turned far out of it by hand, and
        its servo counts on: it comes back no faster than others move."""
        move, low, high = self._speed * interval_s, self._low, self._high
        turned = np.arange(len(move)) >= self._required
        low = np.where(turned, np.minimum(low, measured + move), low)
        high = np.where(turned, np.maximum(high, measured - move), high)
        allowed = np.minimum(np.maximum(goals, measured - move), measured + move)
        if pace_s < _ON_TIME * interval_s:
            before, step = np.where(self.torque_on, self.goals_rad, measured), self._speed * pace_s
            allowed = np.minimum(np.maximum(allowed, before - step), before + step)
        allowed = np.minimum(np.maximum(allowed, low), high)
        excess = np.abs(goals - allowed)
        beyond = torque & (excess > self._limits.goal_tolerance_rad)
        if not beyond.any():
            return goals, ""
        worst = int(np.argmax(np.where(beyond, excess, 0.0)))
        detail = (
            f"joint '{self._names[worst]}' from {measured[worst]:.4f} to {goals[worst]:.4f} rad became "
            f"{allowed[worst]:.4f}: range {self._low[worst]:g} .. {self._high[worst]:g} rad, "
            f"at most {move[worst]:.4f} rad in {interval_s:g} s"
        )
        return np.where(beyond, allowed, goals), detail

    def _hold(self, cause: Cause, detail: str) -> None:
        self._causes = {cause: CauseReport(cause, True, detail)}
        self._enter(GateState.HOLD)

    def _enter(self, state: GateState) -> None:
        self.state = state
        self.revision += 1

    def _names_of_causes(self) -> str:
        return ", ".join(self._causes)
