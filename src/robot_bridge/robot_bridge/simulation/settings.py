"""Settings of the simulated robots. Importing this does not load MuJoCo."""

from __future__ import annotations

import dataclasses

from rosac_common.settings import setting


@dataclasses.dataclass(frozen=True)
class SimulationSettings:
    """The block `simulation`: what a simulated robot adds to ideal sensors and motors."""

    action_latency_s: float = setting(
        0.0,
        "time from command to motors, rounded to physics steps [s]; 0 as in ROBEL's simulation",
        minimum=0.0,
        maximum=1.0,
    )
    observation_noise: float = setting(
        0.0,
        "uniform sensor noise, full width as a part of each joint's range; 0 until randomised, then ROBEL's 0.05",
        minimum=0.0,
        maximum=1.0,
    )
