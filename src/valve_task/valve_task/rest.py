"""The thermal pause: between two episodes a hot robot rests, torque off, until its motors have cooled down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from rosac_common.settings import SettingsError, setting

from valve_task.machine_io import HealthView


@dataclasses.dataclass(frozen=True)
class RestSettings:
    """The block `rest`.

    Raises:
        SettingsError: the robot would never get up, or not rest at all.
    """

    above_c: float = setting(
        65.0,
        "a motor warmer than this between two episodes: the robot rests [C]; own figure: 10 below "
        "robot.safety.temperature_stop_c, so that the pause comes before the stop",
        minimum=0.0,
        maximum=150.0,
    )
    below_c: float = setting(
        50.0,
        "it rests until every motor is cooler than this [C]; own figure: high enough for a warm room, low enough for "
        "minutes of work after it",
        minimum=0.0,
        maximum=150.0,
    )
    health_timeout_s: float = setting(
        5.0, "joint_health silent for so long: nobody knows the temperatures [s] (own figure: 5 messages)", minimum=0.1
    )

    def __post_init__(self) -> None:
        if not self.below_c < self.above_c:
            raise SettingsError(
                f"rest.below_c is {self.below_c:g} C; it must be below rest.above_c, {self.above_c:g} C"
            )


class ThermalPause:
    """What is known of the robot's temperatures, and what follows from it. A robot that tells none never rests.

    Args:
        settings: limits.
        clock: steady time [s].
    """

    def __init__(self, settings: RestSettings, clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        self._health: HealthView | None = None
        self._received_s = 0.0

    def receive(self, health: HealthView) -> None:
        """Take the newest temperatures."""
        self._health, self._received_s = health, self._clock()

    def forget(self) -> None:
        """The bridge is gone: what it said no longer holds."""
        self._health = None

    @property
    def silence_s(self) -> float:
        """Time since the temperatures came, 0 when the robot has never told any [s]."""
        return 0.0 if self._health is None else self._clock() - self._received_s

    @property
    def is_silent(self) -> bool:
        """Whether the temperatures have ceased to come."""
        return self.silence_s > self._settings.health_timeout_s

    @property
    def due(self) -> bool:
        """Whether a motor is too warm to go on."""
        return self._health is not None and bool((self._health.temperature_c > self._settings.above_c).any())

    @property
    def over(self) -> bool:
        """Whether every motor has cooled down. What nobody knows any more is not cool."""
        return not self.is_silent and not self._warm().any()

    def describe(self) -> str:
        """The motors that have not cooled down, with the limit; joints that were never read are left out."""
        if self._health is None:
            return "no temperatures"
        warm = [f"{self._health.names[i]} {self._health.temperature_c[i]:.0f} C" for i in np.flatnonzero(self._warm())]
        return f"{', '.join(warm)}; the robot rests until every motor is below {self._settings.below_c:g} C"

    def _warm(self) -> np.ndarray:
        if self._health is None:
            return np.zeros(0, dtype=bool)
        return self._health.temperature_c >= self._settings.below_c
