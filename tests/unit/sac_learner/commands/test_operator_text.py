"""What an operator is told: every state has its next step, and it names the robot."""

import pytest
from sac_interfaces.msg import SafetyState
from sac_learner.commands.operator_text import describe, next_step, pressed, summary


def safety(state, *causes):
    """A state with causes (name, active)."""
    return SafetyState(
        state=state,
        causes=[name for name, _ in causes],
        causes_active=[active for _, active in causes],
        causes_detail=[f"detail of {name}" for name, _ in causes],
    )


@pytest.mark.parametrize(
    ("state", "request_text", "expected"),
    [
        (None, "", ""),
        (safety(SafetyState.ARMED), "", ""),
        (safety(SafetyState.HOLD, ("stale_command", True)), "", ""),
        (safety(SafetyState.DISARMED), "", "hands off the robot, then `rosac arm`"),
        (safety(SafetyState.ARMED), "free it", "do what the task asks for, then `rosac done`"),
        (
            safety(SafetyState.STOPPED, ("operator_stop", True)),
            "",
            "`rosac stop --release`, then `rosac reset`, then `rosac arm`",
        ),
        (safety(SafetyState.STOPPED, ("operator_stop", False)), "", "`rosac reset`, then `rosac arm`"),
        (
            safety(SafetyState.STOPPED, ("temperature", True), ("operator_stop", True), ("joint_range", False)),
            "",
            "mend temperature, then `rosac stop --release`, then `rosac reset`, then `rosac arm`",
        ),
    ],
)
def test_next_step(state, request_text, expected):
    assert next_step(state, request_text, "") == expected


def test_every_command_names_the_namespace():
    stopped = safety(SafetyState.STOPPED, ("operator_stop", True))
    assert next_step(stopped, "", "second").count("--namespace second`") == 3
    assert "`rosac arm --namespace second`" in next_step(safety(SafetyState.DISARMED), "", "second")
    assert "`rosac done --namespace second`" in next_step(safety(SafetyState.ARMED), "free it", "second")


def test_describe_names_all_causes_with_what_has_become_of_them():
    stopped = safety(SafetyState.STOPPED, ("temperature", True), ("joint_range", False))
    assert describe(stopped) == [
        "STOPPED",
        "  temperature, present: detail of temperature",
        "  joint_range, cleared: detail of joint_range",
    ]


def test_summary_holds_all_in_one_line_when_a_person_has_to_act():
    stopped = safety(SafetyState.STOPPED, ("temperature", False))
    assert summary(stopped, "", "") == (
        "STOPPED by temperature (detail of temperature). Next: `rosac reset`, then `rosac arm`"
    )
    assert summary(safety(SafetyState.ARMED), "free it", "").startswith("the task asks: free it. Next: ")
    assert summary(safety(SafetyState.ARMED), "", "") == ""
    assert summary(None, "", "") == ""


def test_pressed_is_only_what_is_still_true():
    assert pressed(safety(SafetyState.STOPPED, ("operator_stop", True)))
    assert not pressed(safety(SafetyState.STOPPED, ("operator_stop", False)))
    assert not pressed(safety(SafetyState.STOPPED, ("temperature", True)))
    assert not pressed(None)
