"""The task's messages, to and from the core's types."""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from robot_bridge.backend import RobotState
from rosac_common.messages import float32_array, nanoseconds, stamp_from_nanoseconds
from rosac_common.transition import Source
from sac_interfaces.msg import (
    Action,
    EpisodeSummary,
    ExecutedCommand,
    JointHealth,
    LearnerStatus,
    Observation,
    SafetyState,
)
from sensor_msgs.msg import JointState

from valve_task.episode import EpisodeRecord, StepObservation
from valve_task.machine import StepMachine
from valve_task.machine_io import ExecutedView, GateView, HealthView, LearnerView, PolicyAction, Problem


class JointStateError(ValueError):
    """A joint state that cannot be used. The message says what is wrong."""


def state_from_message(message: JointState, names: Sequence[str]) -> RobotState:
    """A joint state as the core sees it; `names` is the expected order. The vectors share the message's memory.

    Raises:
        JointStateError: other names, a vector of the wrong length, or a value that is not finite.
    """
    if message.name != names:
        raise JointStateError(f"joint_states holds {list(message.name)}, expected {list(names)}: same robot file?")
    position, velocity = np.frombuffer(message.position), np.frombuffer(message.velocity)
    if len(position) != len(names) or len(velocity) != len(names):
        raise JointStateError(
            f"joint_states holds {len(position)} positions and {len(velocity)} velocities for {names}"
        )
    if not (np.isfinite(position).all() and np.isfinite(velocity).all()):
        raise JointStateError(f"joint_states holds a value that is not finite: {position.tolist()} {velocity.tolist()}")
    return RobotState(nanoseconds(message.header.stamp), position, velocity, np.frombuffer(message.effort))


def executed_from_message(message: ExecutedCommand, names: Sequence[str]) -> ExecutedView:
    """What was executed on the joints `names`, which come first in the message.

    Raises:
        JointStateError: other names, or a vector of the wrong length.
    """
    if message.name[: len(names)] != names or len(message.position) != len(message.name):
        raise JointStateError(f"joint_command/executed holds {list(message.name)}, expected {list(names)} first")
    goals_rad = np.frombuffer(message.position)[: len(names)]
    return ExecutedView(
        nanoseconds(message.header.stamp), goals_rad, nanoseconds(message.since), nanoseconds(message.until)
    )


def action_from_message(message: Action) -> PolicyAction:
    """The policy's answer.

    Raises:
        ValueError: a source that does not exist.
    """
    return PolicyAction(
        message.session_id,
        message.episode,
        message.step,
        nanoseconds(message.header.stamp),
        message.action,
        Source(message.source),
        message.policy_version,
    )


def gate_from_message(message: SafetyState) -> GateView:
    """State of the safety gate."""
    return GateView(message.state, tuple(message.causes), tuple(message.causes_detail))


def health_from_message(message: JointHealth) -> HealthView:
    """Temperatures of the motors.

    Raises:
        ValueError: not one temperature for each name.
    """
    if len(message.name) != len(message.temperature_c):
        raise ValueError(f"joint_health holds {len(message.temperature_c)} temperatures for {list(message.name)}")
    return HealthView(tuple(message.name), np.frombuffer(message.temperature_c))


def learner_from_message(message: LearnerStatus) -> LearnerView:
    """The part of the learner's status that the task acts on."""
    return LearnerView(
        message.session_id,
        message.sequence_limit,
        finished=message.phase == LearnerStatus.PHASE_FINISHED,
        failure=(message.message or "no reason given") if message.phase == LearnerStatus.PHASE_FAILED else "",
    )


def observation_to_message(observation: StepObservation) -> Observation:
    """What the policy is asked with."""
    message = Observation()
    message.header.stamp = stamp_from_nanoseconds(observation.time_ns)
    message.session_id = observation.session_id
    message.episode = observation.episode
    message.step = observation.step
    message.observation = float32_array(observation.observation)
    message.sensor_ages_s = float32_array(observation.sensor_ages_s)
    return message


def episode_to_message(record: EpisodeRecord) -> EpisodeSummary:
    """The summary of a finished episode."""
    message = EpisodeSummary(
        session_id=record.session_id,
        episode=record.episode,
        index=record.index,
        task=record.task,
        steps=record.steps,
        end_reason=int(record.end_reason),
        episode_return=record.episode_return,
        success=record.success,
        final_error_rad=record.final_error,
        initial_error_rad=record.initial_error,
        reward_term_names=list(record.reward_terms),
        reward_term_sums=array.array("f", record.reward_terms.values()),
        counter_names=list(record.counters),
        counters=array.array("I", record.counters.values()),
        steps_random=record.steps_by_source[Source.RANDOM],
        steps_policy=record.steps_by_source[Source.POLICY],
        steps_human=record.steps_by_source[Source.HUMAN],
        policy_version=record.policy_version,
        missed_periods=record.missed_periods,
        reset_attempts=record.reset_attempts,
        reset_duration_s=record.reset_duration_s,
        duration_s=record.duration_s,
    )
    message.header.stamp = stamp_from_nanoseconds(record.end_ns)
    return message


# What keeps the robot from acting is an error, what only slows the work a warning.
_ERRORS = (Problem.GATE, Problem.RESET, Problem.SENSORS)


def diagnostic(name: str, machine: StepMachine) -> DiagnosticStatus:
    """What the task does and what it misses."""
    problems = machine.problems.texts
    level = DiagnosticStatus.OK
    if problems:
        level = DiagnosticStatus.ERROR if any(problem in _ERRORS for problem in problems) else DiagnosticStatus.WARN
    status = DiagnosticStatus(level=level, name=name, hardware_id=machine.task.name)
    status.message = "; ".join(problems.values()) or machine.phase.value
    values = {"phase": machine.phase.value, "session_id": machine.loop.session_id, "transitions": machine.history.added}
    values["transitions_voided"] = machine.voided
    progress = machine.reset_progress
    if progress is not None:
        values["reset"] = f"{progress.phase}, attempt {progress.attempt}"
    if progress is not None and progress.worst_joint:
        values["furthest_from_start"] = f"{progress.worst_joint}: {progress.worst_error_rad:+.3f} rad"
    record = machine.loop.record
    if record is not None:
        values.update({"episode": record.episode, "steps": record.steps, "missed_periods": record.missed_periods})
        values.update(record.counters)
    status.values = [KeyValue(key=key, value=f"{value}") for key, value in values.items()]
    return status
