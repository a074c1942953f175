"""The step machine: decides at every event what the task does next. The ROS node around it only converts messages.

In lockstep, states drive it (`on_state`, `on_executed`), in real time the control period does (`tick`). An action
becomes a command at once in both. The robot gets commands only in answer to states, and none while the safety gate is
closed; when there is nothing to answer, the machine is silent and the bridge holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from robot_bridge.backend import RobotState
from rosac_common.transition import EndReason

from valve_task.commanded_velocity import CommandedVelocity
from valve_task.confirmation import Confirmation
from valve_task.episode import LONGEST_STEP, EpisodeLoop
from valve_task.interlude import Interlude
from valve_task.link import BridgeLink
from valve_task.machine_io import ExecutedView, GateView, HealthView, LearnerView, Outputs, Phase, PolicyAction, Problem
from valve_task.problems import Problems
from valve_task.replay_history import ReplayHistory
from valve_task.reset_request import ResetProgress, ResetRequest
from valve_task.runner import Commander, EpisodeRunner
from valve_task.sender import TransitionSender
from valve_task.settings import TaskNodeSettings
from valve_task.tasks import make_task

_SILENT_BRIDGE = "the bridge is silent: start it, or look at its log"
_LEARNER_SILENT_S = 5.0  # it repeats its status five times a second


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
        self.loop = EpisodeLoop(self.task, session_id, settings.wait_for_learner)
        self.problems = Problems(outputs)
        longest_step_ns = round(LONGEST_STEP * self.task.control_period_s * 1e9)
        self._link = BridgeLink(self._lockstep, self.task.moves_about, longest_step_ns, clock())
        sizes = (self.task.observation_size, self.task.action_size, len(self._link.sensors))
        self.history = ReplayHistory(settings.replay_history, *sizes)
        backpressure = self._lockstep and settings.wait_for_learner
        confirmation = None  # a simulation measures whatever happens
        if not self._lockstep:
            confirmation = Confirmation(settings.robot, self.task.control_period_s, self.task.moves_about)
        self._sender = TransitionSender(self.history, outputs.publish_transition, backpressure, confirmation)
        self._commander = Commander(outputs, clock)
        self._runner = EpisodeRunner(
            settings, self.loop, self._link, self._sender, self._commander, outputs, self.problems, clock
        )
        self._interlude = Interlude(settings, self.task, self._commander, outputs, self.problems, clock)
        self._phase = Phase.WAITING_FOR_BRIDGE
        self._tick_s = self._learner_s = clock()
        self._velocity = CommandedVelocity(self.task, settings.velocity_timeout_s)
        self._stale = self._learner_finished = False

    @property
    def phase(self) -> Phase:
        """What the task is doing."""
        if self._phase is Phase.PREPARING:
            return self._interlude.phase
        waits = self._phase is Phase.ACTING and self._sender.blocked
        return Phase.WAITING_FOR_LEARNER if waits else self._phase

    @property
    def voided(self) -> int:
        """Transitions that were not stored because nobody knows whether what they hold was measured."""
        return self._sender.voided

    @property
    def reset_progress(self) -> ResetProgress | None:
        """How far the robot is on its way to the next start; None: it is not on its way."""
        return self._interlude.progress if self._phase is Phase.PREPARING else None

    # What comes in

    def on_state(self, state: RobotState) -> None:
        """A joint state. A repeated one (same time) means in lockstep that the bridge waits for a command."""
        if self._link.is_another_time_base(state.time_ns):
            self._runner.bridge_lost()
            self._outputs.note("the bridge was restarted: its time has changed")
            self._link.leave_time_base()
            self._wait_for_bridge("the bridge was restarted")
        self._link.receive_state(state, self._clock())
        self._runner.read(state)
        if self._lockstep and self.problems:
            self.problems.solve(Problem.SENSORS)  # in real time its age decides
        if self._phase is Phase.WAITING_FOR_BRIDGE:
            self._get_ready()
        elif self._lockstep:
            self._advance()

    def on_executed(self, executed: ExecutedView) -> None:
        """What the motors hold, by the bridge."""
        self._link.receive_executed(executed)
        waits = self._phase is Phase.ACTING and self.loop.commanded
        if self._lockstep and waits and self._link.state.time_ns != self._commander.answered_ns:
            self._advance()

    def on_unusable_state(self, text: str) -> None:
        """A message of the bridge that cannot be used: it counts as silence."""
        self.problems.add(Problem.SENSORS, text)

    def on_bad_body(self, text: str) -> None:
        """A reading of the body that cannot be trusted. After a jump of the odometry, what was counted since the start
        of the episode is worth nothing, so it ends with the newest good state."""
        self.problems.add(Problem.SENSORS, text)
        self._end_for_sensors()

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
            self._runner.found_blind(gate)  # the robot may have been stopped before that was found out
            self._get_ready()
        elif not self._link.gate_is_open and self._phase is not Phase.FINISHED:
            self._runner.gate_closed(gate)
            self._get_ready()

    def on_learner(self, learner: LearnerView) -> None:
        """Status of the learner: how far the task may go, or that it is done."""
        self._learner_s, self._learner_finished = self._clock(), learner.finished
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
        if self._phase is Phase.PREPARING and self._interlude.randomised(success, message) and self._lockstep:
            self._advance()

    def on_put_back(self, success: bool, message: str) -> None:
        """Answer of simulation/put_back."""
        if self._phase is Phase.PREPARING and self._interlude.was_put_back(success, message) and self._lockstep:
            self._advance()

    def on_commanded_velocity(self, forward_m_s: float) -> str:
        """Somebody asks a walking robot for a velocity; returns why that is ignored, empty when it is not."""
        return self._velocity.ask(forward_m_s, self._clock())

    def on_health(self, health: HealthView) -> None:
        """Temperatures of the motors."""
        self._interlude.pause.receive(health)
        self.problems.solve(Problem.HEALTH)

    def on_unusable_health(self, text: str) -> None:
        """Temperatures that cannot be used count as silence."""
        self.problems.add(Problem.HEALTH, text)

    def request_reset(self, request: ResetRequest) -> str:
        """Somebody asks for a reset; returns why it is refused, empty when it has begun."""
        refusal = request.problem(self.settings.robot) or self._busy(request.interrupt)
        if not refusal:
            self.problems.solve(Problem.BRIDGE, Problem.GATE)
            self._runner.interrupt(EndReason.OPERATOR_STOP)
            self._prepare(request)
        return refusal

    def cancel_reset(self) -> None:
        """Nobody wants the reset any more that was asked for."""
        if self._phase is Phase.PREPARING and self._interlude.request is not None:
            self._interlude.cancel(self._link.state)

    def operator_done(self) -> tuple[bool, str]:
        """The operator has done what was asked; returns whether anything was, and what happens now."""
        if self._phase is not Phase.PREPARING:
            return False, f"nothing is asked of the operator: the task is {self.phase.value}"
        accepted, message = self._interlude.operator_done(self._link.state)
        if accepted and self._lockstep:
            self._advance()
        return accepted, message

    def tick(self) -> None:
        """Let time pass: call it every control period in real time, several times a second in lockstep."""
        now_s = self._clock()
        periods = round((now_s - self._tick_s) / self.task.control_period_s)
        self._tick_s = now_s
        self._watch(now_s)
        if forgotten := self._velocity.watch(now_s):
            self._outputs.note(forgotten)
        if self._lockstep:
            return
        if self._phase is Phase.ACTING:
            self._runner.miss_periods(max(0, periods - 1))
        if self._phase in (Phase.PREPARING, Phase.ACTING) and self._is_fresh(now_s):
            self._advance()

    # Phases

    def _leave(self, phase: Phase, reason: str) -> None:
        """No commands from here on, and none of before is repeated."""
        self._phase = phase
        self._commander.forget()
        self._interlude.leave(reason)

    def _wait_for_bridge(self, reason: str) -> None:
        self._leave(Phase.WAITING_FOR_BRIDGE, reason)
        self._interlude.pause.forget()
        self.problems.solve(Problem.HEALTH)

    def _get_ready(self) -> None:
        """Without an episode: prepare the next one, or say what it waits for."""
        if self._link.state is None or self._link.gate is None:
            self._leave(Phase.WAITING_FOR_BRIDGE, _SILENT_BRIDGE)
            return
        self.problems.solve(Problem.BRIDGE)
        if not self._link.gate_is_open:
            self._leave(Phase.STOPPED, self._link.gate.closed_because)
            self.problems.add(Problem.GATE, self._link.gate.closed_because)
            return
        self.problems.solve(Problem.GATE)
        self._runner.gate_opened()
        if self._learner_finished:
            self._finish()
        else:
            self._prepare()

    def _busy(self, interrupt: bool) -> str:
        """Why no reset can begin now that somebody asks for one; empty when it can."""
        preparing = self._phase is Phase.PREPARING
        if self._link.state is None or self._link.gate is None:
            return _SILENT_BRIDGE
        if not self._link.gate_is_open:
            return self._link.gate.closed_because
        if preparing and self._interlude.needs_operator:
            return "the operator is asked to help (operator/request): do that and call operator/done first"
        if preparing and self._interlude.request is not None:
            return "another reset that was asked for is under way: wait for its end, or cancel it"
        if self.loop.started and not interrupt:
            return f"episode {self.loop.record.episode} is running: ask again with interrupt, or between two episodes"
        return ""

    def _prepare(self, request: ResetRequest | None = None) -> None:
        """Bring the robot to the start of an episode, from the newest state on."""
        self._phase = Phase.PREPARING
        self._interlude.begin(request)
        if self._lockstep:
            self._advance()

    def _advance(self) -> None:
        """Answer the newest state as the phase wants it. The state that ends an episode is the reset's first."""
        if self._phase is Phase.ACTING:
            self._runner.advance()
            self._continue()
            if self._lockstep:
                return
        if self._phase is Phase.PREPARING and self._interlude.advance(self._link.state):
            self._begin_episode()

    def _continue(self) -> None:
        """After an episode comes a reset."""
        if self._phase is Phase.ACTING and not self.loop.running:
            self._prepare()

    def _end_for_sensors(self) -> None:
        """What is observed cannot be trusted, or could not for a while: an episode that has begun ends."""
        if self.loop.started:
            self._runner.interrupt(EndReason.STALE_SENSOR)
            self._continue()

    def _begin_episode(self) -> None:
        if self._learner_finished:
            self._finish()
            return
        self._phase = Phase.ACTING
        self._runner.begin(self._interlude.report)

    def _finish(self) -> None:
        """The task is done; a reset that somebody asks for is still carried out."""
        asked = self._phase is Phase.PREPARING and self._interlude.request is not None
        if self._phase is not Phase.FINISHED and not asked:
            self._outputs.note("the learner has finished: the task is idle, the robot holds")
            self.loop.abandon()
            self._leave(Phase.FINISHED, "the learner has finished")

    # Those who fall silent

    def _is_fresh(self, now_s: float) -> bool:
        """Real time: whether the newest state may be acted on. A stale one ends the episode once a fresh one is there
        again, so that it is known whether a sensor or the whole bridge was silent."""
        limit_s = self.settings.max_observation_age_s
        sensor, age_s = self._link.oldest(now_s)
        if age_s > limit_s:
            self._stale = True
            self._runner.miss_periods(1)
            self.problems.add(Problem.SENSORS, f"{sensor} is {age_s:.3f} s old, limit {limit_s:g} s; no commands")
            return False
        self.problems.solve(Problem.SENSORS)
        if self._stale:
            self._stale = False
            self._end_for_sensors()
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
        elif self._phase is Phase.PREPARING:
            self._interlude.watch(now_s)
        if self._interlude.pause.is_silent:
            silent_s = self._interlude.pause.silence_s
            self.problems.add(
                Problem.HEALTH, f"no joint_health for {silent_s:.0f} s, temperatures unknown: look at the bridge's log"
            )
        if self.settings.wait_for_learner and now_s - self._learner_s > _LEARNER_SILENT_S:
            self.problems.add(Problem.LEARNER, "no learner/status: start the learner")

    def _lose_bridge(self, text: str) -> None:
        self.problems.add(Problem.BRIDGE, f"{text}: start the bridge, or look at its log")
        self._runner.bridge_lost()
        self._wait_for_bridge(text)
        self._link.forget()
