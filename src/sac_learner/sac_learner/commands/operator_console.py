"""What a console does for the operator: says what the robot waits for, and stops it at the space bar."""

from __future__ import annotations

import time
from collections.abc import Callable

from sac_learner.commands.keyboard import Keyboard
from sac_learner.commands.operator_text import pressed, summary
from sac_learner.commands.robot_link import RobotLink

# In simulation the bridge arms by itself within this time, and nobody has to be told.
_SETTLE_S = 1.0
# A bridge confirms a stop at once; a second more for a busy computer.
_CONFIRM_S = 1.0
_SPACE = "The space bar stops the robot: torque off."


class OperatorConsole:
    """One line whenever the robot begins to wait for a person. Call `update` several times a second."""

    def __init__(self, link: RobotLink, note: Callable[[str], None]) -> None:
        """Args:
        link: to the robot.
        note: prints a line.
        """
        self._link, self._note = link, note
        self._keyboard = Keyboard(self._press)
        self._text, self._since_s, self._told = "", 0.0, ""
        self._pressed_s: float | None = None  # while the bridge has not confirmed it
        self._heard_before = 0
        self._complained = False

    @property
    def waits(self) -> bool:
        """Whether the robot waits for a person."""
        return bool(self._text)

    def __enter__(self) -> OperatorConsole:
        if self._keyboard.is_there:
            self._note(_SPACE)
        self._keyboard.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._keyboard.__exit__(*error)

    def update(self, now_s: float) -> None:
        """Repeat a stop that the bridge has not confirmed, and say what is new.

        Args:
            now_s: time.monotonic().
        """
        self._insist(now_s)
        text = summary(self._link.safety, self._link.request, self._link.namespace)
        if text != self._text:
            self._text, self._since_s = text, now_s
        if text != self._told and (pressed(self._link.safety) or now_s - self._since_s >= _SETTLE_S):
            self._told = text
            self._note(f"The robot waits for you: {text}" if text else "The robot goes on.")

    def _press(self) -> None:
        """From the keyboard's thread: at once, whatever the rest of the program does."""
        self._link.press(True)
        if self._pressed_s is None:
            self._heard_before, self._pressed_s = self._link.safety_count, time.monotonic()

    def _insist(self, now_s: float) -> None:
        if self._pressed_s is None:
            return
        if self._link.safety_count > self._heard_before and pressed(self._link.safety):
            self._pressed_s, self._complained = None, False
            return
        self._link.press(True)
        if not self._complained and now_s - self._pressed_s > _CONFIRM_S:
            self._complained = True
            self._note("The bridge does not confirm the stop. If the robot moves, use the switch in its supply.")
