"""What the learner says about itself, learner/status and diagnostics, and what it keeps of the task's episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sac_interfaces.msg import EpisodeSummary, LearnerStatus

from sac_learner.learning.trainer import Trainer


def status_message(trainer: Trainer, updates_per_s: float) -> LearnerStatus:
    """State of the run; numbers that do not exist yet are NaN."""
    message = LearnerStatus()
    message.run = trainer.settings.run
    message.phase = _phase(trainer)
    message.message = trainer.failure or "; ".join(trainer.problems.values())
    counters, pacer = trainer.intake.counters, trainer.pacer
    message.transitions = counters.stored
    message.transitions_lost = counters.lost
    message.transitions_repaired = counters.repaired
    message.transitions_duplicate = counters.duplicate
    message.transitions_rejected = counters.rejected
    message.updates = pacer.updates
    message.total_steps = trainer.settings.total_steps
    session = trainer.intake.current
    message.session_id = session.session_id if session else ""
    message.received_count = session.received_count if session else 0
    message.sequence_limit = trainer.sequence_limit
    message.update_ratio = pacer.realised_ratio
    message.target_update_ratio = trainer.settings.pacing.updates_per_step
    message.policy_age_steps = float(trainer.policy_age_steps)
    message.policy_version = trainer.policies.version
    message.temperature = float(trainer.learner.log_alpha.detach().exp())
    for name in ("entropy", "critic_loss", "actor_loss", "q_mean"):
        setattr(message, name, float(trainer.metrics.get(name, math.nan)))
    message.updates_per_s = updates_per_s
    return message


def _phase(trainer: Trainer) -> int:
    if trainer.failure:
        return LearnerStatus.PHASE_FAILED
    if trainer.finished:
        return LearnerStatus.PHASE_FINISHED
    if trainer.pacer.taken < trainer.settings.sac.start_steps:
        return LearnerStatus.PHASE_EXPLORING
    return LearnerStatus.PHASE_TRAINING


def scalars(status: LearnerStatus) -> dict[str, float]:
    """The curves of a run, by their TensorBoard names."""
    names = {
        "train": ("critic_loss", "actor_loss", "q_mean", "entropy", "temperature"),
        "pace": ("updates", "update_ratio", "updates_per_s", "policy_age_steps", "policy_version"),
        "data": ("transitions_lost", "transitions_repaired", "transitions_duplicate", "transitions_rejected"),
    }
    values = {f"{group}/{name}": float(getattr(status, name)) for group, members in names.items() for name in members}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def diagnostics_message(trainer: Trainer, status: LearnerStatus) -> DiagnosticArray:
    """State of the node for standard tools."""
    entry = DiagnosticStatus(name="learner", hardware_id=trainer.settings.run)
    failed = status.phase == LearnerStatus.PHASE_FAILED
    entry.level = DiagnosticStatus.ERROR if failed else DiagnosticStatus.WARN if status.message else DiagnosticStatus.OK
    entry.message = status.message
    values = {
        "transitions": status.transitions,
        "waiting_transitions": trainer.waiting,
        "ignored_transitions_after_end": trainer.ignored,
        "updates": status.updates,
        "updates_per_s": f"{status.updates_per_s:.1f}",
        "device": trainer.device,
        "threads": trainer.settings.thread_count,
        "products": trainer.learner.products,
    }
    entry.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticArray(status=[entry])


def episode_row(message: EpisodeSummary) -> dict[str, object]:
    """An episode as a row of the episode table: the message's fields, then reward terms and counters by name.

    Raises:
        ValueError: names and numbers do not belong together, or a text or a time is none.
    """
    skipped = ("header", "index", "reward_term_names", "reward_term_sums", "counter_names", "counters")
    row = {name: getattr(message, name) for name in message.get_fields_and_field_types() if name not in skipped}
    row["success"] = int(message.success)
    for name in ("duration_s", "reset_duration_s"):
        if not (math.isfinite(row[name]) and row[name] >= 0.0):
            raise ValueError(f"{name} is {row[name]:g}, it must be 0 or more")
    for name in ("session_id", "task"):
        _check_text(name, row[name])
    row |= _named("reward", message.reward_term_names, message.reward_term_sums)
    row |= _named("count", message.counter_names, message.counters)
    return row


def _named(kind: str, names: Sequence[str], values: Sequence[float]) -> dict[str, object]:
    """The values by `kind`_name."""
    if len(names) != len(values) or len(set(names)) != len(names):
        raise ValueError(f"{kind}: {len(values)} values for the names {', '.join(names) or 'none'}; one for each, once")
    for name in names:
        _check_text(f"{kind} name", name)
    return {f"{kind}_{name}": value for name, value in zip(names, values, strict=True)}


def _check_text(name: str, text: str) -> None:
    if not text.isprintable():
        raise ValueError(f"{name} is {text!r}; it must be printable")
