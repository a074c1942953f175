"""Settings of a training without ROS. No PyTorch here, so that help texts come fast."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from rosac_common.settings import setting, to_mapping

from sac_learner.learning.pacing import PacingSettings
from sac_learner.sac.settings import FREE_ON_RESUME, SacSettings

# Together with the two blocks: what makes a run another run.
_IDENTITY = ("env_id", "mode", "seed", "max_episode_steps")
_BLOCKS = ("sac.", "pacing.")


@dataclasses.dataclass(frozen=True)
class GymSettings:
    """One training; the blocks are described where they are declared."""

    env_id: str = setting("", "The environment: an id of Gymnasium, or MODULE:ID. Required.")
    mode: str = setting("sac", "Name of the mode that `sac` and `pacing` come from; kept with the results.")
    steps: int = setting(1, "Control steps of the whole training. Required.", minimum=1)
    seed: int = setting(0, "Seed of everything random. Source: own choice.", minimum=0)
    evaluation_interval_steps: int = setting(
        0, "Control steps between evaluations; 0: a twentieth of `steps`. Source: own choice.", minimum=0
    )
    evaluation_episodes: int = setting(
        10, "Episodes of an evaluation. Source: section 6.1 of arXiv 1802.09477 (TD3).", minimum=1, maximum=100_000
    )
    final_evaluation_episodes: int = setting(
        0, "Episodes of the evaluation at the end; 0: as many as in the others. Source: own choice.", minimum=0
    )
    max_episode_steps: int = setting(0, "Time limit of an episode in steps; 0: the environment's own.", minimum=0)
    threads: int = setting(
        0,
        "Threads of an update; 0: one for each core it may use, at most 4. Source: settings.LearnerNodeSettings, which "
        "leaves a core to the robot's nodes.",
        minimum=0,
        maximum=1024,
    )
    checkpoint_interval_updates: int = setting(
        1000, "Updates between checkpoints. Source: settings.StorageSettings.", minimum=1
    )
    keep_checkpoints: int = setting(
        3, "Newest checkpoints that are kept. Source: settings.StorageSettings.", minimum=1, maximum=1000
    )
    sac: SacSettings = dataclasses.field(default_factory=SacSettings)
    pacing: PacingSettings = dataclasses.field(default_factory=PacingSettings)

    @property
    def thread_count(self) -> int:
        """Threads of an update, with 0 resolved."""
        return self.threads or min(4, len(os.sched_getaffinity(0)))

    @property
    def total_updates(self) -> int:
        """Gradient updates of the whole training."""
        return int(self.pacing.updates_per_step * max(0, self.steps - self.sac.start_steps))

    def identity(self) -> dict[str, Any]:
        """What must be the same for a stored run to be gone on with, by dotted name."""
        free = {f"sac.{name}" for name in FREE_ON_RESUME}
        values = to_mapping(self)
        return {k: v for k, v in values.items() if k in _IDENTITY or (k.startswith(_BLOCKS) and k not in free)}
