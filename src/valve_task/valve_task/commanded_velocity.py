"""The velocity that somebody asks a walking robot for."""

from __future__ import annotations

from valve_task.tasks import Task


class CommandedVelocity:
    """Who asked for a velocity and fell silent asks for none any more.

    Args:
        task: follows it.
        timeout_s: longest silence [s].
    """

    def __init__(self, task: Task, timeout_s: float) -> None:
        self._task, self._timeout_s = task, timeout_s
        self._asked_s: float | None = None  # None: nobody asks

    def ask(self, forward_m_s: float, now_s: float) -> str:
        """Somebody asks for it; returns why that is ignored, empty when it is not."""
        problem = self._task.command(forward_m_s)
        if not problem:
            self._asked_s = now_s
        return problem

    def watch(self, now_s: float) -> str:
        """Look whether they have fallen silent; returns what is to be told then."""
        if self._asked_s is None or now_s - self._asked_s <= self._timeout_s:
            return ""
        self._asked_s = None
        self._task.command(0.0)
        return f"no velocity on cmd_vel for {self._timeout_s:g} s: it counts as 0"
