"""The live display of a training run: a panel on a terminal, a line every ten seconds anywhere else."""

from __future__ import annotations

import math

from rich.console import Console
from sac_interfaces.msg import LearnerStatus, SafetyState

from sac_learner.commands.display import Display, RemainingTime, duration
from sac_learner.commands.monitor import WINDOW, Monitor
from sac_learner.commands.operator_text import STATES, summary

PHASES = {
    LearnerStatus.PHASE_STARTING: "starting",
    LearnerStatus.PHASE_EXPLORING: "exploring",
    LearnerStatus.PHASE_TRAINING: "training",
    LearnerStatus.PHASE_FINISHED: "finished",
    LearnerStatus.PHASE_FAILED: "failed",
}


class Progress(Display):
    """Draws the state of a monitor."""

    def __init__(self, title: str, monitor: Monitor, console: Console, start_s: float) -> None:
        super().__init__(title, console, start_s)
        self._monitor = monitor
        self._remaining = RemainingTime()

    def update(self, now_s: float) -> None:
        """Redraw, or print a line when it is time."""
        self.show(self.rows(now_s), now_s)

    def rows(self, now_s: float) -> dict[str, str]:
        """What is shown, by name."""
        monitor, status = self._monitor, self._monitor.status
        rows = {"phase": "starting"}
        if status is not None:
            goal = f"/{status.total_steps}" if status.total_steps else ""
            rows = {
                "phase": PHASES[status.phase],
                "steps": f"{status.transitions}{goal}",
                "return": f"{monitor.mean_return:.0f}",
                "success": f"{100 * monitor.success_rate:.0f}% of last {min(WINDOW, monitor.episode_count)}",
                "temperature": f"{status.temperature:.3f}",
                "updates": f"{status.updates} ({status.updates_per_s:.0f}/s)",
                "update ratio": f"{status.update_ratio:.3f} of {status.target_update_ratio:g}",
                "policy age": _steps(status.policy_age_steps),
                "robot time": duration(monitor.robot_time_s),
                "ETA": self._eta(now_s, status),
            }
            if status.transitions_lost or status.transitions_rejected:
                rows["lost"] = f"{status.transitions_lost} lost, {status.transitions_rejected} refused"
        if robot := self._robot():
            rows["robot"] = robot
        complaints = [f"{name}: {text}" for name, text in monitor.complaints.items()]
        # The learner's diagnostics may have said the same.
        if status is not None and status.message and not any(status.message in text for text in complaints):
            complaints.append(status.message)
        if complaints:
            rows["attention"] = "; ".join(complaints)
        return rows

    def _robot(self) -> str:
        """What it waits for; empty while it moves."""
        safety = self._monitor.safety
        waits = summary(safety, self._monitor.request, self._monitor.namespace)
        if not waits and safety is not None and safety.state == SafetyState.HOLD:
            return f"{STATES[safety.state]}: {'; '.join(safety.causes_detail)}"
        return waits

    def _eta(self, now_s: float, status: LearnerStatus) -> str:
        if status.phase != LearnerStatus.PHASE_TRAINING or not status.total_steps:
            return "-"
        return self._remaining.text(status.transitions, status.total_steps, now_s)


def _steps(count: float) -> str:
    return "-" if math.isnan(count) else f"{count:.0f} steps"
