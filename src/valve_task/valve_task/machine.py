"""The step machine: decides at every event what the task does next. The ROS node around it only converts messages.

In lockstep, states drive it (`on_state`, `on_executed`), in real time the control period does (`tick`). An action
becomes a command at once in both. The robot gets commands only in answer to states, and none while the safety gate is
closed; when there is nothing to answer, the machine is silent and the bridge holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from robot_bridge.backend import RobotState
from robot_bridge.causes import Cause
from rosac_common.transition import EndReason

from valve_task.episode import LONGEST_STEP, EpisodeLoop
from valve_task.link import BridgeLink
from valve_task.machine_io import GateView, LearnerView, Outputs, Phase, PolicyAction, Problem, Vector
from valve_task.problems import Problems
from valve_task.replay_history import ReplayHistory
from valve_task.reset import EpisodeReset, ResetPhase
from valve_task.runner import Commander, EpisodeRunner
from valve_task.sender import TransitionSender
from valve_task.settings import TaskNodeSettings
from valve_task.tasks import make_task

_LEARNER_SILENT_S = 5.0  # it repeats its status five times a second
_ASK_AGAIN_S = 1.0
_HELP_RESET = (
    "Free the fingers by hand, then publish true and false on safety/stop and call safety/reset and safety/arm: the "
    "task tries again"
)


class StepMachine:
    """Resets, episodes and everything that can go wrong between them, in both time bases.

    Args:
        settings: of the task node.
        outputs: what it does to the world.
        clock: steady time [s].
        session_id: unique to this life of the task.

    Raises:
        SettingsError: task, robot and teleoperation do not fit together.
    """

    def __init__(
        self, settings: TaskNodeSettings, outputs: Outputs, clock: Callable[[], float], session_id: str
    ) -> None:
        self.settings, self._outputs, self._clock = settings, outputs, clock
        self._lockstep = settings.time_base == "lockstep"
        self.task = make_task(settings.task, settings.robot)
        self.loop = EpisodeLoop(self.task, session_id)
        self.history = ReplayHistory(settings.replay_history, self.task.observation_size, self.task.action_size)
        self.problems = Problems(outputs)
        backpressure = self._lockstep and settings.wait_for_learner
        self._sender = TransitionSender(self.history, outputs.publish_transition, backpressure)
        self._link = BridgeLink(self._lockstep, round(LONGEST_STEP * self.task.control_period_s * 1e9), clock())
        self._commander = Commander(outputs, clock)
        self._runner = EpisodeRunner(
            settings, self.loop, self._link, self._sender, self._commander, outputs, self.problems, clock
        )
        self._reset: EpisodeReset | None = None
        self._rng = np.random.default_rng(settings.seed)
        self._phase = Phase.WAITING_FOR_BRIDGE
        self._tick_s = self._learner_s = self._randomise_s = clock()
        self._stale = False

    @property
    def phase(self) -> Phase:
        """What the task is doing."""
        waits = self._phase is Phase.ACTING and self._sender.blocked
        return Phase.WAITING_FOR_LEARNER if waits else self._phase

    @property
    def reset_phase(self) -> ResetPhase:
        """What the newest reset is doing."""
        return ResetPhase.DONE if self._reset is None else self._reset.phase

    # What comes in

    def on_state(self, state: RobotState) -> None:
        """A joint state. A repeated one (same time) means in lockstep that the bridge waits for a command."""
        if self._link.is_another_time_base(state.time_ns):
            self._runner.interrupt(EndReason.CONNECTION_LOST)
            self._outputs.note("the bridge was restarted: its time has changed")
            self._link.leave_time_base()
            self._rest(Phase.WAITING_FOR_BRIDGE)
        self._link.receive_state(state, self._clock())
        if self._lockstep and self.problems:
            self.problems.solve(Problem.SENSORS)  # in real time its age decides
        if self._phase is Phase.WAITING_FOR_BRIDGE:
            self._get_ready()
        elif self._lockstep:
            self._advance()

    def on_executed(self, time_ns: int, goals_rad: Vector) -> None:
        """Goals of the robot's joints that the bridge executed for the command with that stamp."""
        self._link.receive_executed(time_ns, goals_rad)
        waits = self._phase is Phase.ACTING and self.loop.commanded
        if self._lockstep and waits and self._link.state.time_ns != self._commander.answered_ns:
            self._advance()

    def on_unusable_state(self, text: str) -> None:
        """A message of the bridge that cannot be used: it counts as silence."""
        self.problems.add(Problem.SENSORS, text)

    def on_action(self, action: PolicyAction) -> None:
        """The policy's answer to an observation."""
        if self._phase is Phase.ACTING and not self._stale:
            self._runner.answer(action)
        else:
            self.loop.count("actions_ignored")

    def on_unusable_action(self, text: str) -> None:
        """An action message that cannot be used."""
        self.loop.count("actions_refused")
        self.problems.add(Problem.ACTION, f"{text}; refused, the robot holds")

    def on_gate(self, gate: GateView) -> None:
        """State of the safety gate."""
        self._link.receive_gate(gate, self._clock())
        if self._phase in (Phase.WAITING_FOR_BRIDGE, Phase.STOPPED):
            self._get_ready()
        elif not self._link.gate_is_open and self._phase is not Phase.FINISHED:
            by_operator = Cause.OPERATOR_STOP in gate.causes
            self._runner.interrupt(EndReason.OPERATOR_STOP if by_operator else EndReason.SAFETY_STOP)
            self._get_ready()

    def on_learner(self, learner: LearnerView) -> None:
        """Status of the learner: how far the task may go, or that it is done."""
        self._learner_s = self._clock()
        if learner.failure:
            self.problems.add(Problem.LEARNER, f"the learner has failed: {learner.failure}")
        else:
            self.problems.solve(Problem.LEARNER)
        if learner.finished:
            self._finish()
            return
        waited = self.phase is Phase.WAITING_FOR_LEARNER
        self._sender.learner_says(learner, self._learner_s)
        if self._phase is Phase.FINISHED:
            self._outputs.note("the learner goes on")
            self._get_ready()
        elif waited:
            self._runner.offer()

    def on_joy(self, axes: Sequence[float], buttons: Sequence[int]) -> None:
        """A joystick message."""
        wrong = self._runner.teleop.receive(axes, buttons, self._clock())
        if wrong:
            self.problems.add(Problem.JOYSTICK, f"{wrong}: set teleop.* to the joystick's layout")
        else:
            self.problems.solve(Problem.JOYSTICK)

    def on_randomised(self, success: bool, message: str) -> None:
        """Answer of simulation/randomise."""
        if self._phase is not Phase.RANDOMISING:
            return
        if not success:
            self.problems.add(Problem.RANDOMISE, f"simulation/randomise failed: {message}; asking again")
            return
        self.problems.solve(Problem.RANDOMISE)
        self._phase = Phase.RESETTING
        if self._lockstep:
            self._advance()

    def tick(self) -> None:
        """Let time pass: call it every control period in real time, several times a second in lockstep."""
        now_s = self._clock()
        periods = round((now_s - self._tick_s) / self.task.control_period_s)
        self._tick_s = now_s
        self._watch(now_s)
        if self._lockstep:
            return
        if self._phase is Phase.ACTING:
            self._runner.miss_periods(max(0, periods - 1))
        if self._phase in (Phase.RESETTING, Phase.ACTING) and self._is_fresh(now_s):
            self._advance()

    # Phases

    def _rest(self, phase: Phase) -> None:
        """No commands from here on, and none of before is repeated."""
        self._phase = phase
        self._commander.forget()

    def _get_ready(self) -> None:
        """Without an episode: start the next reset, or say what it waits for."""
        if self._link.state is None or self._link.gate is None:
            self._rest(Phase.WAITING_FOR_BRIDGE)
            return
        self.problems.solve(Problem.BRIDGE)
        if not self._link.gate_is_open:
            self._rest(Phase.STOPPED)
            self.problems.add(Problem.GATE, _closed_because(self._link.gate))
            return
        self.problems.solve(Problem.GATE)
        self._start_reset()
        if self._lockstep:
            self._advance()

    def _start_reset(self) -> None:
        self._reset = EpisodeReset(self.settings.robot, self.settings.reset, self.task, self._rng)
        self._phase = Phase.RESETTING
        if self.task.random_dynamics:
            self._ask_randomise()

    def _ask_randomise(self) -> None:
        """New dynamics before the reset. In real time nobody may offer that: a real robot keeps its own."""
        self._randomise_s = self._clock()
        if self._outputs.randomise():
            self._phase = Phase.RANDOMISING
        elif self._lockstep:
            self._phase = Phase.RANDOMISING
            self.problems.add(Problem.RANDOMISE, "the bridge offers no service simulation/randomise yet; asking again")

    def _advance(self) -> None:
        """Answer the newest state as the phase wants it. The state that ends an episode is the reset's first."""
        if self._phase is Phase.ACTING:
            self._runner.advance()
            self._continue()
        if self._phase is Phase.RESETTING:
            self._advance_reset()

    def _continue(self) -> None:
        """After an episode comes a reset."""
        if self._phase is Phase.ACTING and not self.loop.running:
            self._start_reset()

    def _advance_reset(self) -> None:
        state = self._link.state
        if state.time_ns == self._commander.answered_ns:
            self._commander.repeat()
            return
        command = self._reset.step(state)
        if command is not None:
            self._commander.send(state.time_ns, command.goals_rad, command.torque_on)
        elif self._reset.phase is ResetPhase.FAILED:
            self._rest(Phase.RESET_FAILED)
            self.problems.add(Problem.RESET, f"reset failed: {self._reset.failure}. {_HELP_RESET}")
        else:
            self.problems.solve(Problem.RESET)
            self._phase = Phase.ACTING
            self._runner.begin(self._reset.report)

    def _finish(self) -> None:
        if self._phase is not Phase.FINISHED:
            self._outputs.note("the learner has finished: the task is idle, the robot holds")
            self.loop.abandon()
            self._rest(Phase.FINISHED)

    # Those who fall silent

    def _is_fresh(self, now_s: float) -> bool:
        """Real time: whether the newest state may be acted on. A stale one ends the episode once a fresh one is there
        again, so that it is known whether a sensor or the whole bridge was silent."""
        age_s, limit_s = self._link.silence_s(now_s), self.settings.max_observation_age_s
        if age_s > limit_s:
            self._stale = True
            self._runner.miss_periods(1)
            self.problems.add(
                Problem.SENSORS, f"the joint state is {age_s:.3f} s old, limit {limit_s:g} s; no commands"
            )
            return False
        self.problems.solve(Problem.SENSORS)
        if self._stale:
            self._stale = False
            if self.loop.started:
                self._runner.interrupt(EndReason.STALE_SENSOR)
                self._continue()
        return True

    def _watch(self, now_s: float) -> None:
        silence_s, limit_s = self._link.silence_s(now_s), self.settings.state_timeout_s
        unanswered_s = now_s - self._commander.sent_s if self.loop.commanded else 0.0
        if self._phase is not Phase.FINISHED and silence_s > limit_s:
            self._lose_bridge(f"no joint_states for {silence_s:.1f} s")
        elif self._phase is Phase.WAITING_FOR_BRIDGE and self._link.state is not None:
            self.problems.add(Problem.BRIDGE, "joint_states come, but no safety/state: does another node publish them?")
        elif self._phase is Phase.ACTING and self._lockstep and unanswered_s > limit_s:
            self._lose_bridge(f"no command executed for {unanswered_s:.1f} s")
        elif self._phase is Phase.ACTING:
            self._runner.watch(now_s)
            self._continue()
            if self._lockstep and self._phase is Phase.RESETTING:
                self._advance()
        elif self._phase is Phase.RANDOMISING and now_s - self._randomise_s > _ASK_AGAIN_S:
            self._ask_randomise()
        if self.settings.wait_for_learner and now_s - self._learner_s > _LEARNER_SILENT_S:
            self.problems.add(Problem.LEARNER, "no learner/status: start the learner")

    def _lose_bridge(self, text: str) -> None:
        self.problems.add(Problem.BRIDGE, f"{text}: start the bridge, or look at its log")
        self._runner.interrupt(EndReason.CONNECTION_LOST)
        self._rest(Phase.WAITING_FOR_BRIDGE)
        self._link.forget()


def _closed_because(gate: GateView) -> str:
    if not gate.causes:
        return "the robot is disarmed: call safety/arm"
    causes = "; ".join(f"{cause} ({detail})" for cause, detail in zip(gate.causes, gate.details, strict=False))
    return f"the safety gate has stopped the robot: {causes}. Clear the cause, call safety/reset, then safety/arm"
