"""The live display of a training run: a panel on a terminal, a line every ten seconds anywhere else."""

from __future__ import annotations

import datetime

from rich.console import Console
from rich.live import Live
from rich.table import Table
from sac_interfaces.msg import LearnerStatus, SafetyState

from sac_learner.monitor import WINDOW, Monitor

PHASES = {
    LearnerStatus.PHASE_STARTING: "starting",
    LearnerStatus.PHASE_EXPLORING: "exploring",
    LearnerStatus.PHASE_TRAINING: "training",
    LearnerStatus.PHASE_FINISHED: "finished",
    LearnerStatus.PHASE_FAILED: "failed",
}
SAFETY = {
    SafetyState.DISARMED: "disarmed",
    SafetyState.ARMED: "armed",
    SafetyState.HOLD: "hold",
    SafetyState.STOPPED: "STOPPED",
}
# Seconds between two lines where there is no terminal to draw on.
LINE_INTERVAL_S = 10.0


class Progress:
    """Draws the state of a monitor."""

    def __init__(self, title: str, monitor: Monitor, console: Console, start_s: float) -> None:
        self._title = title
        self._monitor = monitor
        self._console = console
        self._start_s = start_s
        self._start_transitions: int | None = None
        self._next_line_s = start_s
        self._live = Live(console=console, refresh_per_second=4, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def note(self, line: str) -> None:
        """Print one line above the display."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def update(self, now_s: float) -> None:
        """Redraw, or print a line when it is time."""
        rows = self.rows(now_s)
        if self._live:
            table = Table(title=self._title, show_header=False)
            for name, value in rows.items():
                table.add_row(name, value)
            self._live.update(table, refresh=True)
        elif now_s >= self._next_line_s:
            self._next_line_s = now_s + LINE_INTERVAL_S
            self.note("  ".join(f"{name} {value}" for name, value in rows.items()))

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
                "policy age": f"{status.policy_age_steps:.0f} steps",
                "robot time": _duration(monitor.robot_time_s),
                "ETA": self._eta(now_s, status),
            }
            if status.transitions_lost or status.transitions_rejected:
                rows["lost"] = f"{status.transitions_lost} lost, {status.transitions_rejected} refused"
        if monitor.safety is not None and monitor.safety.state != SafetyState.ARMED:
            causes = "; ".join(monitor.safety.causes_detail)
            rows["robot"] = f"{SAFETY[monitor.safety.state]}{': ' + causes if causes else ''}"
        complaints = [f"{name}: {text}" for name, text in monitor.complaints.items()]
        if status is not None and status.message:
            complaints.append(status.message)
        if complaints:
            rows["attention"] = "; ".join(complaints)
        return rows

    def _eta(self, now_s: float, status: LearnerStatus) -> str:
        """Remaining time at the mean speed since the first update, when the speed is the lasting one."""
        if status.phase != LearnerStatus.PHASE_TRAINING or not status.total_steps:
            return "-"
        if self._start_transitions is None:
            self._start_transitions, self._start_s = status.transitions, now_s
        done = status.transitions - self._start_transitions
        if done < 100:
            return "-"
        return _duration((now_s - self._start_s) / done * (status.total_steps - status.transitions))


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
