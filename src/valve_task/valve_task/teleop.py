"""A joystick takes over: while the dead-man button is held, its axes are the action."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rosac_common.settings import SettingsError, setting


@dataclasses.dataclass(frozen=True)
class TeleopSettings:
    """The block `teleop`. The default mapping is that of ROS's joy node for an Xbox-style pad."""

    deadman_button: int = setting(
        4, "index in Joy.buttons; a human acts while it is held (joy: 4 = left shoulder button)", minimum=0, maximum=63
    )
    axes: list[int] = setting(
        [0, 1, 4] * 3,
        "index in Joy.axes for each component of the action (joy: 0, 1 left stick, 4 right stick, up and down); -1 = 0",
        minimum=-1,
        maximum=63,
    )
    scale: list[float] = setting(
        [1.0] * 9,
        "factor of each axis; negative turns it round (own figure: full stick = full range)",
        minimum=-1.0,
        maximum=1.0,
    )
    joy_timeout_s: float = setting(
        0.5, "older joystick messages do not count [s] (joy repeats every 0.05 s: autorepeat_rate 20)", minimum=0.01
    )


class Teleop:
    """Holds the newest joystick message and turns it into an action.

    Args:
        settings: button, axes and time-out.
        action_size: number of joints.

    Raises:
        SettingsError: `axes` or `scale` has another length.
    """

    def __init__(self, settings: TeleopSettings, action_size: int) -> None:
        for name in ("axes", "scale"):
            if len(getattr(settings, name)) != action_size:
                raise SettingsError(
                    f"teleop.{name} has {len(getattr(settings, name))} values, the action has {action_size}: "
                    "give one each"
                )
        self._settings = settings
        self._scale = np.array(settings.scale, dtype=np.float32)
        self._axes: Sequence[float] = ()
        self._held = False
        self._received_s = -np.inf

    def receive(self, axes: Sequence[float], buttons: Sequence[int], now_s: float) -> str | None:
        """Take a joystick message; returns what is wrong with it, if anything. A wrong message releases the button."""
        settings = self._settings
        self._held = False
        if settings.deadman_button >= len(buttons):
            return f"Joy has {len(buttons)} buttons, teleop.deadman_button is {settings.deadman_button}"
        if max(settings.axes) >= len(axes):
            return f"Joy has {len(axes)} axes, teleop.axes asks for {max(settings.axes)}"
        if not np.isfinite(axes).all():
            return f"Joy has an axis that is not finite: {list(axes)}"
        self._axes = axes
        self._held = bool(buttons[settings.deadman_button])
        self._received_s = now_s
        return None

    def action(self, now_s: float) -> npt.NDArray[np.float32] | None:
        """The human's action in [-1, 1], or None while nobody holds the button or the joystick is silent."""
        if not self._held or now_s - self._received_s > self._settings.joy_timeout_s:
            return None
        values = [self._axes[index] if index >= 0 else 0.0 for index in self._settings.axes]
        return np.clip(np.array(values, dtype=np.float32) * self._scale, -1.0, 1.0)
