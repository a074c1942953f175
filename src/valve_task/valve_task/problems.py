"""What is missing or wrong now: logged once when it appears and once when it is over, and shown in diagnostics."""

from __future__ import annotations

from valve_task.machine_io import Outputs, Problem


class Problems:
    """The present problems, each with a text that names what to do.

    Args:
        outputs: logs them.
    """

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self.texts: dict[Problem, str] = {}

    def __bool__(self) -> bool:
        return bool(self.texts)

    def __contains__(self, problem: Problem) -> bool:
        return problem in self.texts

    def add(self, problem: Problem, text: str) -> None:
        """It is there, or still there with a new text."""
        if problem not in self.texts:
            self._outputs.problem(problem, text)
        self.texts[problem] = text

    def solve(self, *problems: Problem) -> None:
        """They are not there, or no longer."""
        for problem in problems:
            if self.texts.pop(problem, None) is not None:
                self._outputs.solved(problem)
