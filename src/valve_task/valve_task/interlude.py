"""What happens between two episodes: rest while motors are hot, new dynamics, the reset, the operator when it fails.

The task begins an interlude by itself after each episode, and when somebody asks for a reset (the action `reset`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from robot_bridge.backend import RobotState

from valve_task.episode import ResetReport
from valve_task.machine_io import Outputs, Phase, Problem, Vector
from valve_task.problems import Problems
from valve_task.reset import ResetPhase
from valve_task.reset_plan import BEFORE_REST
from valve_task.reset_request import ResetOutcome, ResetProgress, ResetRequest
from valve_task.resets import Reset, new_reset
from valve_task.rest import ThermalPause
from valve_task.runner import Commander
from valve_task.settings import TaskNodeSettings
from valve_task.tasks import Task

_ASK_AGAIN_S = 1.0
_AFTER_FAILURE = "Free the robot by hand, its torque is off; then call operator/done: the reset begins anew"
_AFTER_CANCEL = "The reset was cancelled. Call operator/done when the task may go on, or ask for another reset"
_HOLD_UP = "Hold the robot up, its torque is off; then call operator/done: its legs move to the start pose"
_SET_DOWN = "Set the robot on its mark and take your hands off; then call operator/done"
_NO_REPORT = ResetReport(0, 0.0)


class Interlude:
    """Between two episodes. `phase` says what it is doing; :meth:`advance` when it is over.

    Args:
        settings: of the task node.
        task: draws the starts.
        commander: takes the commands.
        outputs: takes questions to simulation and operator, and what is told of requested resets.
        problems: of heat, dynamics and reset.
        clock: steady time [s].
    """

    def __init__(
        self,
        settings: TaskNodeSettings,
        task: Task,
        commander: Commander,
        outputs: Outputs,
        problems: Problems,
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._task, self._commander = settings, task, commander
        self._outputs, self._problems, self._clock = outputs, problems, clock
        self._lockstep = settings.time_base == "lockstep"
        self._rng = np.random.default_rng(settings.seed)
        self._joints = len(settings.robot.all_joint_names)
        self._fingers = np.arange(self._joints) < len(settings.robot.joint_names)
        self.pause = ThermalPause(settings.rest, clock)
        self.phase = Phase.RESETTING
        self.request: ResetRequest | None = None
        self._reset: Reset | None = None
        self._before = _NO_REPORT  # of resets that failed, before the operator helped
        self._asked_s = clock()  # when the simulation was asked for something
        self._question = ""  # to the operator
        self._held_rad: Vector | None = None  # while the operator is waited for; None: torque off
        self._let_go = False  # while the operator is waited for: the command for that has been sent
        self._cancelled = False  # while the operator is waited for: because a reset was cancelled
        self._hot = False  # a rest has begun, and not every motor has cooled down since

    @property
    def report(self) -> ResetReport:
        """Attempts and robot time of the resets of this interlude, after it has begun."""
        attempts, duration_s = self._reset.report
        return ResetReport(self._before.attempts + attempts, self._before.duration_s + duration_s)

    @property
    def progress(self) -> ResetProgress:
        """How far it has come, after it has begun."""
        if self.phase is not Phase.RESETTING:
            return ResetProgress(self.phase.value, self.report.attempts, "", 0.0)
        return self._reset.progress._replace(attempt=self.report.attempts)

    @property
    def needs_operator(self) -> bool:
        """Whether the operator is waited for, perhaps with hands on the robot, and not just because a reset was
        cancelled."""
        return self.phase is Phase.WAITING_FOR_OPERATOR and not self._cancelled

    # Beginning and ending

    def begin(self, request: ResetRequest | None = None) -> None:
        """Begin anew; what was asked of the operator no longer matters."""
        self.request, self._before = request, _NO_REPORT
        self._go_on()

    def leave(self, reason: str) -> None:
        """The robot cannot be commanded any more, for that reason. The next interlude begins from the start."""
        self._ask_operator("")
        self._problems.solve(Problem.HEAT)
        self._end_request(False, reason, np.zeros(0))

    def cancel(self, state: RobotState | None) -> None:
        """Nobody wants the requested reset any more: the robot holds still, without torque if it had none."""
        moving = self.phase in (Phase.RESETTING, Phase.RANDOMISING) and state is not None
        if self.phase is not Phase.WAITING_FOR_OPERATOR:
            self._problems.solve(Problem.HEAT)
            self._wait_for_operator(_AFTER_CANCEL, state.position_rad if moving else None)
            self._cancelled = True
        self._end_request(
            False,
            "cancelled: the task waits for operator/done or another reset",
            np.zeros(0) if state is None else state.position_rad,
        )

    def operator_done(self, state: RobotState) -> tuple[bool, str]:
        """The operator has done what was asked; returns whether it was, and what happens now or is missing."""
        if self.phase is not Phase.WAITING_FOR_OPERATOR:
            return False, f"nothing is asked of the operator: the task is {self.phase.value}"
        goes_on = not self._cancelled  # the reset that asked; one that was cancelled begins anew
        if goes_on and self._reset.wants_put_back:
            if problem := self._reset.held_up(state):
                return False, problem
            self._go_on_resetting()
            return True, "its legs move to the start pose"
        if goes_on and self._reset.wants_set_down:
            self._reset.set_down()
            self._go_on_resetting()
            return True, "the robot stands by itself"
        self._before = self.report
        self._go_on()
        return True, "the reset begins"

    # What drives it

    def advance(self, state: RobotState) -> bool:
        """Answer the newest state; returns whether the robot is at the start of an episode now."""
        over = False
        if self.phase in (Phase.RANDOMISING, Phase.PUTTING_BACK):
            return False
        if state.time_ns == self._commander.answered_ns:
            self._commander.repeat()
        elif self.phase is Phase.WAITING_FOR_OPERATOR:
            self._stand_by(state)
        elif self.phase is Phase.RESTING and not self.pause.over:
            self._rest(state)
        else:
            if self.phase is Phase.RESTING:
                self._hot = False
                self._start_reset()
            over = self._advance_reset(state)
        if self.request is not None:
            self._outputs.reset_progress(self.progress)
        if over:
            self._problems.solve(Problem.RESET)
            self._end_request(True, "", state.position_rad)
        return over

    def randomised(self, success: bool, message: str) -> bool:
        """Answer of simulation/randomise; returns whether the reset may begin."""
        if self.phase is not Phase.RANDOMISING:
            return False
        if not success:
            self._problems.add(Problem.RANDOMISE, f"simulation/randomise failed: {message}; asking again")
            return False
        self._problems.solve(Problem.RANDOMISE)
        self.phase = Phase.RESETTING
        return True

    def was_put_back(self, success: bool, message: str) -> bool:
        """Answer of simulation/put_back; returns whether the reset goes on."""
        if self.phase is not Phase.PUTTING_BACK:
            return False
        if not success:
            self._problems.add(Problem.PUT_BACK, f"simulation/put_back failed: {message}; asking again")
            return False
        self._reset.put_back_done()
        self._go_on_resetting()
        return True

    def watch(self, now_s: float) -> None:
        """Look whether somebody has been silent for too long."""
        if now_s - self._asked_s <= _ASK_AGAIN_S:
            return
        if self.phase is Phase.RANDOMISING:
            self._ask_randomise()
        elif self.phase is Phase.PUTTING_BACK:
            self._ask_put_back()

    # Within

    def _go_on(self) -> None:
        """Rest if need be, then reset."""
        self._ask_operator("")
        self._hot = self.pause.due or (self._hot and not self.pause.over)
        if self._hot:
            self.phase = Phase.RESTING
            self._reset = self._new_reset()
            self._problems.add(Problem.HEAT, self.pause.describe())
        else:
            self._start_reset()

    def _start_reset(self) -> None:
        self._problems.solve(Problem.HEAT)
        self._reset = self._new_reset()
        self.phase = Phase.RESETTING
        if self._task.random_dynamics:
            self._ask_randomise()

    def _new_reset(self) -> Reset:
        settings, start_rad = self._settings, None
        if self.request is not None and len(self.request.start_rad):
            start_rad = np.array(self.request.start_rad)
        return new_reset(self._task, settings.robot, settings.reset, settings.walk_reset, self._rng, start_rad)

    def _ask_randomise(self) -> None:
        """New dynamics before the reset. In real time nobody may offer that: a real robot keeps its own."""
        self._asked_s = self._clock()
        if self._outputs.randomise():
            self.phase = Phase.RANDOMISING
        elif self._lockstep:
            self.phase = Phase.RANDOMISING
            self._problems.add(Problem.RANDOMISE, "the bridge offers no service simulation/randomise yet; asking again")
        else:
            self.phase = Phase.RESETTING

    def _ask_put_back(self) -> None:
        """A simulated robot is put back by the simulation, a real one by the operator."""
        self._asked_s = self._clock()
        if self._outputs.put_back():
            self.phase = Phase.PUTTING_BACK
        elif self._lockstep:
            self.phase = Phase.PUTTING_BACK
            self._problems.add(Problem.PUT_BACK, "the bridge offers no service simulation/put_back yet; asking again")
        else:
            self._wait_for_operator(_HOLD_UP, None)

    def _go_on_resetting(self) -> None:
        self._ask_operator("")
        self._problems.solve(Problem.PUT_BACK)
        self._problems.solve(Problem.RESET)
        self.phase = Phase.RESETTING

    def _advance_reset(self, state: RobotState) -> bool:
        command = self._reset.step(state)
        if self._reset.wants_put_back:
            self._ask_put_back()
            return False
        if self._reset.wants_set_down:
            self._wait_for_operator(_SET_DOWN, command.goals_rad)
            self._stand_by(state)
            return False
        if command is not None:
            self._commander.send(state.time_ns, command.goals_rad, command.torque_on)
            return False
        if self._reset.phase is ResetPhase.DONE:
            return True
        self._wait_for_operator(f"reset failed: {self._reset.failure}. {_AFTER_FAILURE}", None)
        self._stand_by(state)
        return False

    def _rest(self, state: RobotState) -> None:
        """Fingers off the valve first, so that none leans on it, or straight to the start pose, so that the robot does
        not fall from wherever it is; then no torque at all."""
        self._problems.add(Problem.HEAT, self.pause.describe())
        command = self._reset.step(state) if self._first_motion else None
        if command is not None and self._first_motion:
            self._commander.send(state.time_ns, command.goals_rad, command.torque_on)
        else:
            self._commander.send(state.time_ns, state.position_rad, np.zeros(self._joints, dtype=bool))

    @property
    def _first_motion(self) -> bool:
        return self._reset.phase in BEFORE_REST and self._reset.report.attempts == 1

    def _wait_for_operator(self, text: str, held_rad: Vector | None) -> None:
        self.phase = Phase.WAITING_FOR_OPERATOR
        self._held_rad, self._let_go, self._cancelled = held_rad, False, False
        self._problems.add(Problem.RESET, text)
        self._ask_operator(text)

    def _ask_operator(self, text: str) -> None:
        if text != self._question:
            self._question = text
            self._outputs.ask_operator(text)

    def _stand_by(self, state: RobotState) -> None:
        """In real time the bridge must go on hearing from the task; in lockstep time stands still."""
        if self._lockstep and self._let_go:
            return
        self._let_go = True
        if self._held_rad is None:
            self._commander.send(state.time_ns, state.position_rad, np.zeros(self._joints, dtype=bool))
        else:
            self._commander.send(state.time_ns, self._held_rad, self._fingers)

    def _end_request(self, success: bool, message: str, position_rad: Vector) -> None:
        if self.request is not None:
            self.request = None
            attempts, duration_s = self.report
            self._outputs.reset_ended(ResetOutcome(success, message, attempts, duration_s, position_rad))
