"""What an operator is told: the state of the safety gate in words, and the command that comes next."""

from __future__ import annotations

from collections.abc import Iterator

from robot_bridge.causes import Cause
from sac_interfaces.msg import SafetyState

STATES = {
    SafetyState.DISARMED: "disarmed",
    SafetyState.ARMED: "armed",
    SafetyState.HOLD: "hold",
    SafetyState.STOPPED: "STOPPED",
}


def pressed(safety: SafetyState | None) -> bool:
    """Whether the robot is stopped by safety/stop, which is still true."""
    return safety is not None and any(cause == Cause.OPERATOR_STOP and active for cause, active, _ in _causes(safety))


def describe(safety: SafetyState) -> list[str]:
    """State and causes, a line each."""
    causes = [f"  {cause}, {'present' if active else 'cleared'}: {text}" for cause, active, text in _causes(safety)]
    return [STATES[safety.state], *causes]


def next_step(safety: SafetyState | None, request: str, namespace: str) -> str:
    """What a person has to do before the robot goes on; empty: nothing.

    Args:
        safety: newest state of the gate; None: not heard yet.
        request: what the task asks for; empty: nothing.
        namespace: of the robot.
    """
    suffix = f" --namespace {namespace}" if namespace else ""
    if safety is None:
        return ""
    if safety.state == SafetyState.STOPPED:
        active = [cause for cause, present, _ in _causes(safety) if present]
        steps = [f"`rosac stop --release{suffix}`"] if Cause.OPERATOR_STOP in active else []
        others = [cause for cause in active if cause != Cause.OPERATOR_STOP]
        steps = ([f"mend {', '.join(others)}"] if others else []) + steps
        return ", then ".join([*steps, f"`rosac reset{suffix}`", f"`rosac arm{suffix}`"])
    if safety.state == SafetyState.DISARMED:
        return f"hands off the robot, then `rosac arm{suffix}`"
    return f"do what the task asks for, then `rosac done{suffix}`" if request else ""


def summary(safety: SafetyState | None, request: str, namespace: str) -> str:
    """All of it in one line, when a person has to do something; otherwise empty."""
    todo = next_step(safety, request, namespace)
    if not todo:
        return ""
    said = STATES[safety.state]
    if safety.state == SafetyState.STOPPED:
        said += " by " + "; ".join(f"{cause} ({text})" for cause, _, text in _causes(safety))
    elif request and safety.state != SafetyState.DISARMED:
        said = f"the task asks: {request}"
    return f"{said}. Next: {todo}"


def _causes(safety: SafetyState) -> Iterator[tuple[str, bool, str]]:
    return zip(safety.causes, safety.causes_active, safety.causes_detail, strict=True)
