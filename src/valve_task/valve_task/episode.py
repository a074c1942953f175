"""The episode loop: one control step after another, from observation to settled transition.

The ROS task node and the Gymnasium environments run this same loop. One step is: :meth:`EpisodeLoop.act` turns an
action into joint goals; when the control period has passed, :meth:`EpisodeLoop.settle` makes the transition and the
next observation. The next observation always belongs to the same episode, also at its end.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from robot_bridge.backend import RobotState
from rosac_common.transition import EndReason, Source, Transition

from valve_task.tasks import ActionError, Outcome, Task

Vector = npt.NDArray[np.float64]
Array = npt.NDArray[np.float32]

# A step that lasted less or more than this part of the control period is no sample of the task: it is dropped.
SHORTEST_STEP, LONGEST_STEP = 0.5, 1.5
COUNTERS = ("actions_clipped", "actions_refused", "actions_ignored", "steps_dropped")


class StepObservation(NamedTuple):
    """What the policy is asked with. (session_id, episode, step, time_ns) identify it."""

    session_id: str
    episode: int
    step: int
    time_ns: int  # robot time of the reading
    observation: Array
    sensor_ages_s: Array


class ResetReport(NamedTuple):
    """The reset before an episode."""

    attempts: int
    duration_s: float


@dataclasses.dataclass
class EpisodeRecord:
    """One finished episode; the fields are those of EpisodeSummary.msg."""

    session_id: str
    episode: int
    index: int
    task: str
    reset_attempts: int
    reset_duration_s: float
    initial_error: float
    final_error: float
    start_ns: int
    end_ns: int
    reward_terms: dict[str, float]
    counters: dict[str, int]
    end_reason: EndReason = EndReason.NONE
    steps: int = 0
    episode_return: float = 0.0
    success: bool = False
    steps_by_source: dict[Source, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(Source, 0))
    policy_version: int = 0
    missed_periods: int = 0

    @property
    def duration_s(self) -> float:
        """Robot time of the episode [s]."""
        return (self.end_ns - self.start_ns) * 1e-9


@dataclasses.dataclass(slots=True)
class _OpenStep:
    """A step that has been commanded and not settled."""

    requested: Array
    chosen: Array  # what the task makes of the requested action, or the human's
    goals_rad: Vector
    source: Source
    policy_version: int
    action_latency_s: float = 0.0


class EpisodeLoop:
    """All episodes of one session. Sequence numbers count the transitions made, without gaps.

    Args:
        task: what is learned; its draws for an episode are made before :meth:`begin`.
        session_id: unique to this life of the task.
        training: whether anybody learns from it; where nobody does, actions are not shaped (:meth:`Task.shaped`).
    """

    def __init__(self, task: Task, session_id: str, training: bool) -> None:
        self.task, self._training = task, training
        self.session_id = session_id
        self.next_sequence = 0
        self.record: EpisodeRecord | None = None
        self.observation: StepObservation | None = None
        self.outcome: Outcome | None = None  # of the step settled last
        self._next_episode = 0
        self._abandoned = 0
        self._state: RobotState | None = None
        self._last_action = np.zeros(task.action_size, dtype=np.float32)
        self._open: _OpenStep | None = None

    @property
    def commanded(self) -> bool:
        """Whether the present step has been commanded and waits to be settled."""
        return self._open is not None

    @property
    def started(self) -> bool:
        """Whether an episode runs and has had its first command."""
        return self.running and (self._open is not None or self.observation.step > 0)

    @property
    def running(self) -> bool:
        """Whether an episode has begun and not ended."""
        return self.record is not None and self.record.end_reason is EndReason.NONE

    def begin(self, state: RobotState, sensor_ages_s: Array, reset: ResetReport) -> StepObservation:
        """Begin the next episode at this state; returns observation 0."""
        task = self.task
        error = task.error(state, 0)
        self.record = EpisodeRecord(
            session_id=self.session_id,
            episode=self._next_episode,
            index=self._next_episode - self._abandoned,
            task=task.name,
            reset_attempts=reset.attempts,
            reset_duration_s=reset.duration_s,
            initial_error=error,
            final_error=error,
            start_ns=state.time_ns,
            end_ns=state.time_ns,
            reward_terms=dict.fromkeys(task.reward_terms, 0.0),
            counters=dict.fromkeys((*task.counters, *COUNTERS), 0),
        )
        self._next_episode += 1
        self._last_action = np.zeros(task.action_size, dtype=np.float32)
        self._open = None
        return self._observe(state, 0, sensor_ages_s)

    def abandon(self) -> None:
        """Forget an episode that never had a command."""
        self._abandoned += self.running
        self.record = None
        self._open = None

    def renew(self, state: RobotState, sensor_ages_s: Array) -> StepObservation:
        """The same step seen with newer sensors, when no action came in time."""
        if not self.started:
            self.record.start_ns = state.time_ns
            self.record.initial_error = self.task.error(state, 0)
        return self._observe(state, self.observation.step, sensor_ages_s)

    def act(self, action: npt.ArrayLike, source: Source, policy_version: int) -> Vector:
        """Joint goals [rad] for an action of the policy or of a human; opens the step.

        Raises:
            ActionError: wrong size or not finite; the step stays as it was, the refusal is counted.
        """
        try:
            checked, clipped = self.task.actions.checked(action)
        except ActionError:
            self.count("actions_refused")
            raise
        if clipped:
            self.count("actions_clipped")
        chosen = checked
        if self._training and source is not Source.HUMAN:
            chosen = self.task.shaped(checked, self._last_action, self.record.episode)
        goals = self.task.actions.goals(chosen, self._state.position_rad[: self.task.action_size])
        self._open = _OpenStep(checked, chosen, goals, source, policy_version)
        return goals

    def set_latency(self, action_latency_s: float) -> None:
        """Time from publishing the observation to publishing the command of the open step [s]."""
        self._open.action_latency_s = action_latency_s

    def note_request(self, action: npt.ArrayLike, policy_version: int) -> bool:
        """What the policy asked for in a step in which a human had already acted; False if that is not so."""
        if self._open is None or self._open.source is not Source.HUMAN:
            return False
        try:
            self._open.requested, _ = self.task.actions.checked(action)
        except ActionError:
            self.count("actions_refused")
            return True
        self._open.policy_version = policy_version
        return True

    def settle(self, state: RobotState, executed_rad: Vector | None, sensor_ages_s: Array) -> Transition | None:
        """End the open step at this state: judge it, and observe the next step.

        Args:
            state: reading after the control period.
            executed_rad: goals of the robot's joints that its motors really held; None if that is not known.
            sensor_ages_s: of the reading.

        Returns:
            The transition; None when the step was dropped, because it is not known what was executed, because no action
            asks for it, or because the step was much shorter or longer than a control period. Dropped steps are counted
            and the episode goes on. At the end of the episode `record.end_reason` is set.
        """
        return self._close(state, executed_rad, sensor_ages_s, EndReason.NONE)

    def end(
        self, reason: EndReason, state: RobotState, executed_rad: Vector | None, sensor_ages_s: Array
    ) -> Transition | None:
        """End the episode for a reason outside the task.

        An open step is settled with the newest valid reading under the same conditions as in :meth:`settle`, else it is
        dropped and counted. Without an open step there is nothing to settle: the reason is in the record only.
        """
        transition = None
        if self._open is not None:
            transition = self._close(state, executed_rad, sensor_ages_s, reason)
        self.record.end_reason = reason
        self.record.success = False  # an episode that was cut short shows nothing
        return transition

    def count(self, counter: str) -> None:
        """Count something that happened in the present episode."""
        if self.record is not None:
            self.record.counters[counter] += 1

    def _observe(self, state: RobotState, step: int, sensor_ages_s: Array) -> StepObservation:
        self._state = state
        vector = self.task.observe(state, step, self._last_action)
        self.observation = StepObservation(
            self.session_id, self.record.episode, step, state.time_ns, vector, sensor_ages_s
        )
        return self.observation

    def _close(
        self, state: RobotState, executed_rad: Vector | None, sensor_ages_s: Array, reason: EndReason
    ) -> Transition | None:
        opened, before = self._open, self.observation
        self._open = None
        valid = self._note_executed(opened, executed_rad) and self._lasted_one_period(state)
        if not valid:
            self.count("steps_dropped")
            if reason is not EndReason.NONE:
                return None
        outcome = self.outcome = self.task.evaluate(state, before.step + 1, self._last_action)
        after = self._observe(state, before.step + 1, sensor_ages_s)
        if reason is EndReason.NONE:
            reason = self._own_end(outcome.terminated, after.step)
        self.record.end_reason = reason
        if outcome.terminated:
            reason = EndReason.TERMINATED  # also if a fall made the gate close: nothing is earned after it
        self.record.end_ns = state.time_ns
        self.record.final_error, self.record.success = outcome.error, outcome.success
        if not valid:
            return None
        self._add_to_record(outcome, opened)
        transition = Transition(
            session_id=self.session_id,
            sequence=self.next_sequence,
            episode=before.episode,
            step=before.step,
            policy_version=opened.policy_version,
            source=opened.source,
            end_reason=reason,
            observation=before.observation,
            requested_action=opened.requested,
            executed_action=self._last_action,
            reward=outcome.reward,
            next_observation=after.observation,
            sensor_ages_s=sensor_ages_s,
            stamp_s=state.time_s,
            action_latency_s=opened.action_latency_s,
        )
        self.next_sequence += 1
        return transition

    def _note_executed(self, opened: _OpenStep, executed_rad: Vector | None) -> bool:
        """Remember what was done as the last action. Returns whether that is known, and an action asks for it: goals of
        an earlier command, still in force, may lie where none leads from here."""
        if executed_rad is None:
            self._last_action = opened.chosen
            return False
        actions, position_rad = self.task.actions, self._state.position_rad[: self.task.action_size]
        self._last_action = actions.executed_action(opened.chosen, opened.goals_rad, executed_rad)
        return actions.asks_for(self._last_action, position_rad, executed_rad)

    def _lasted_one_period(self, state: RobotState) -> bool:
        periods = (state.time_ns - self._state.time_ns) * 1e-9 / self.task.control_period_s
        return SHORTEST_STEP <= periods <= LONGEST_STEP

    def _own_end(self, terminated: bool, steps: int) -> EndReason:
        if terminated:
            return EndReason.TERMINATED
        return EndReason.TIME_LIMIT if steps >= self.task.horizon_steps else EndReason.NONE

    def _add_to_record(self, outcome: Outcome, opened: _OpenStep) -> None:
        record = self.record
        record.steps += 1
        record.episode_return += outcome.reward
        record.steps_by_source[opened.source] += 1
        record.policy_version = opened.policy_version
        for name, value in zip(self.task.reward_terms, outcome.terms, strict=True):
            record.reward_terms[name] += value
        for name, number in zip(self.task.counters, outcome.counts, strict=True):
            record.counters[name] += number
