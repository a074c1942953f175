"""The progress display: everything that was promised, and nothing wrong kept back."""

from types import SimpleNamespace

from rich.console import Console
from sac_interfaces.msg import LearnerStatus, SafetyState
from sac_learner.commands.progress import Progress


def monitor(**changes):  # noqa: ANN201
    status = LearnerStatus(
        phase=LearnerStatus.PHASE_TRAINING, transitions=1000, total_steps=5000, updates=900, update_ratio=0.9
    )
    values = {
        "status": status,
        "safety": SafetyState(state=SafetyState.ARMED),
        "request": "",
        "namespace": "",
        "mean_return": -12.0,
        "success_rate": 0.25,
        "episode_count": 12,
        "robot_time_s": 125.0,
        "complaints": {},
    }
    return SimpleNamespace(**{**values, **changes})


def rows(made, *times_s: float) -> dict[str, str]:  # noqa: ANN001
    progress = Progress("title", made, Console(quiet=True), 0.0)
    return [progress.rows(time_s) for time_s in times_s or (1.0,)][-1]


def test_shows_what_was_promised() -> None:
    shown = rows(monitor())
    assert shown["steps"] == "1000/5000"
    assert shown["success"] == "25% of last 12"
    assert shown["robot time"] == "0:02:05"
    for name in ("return", "temperature", "update ratio", "policy age", "ETA"):
        assert name in shown


def test_a_policy_age_that_nobody_knows_is_no_number() -> None:
    made = monitor()
    made.status.policy_age_steps = 12.0
    assert rows(made)["policy age"] == "12 steps"
    made.status.policy_age_steps = float("nan")
    assert rows(made)["policy age"] == "-"


def test_eta_is_the_rest_at_the_mean_speed_so_far() -> None:
    made = monitor()
    progress = Progress("title", made, Console(quiet=True), 0.0)
    assert progress.rows(10.0)["ETA"] == "-"
    made.status.transitions = 2000
    assert progress.rows(20.0)["ETA"] == "0:00:30"


def test_a_robot_that_is_not_armed_is_shown_with_its_cause_and_what_to_do() -> None:
    safety = SafetyState(
        state=SafetyState.STOPPED, causes=["operator_stop"], causes_active=[True], causes_detail=["safety/stop is true"]
    )
    shown = rows(monitor(safety=safety, namespace="second"))["robot"]
    assert shown.startswith("STOPPED by operator_stop (safety/stop is true). Next: `rosac stop --release")
    assert "--namespace second" in shown
    holding = SafetyState(state=SafetyState.HOLD, causes_detail=["no command for 2 s"])
    assert rows(monitor(safety=holding))["robot"] == "hold: no command for 2 s"
    assert "robot" not in rows(monitor())


def test_what_the_task_asks_for_is_shown_with_the_answer() -> None:
    for state in (SafetyState.ARMED, SafetyState.HOLD):
        shown = rows(monitor(safety=SafetyState(state=state), request="free the robot"))["robot"]
        assert "free the robot" in shown and "`rosac done`" in shown


def test_complaints_and_losses_are_shown() -> None:
    made = monitor(complaints={"task": "actor is missing"})
    made.status.transitions_lost, made.status.message = 3, "disk is full"
    shown = rows(made)
    assert "3 lost" in shown["lost"]
    assert "actor is missing" in shown["attention"] and "disk is full" in shown["attention"]


def test_what_the_learner_says_twice_is_shown_once() -> None:
    made = monitor(complaints={"learner": "disk is full"})
    made.status.message = "disk is full"
    assert rows(made)["attention"] == "learner: disk is full"
