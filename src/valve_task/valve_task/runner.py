"""Runs episodes: asks the policy, turns its answers into commands at once, settles steps with what the robot did."""

from __future__ import annotations

from collections.abc import Callable

import numpy.typing as npt
from robot_bridge.backend import RobotState
from robot_bridge.causes import Cause
from rosac_common.transition import EndReason, Source

from valve_task.episode import LONGEST_STEP, EpisodeLoop, ResetReport
from valve_task.link import BridgeLink
from valve_task.machine_io import Flags, GateView, Outputs, PolicyAction, Problem, Vector
from valve_task.problems import Problems
from valve_task.sender import TransitionSender
from valve_task.settings import TaskNodeSettings
from valve_task.tasks import ActionError
from valve_task.teleop import Teleop

# What the bridge finds out late: readings since then may be old values.
_BLIND = {
    Cause.FROZEN_JOINT: "a joint did not measure (frozen_joint)",
    Cause.BODY_SENSOR: "the body was not measured (body_sensor)",
}


class Commander:
    """Sends commands, each in answer to one state, and the newest one again when that state is repeated.

    Args:
        outputs: publishes them.
        clock: steady time [s].
    """

    def __init__(self, outputs: Outputs, clock: Callable[[], float]) -> None:
        self._outputs, self._clock = outputs, clock
        self._command: tuple[Vector, Flags | None] | None = None
        self.answered_ns: int | None = None  # time of the state that was answered last
        self.sent_s = clock()

    def send(self, time_ns: int, goals_rad: Vector, torque_on: Flags | None) -> None:
        """Answer the state of that time."""
        self.answered_ns, self._command = time_ns, (goals_rad, torque_on)
        self.repeat()
        self.sent_s = self._clock()

    def repeat(self) -> None:
        """Send the newest command once more."""
        self._outputs.publish_command(self.answered_ns, *self._command)

    def forget(self) -> None:
        """No state counts as answered."""
        self.answered_ns = None


class EpisodeRunner:
    """One episode after another, in both time bases. It has ended when `loop.running` is false.

    Args:
        settings: of the task node.
        loop: the pure episode loop.
        link: newest messages of the bridge.
        sender: takes the transitions.
        commander: takes the commands.
        outputs: takes observations and episodes.
        problems: of actor and actions.
        clock: steady time [s].

    Raises:
        SettingsError: the teleoperation does not fit the robot.
    """

    def __init__(
        self,
        settings: TaskNodeSettings,
        loop: EpisodeLoop,
        link: BridgeLink,
        sender: TransitionSender,
        commander: Commander,
        outputs: Outputs,
        problems: Problems,
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._outputs, self._clock = settings, outputs, clock
        self._lockstep = settings.time_base == "lockstep"
        self._loop, self._link, self._sender, self._commander = loop, link, sender, commander
        self._problems = problems
        self._longest_step_s = LONGEST_STEP * loop.task.control_period_s
        self.teleop = Teleop(settings.teleop, loop.task.action_size)
        self._observed_s = self._step_s = clock()  # the present observation, and the first one of this step
        self._missed_in_a_row = 0

    def begin(self, reset: ResetReport) -> None:
        """Begin an episode at the newest state."""
        self._missed_in_a_row = 0
        self._loop.begin(self._link.state, self._ages(), reset)
        self.offer()

    def offer(self) -> None:
        """Publish the observation of a new step, unless a transition still waits for the learner."""
        if not self._sender.blocked:
            self._observed_s = self._step_s = self._clock()
            self._ask()

    def answer(self, action: PolicyAction) -> None:
        """The policy's answer. One that answers anything but the present step is counted, no more."""
        loop = self._loop
        late = not self._lockstep and self._clock() - self._observed_s > self._longest_step_s
        if late or self._sender.blocked or action[:4] != loop.observation[:4]:
            loop.count("actions_ignored")
        elif not loop.commanded:
            self._act(action.values, action.source, action.policy_version)
        elif not loop.note_request(action.values, action.policy_version):
            loop.count("actions_ignored")

    def advance(self) -> None:
        """A state came (lockstep) or a control period has passed (real time)."""
        loop, state = self._loop, self._link.state
        if self._sender.blocked:
            return
        if not loop.commanded:
            self._wait_for_action()
            return
        answered_ns = self._commander.answered_ns
        if self._lockstep and state.time_ns == answered_ns:
            self._commander.repeat()
        elif self._link.has_executed(answered_ns) or not self._lockstep:
            # In lockstep what was executed is on its way, or is repeated with the next state.
            transition = loop.settle(state, *self._measured())
            if loop.running and (transition is None or self._sender.admits(transition)):
                self.offer()  # before the transition goes out, so that the actor works meanwhile
            if transition is not None:
                self._sender.send(transition)
            if not loop.running:
                self._outputs.publish_episode(loop.record)

    def interrupt(self, reason: EndReason) -> None:
        """End the episode for a reason outside the task. One without any command yet leaves no trace."""
        loop = self._loop
        if not loop.running:
            return
        if not loop.started:
            loop.abandon()
            return
        transition = loop.end(reason, self._link.state, *self._measured())
        if transition is not None:
            self._sender.send(transition)
        self._outputs.publish_episode(loop.record)

    def read(self, state: RobotState) -> None:
        """What the robot shows: steps that waited for that are sent, or dropped if a sensor turns out to be frozen."""
        self._sender.read(state)
        if self._sender.blind:
            self._drop_unconfirmed(_BLIND[Cause.BODY_SENSOR])

    def gate_closed(self, gate: GateView) -> None:
        """The episode ends. What waits for confirmation waits for readings until the robot moves again."""
        by_operator = Cause.OPERATOR_STOP in gate.causes
        self.interrupt(EndReason.OPERATOR_STOP if by_operator else EndReason.SAFETY_STOP)
        if not self.found_blind(gate):
            self._sender.robot_stopped()

    def found_blind(self, gate: GateView) -> bool:
        """Whether the gate is closed because something did not measure; then what waits for confirmation is dropped."""
        blind = [reason for cause, reason in _BLIND.items() if cause in gate.causes]
        if blind:
            self._drop_unconfirmed(" and ".join(blind))
        return bool(blind)

    def gate_opened(self) -> None:
        """The robot may move again."""
        if self._sender.stopped:
            self._drop_unconfirmed("a sensor showed nothing new until the robot was armed again")

    def bridge_lost(self) -> None:
        """The episode ends; nobody will confirm any reading."""
        self.interrupt(EndReason.CONNECTION_LOST)
        self._drop_unconfirmed("the bridge was lost before a reading confirmed them")

    def _drop_unconfirmed(self, reason: str) -> None:
        """What waits for confirmation may hold what was not measured. The numbers of those steps are used again."""
        if voided := self._sender.void():
            self._loop.next_sequence -= voided
            self._outputs.note(f"{voided} steps are not stored: {reason}")

    def watch(self, now_s: float) -> None:
        """Look whether the actor has been silent for too long."""
        waited_s = now_s - self._step_s
        if not (self._sender.blocked or self._loop.commanded) and waited_s > self._settings.action_timeout_s:
            self._lose_actor(f"no action for {waited_s:.1f} s")

    def miss_periods(self, number: int) -> None:
        """Count control periods of a running episode that passed without a step."""
        if self._loop.started:
            self._loop.record.missed_periods += number

    def _wait_for_action(self) -> None:
        """A state came before the action: ask again, in real time with what the sensors say now."""
        if not self._lockstep:
            self.miss_periods(1)
            self._missed_in_a_row += self._loop.started
            if self._missed_in_a_row >= self._settings.missed_periods_limit:
                self._lose_actor(f"no action for {self._missed_in_a_row} control periods")
                return
            self._loop.renew(self._link.state, self._ages())
            self._observed_s = self._clock()
        self._ask()

    def _lose_actor(self, text: str) -> None:
        """An episode that has begun ends; one that waits for its first action goes on waiting."""
        self._problems.add(Problem.ACTOR, f"{text}: start the actor, or look at its log")
        if self._loop.started:
            self.interrupt(EndReason.CONNECTION_LOST)

    def _ask(self) -> None:
        """Ask the policy; a human at the joystick answers at once."""
        self._outputs.publish_observation(self._loop.observation)
        action = self.teleop.action(self._clock())
        if action is not None:
            self._act(action, Source.HUMAN, self._loop.record.policy_version)

    def _act(self, action: npt.ArrayLike, source: Source, policy_version: int) -> None:
        try:
            goals = self._loop.act(action, source, policy_version)
        except ActionError as error:
            self._problems.add(Problem.ACTION, f"{error}; refused, the robot holds")
            return
        self._commander.send(self._loop.observation.time_ns, goals, None)
        self._loop.set_latency(self._commander.sent_s - self._observed_s)
        self._missed_in_a_row = 0
        if self._problems and source is not Source.HUMAN:
            self._problems.solve(Problem.ACTION, Problem.ACTOR)

    def _measured(self) -> tuple[Vector | None, npt.NDArray]:
        """Goals that were in force at the newest state, and the ages of what it shows. None: not known, or a reading is
        too old to be counted: this process may have stood still since it was found fresh."""
        now_s = self._clock()
        old = not self._lockstep and self._link.oldest(now_s)[1] > self._settings.max_observation_age_s
        executed_rad = None if old else self._link.executed_for(self._commander.answered_ns)
        return executed_rad, self._link.ages_s(now_s)

    def _ages(self) -> npt.NDArray:
        return self._link.ages_s(self._clock())
