"""Settings of the actor and learner nodes. No PyTorch here, so that help texts come fast."""

from __future__ import annotations

import dataclasses
import os

from rosac_common.priority import priority_setting
from rosac_common.settings import setting

from sac_learner.learning.intake import IntakeSettings
from sac_learner.learning.pacing import PacingSettings
from sac_learner.sac.settings import RelabellingSettings, SacSettings


@dataclasses.dataclass(frozen=True)
class ActorSettings:
    """Settings of the actor node."""

    observation_size: int = setting(
        21, "Numbers in an observation. Source: facts of ROBEL's D'Claw Turn.", minimum=1, maximum=100_000
    )
    action_size: int = setting(9, "Numbers in an action. Source: the D'Claw's joints.", minimum=1, maximum=10_000)
    seed: int = setting(0, "Seed of the exploration noise. Source: own choice.", minimum=0)
    realtime_priority: int = priority_setting()
    deterministic: bool = setting(
        False,
        "Answer with tanh(mean) instead of a drawn action. Source: the paper draws in training, not in evaluation.",
    )
    policy_file: str = setting(
        "", "An exported policy (.safetensors) to run instead of the policy topic; empty: the topic."
    )
    max_action_change: float = setting(
        0.5,
        "A new policy may change the deterministic action on recent observations by this much on average, for each "
        "version since the current one (the action box is 2 wide). Source: own choice, see docs/sac.md.",
        minimum=0.0,
        maximum=2.0,
    )
    recent_observations: int = setting(
        32, "Latest observations on which policies are compared. Source: own choice.", minimum=1, maximum=10_000
    )


@dataclasses.dataclass(frozen=True)
class StorageSettings:
    """What the learner writes into the run directory, and how often."""

    checkpoint_interval_updates: int = setting(
        1000,
        "Updates between checkpoints. Source: own choice; a crash costs the computing time of at most these updates, "
        "no data, and one checkpoint takes about 50 ms.",
        minimum=1,
    )
    keep_checkpoints: int = setting(3, "Newest checkpoints that are kept. Source: own choice.", minimum=1, maximum=1000)
    kept_policy_interval_steps: int = setting(
        1000,
        "Control steps between the exported policies that are kept for good in policies/, where `rosac eval --policy` "
        "takes them from when a later one is worse; 0: none. Source: own choice; such a file has 0.3 to 0.4 MB, no "
        "more than the replay log of as many steps.",
        minimum=0,
        maximum=1_000_000_000,
    )
    log_sync_period_s: float = setting(
        5.0,
        "The replay log is forced onto the disk once in this time [s]. Source: own choice; a power cut costs at most "
        "the transitions of this time, a crash of the process none.",
        minimum=0.0,
        maximum=3600.0,
    )
    metrics_period_s: float = setting(
        2.0, "Time between points in the TensorBoard events [s]. Source: own choice.", minimum=0.1, maximum=3600.0
    )


@dataclasses.dataclass(frozen=True)
class LearnerNodeSettings:
    """Settings of the learner node; the blocks are described where they are declared."""

    run_directory: str = setting(
        "", "Directory of the run; a checkpoint or replay log in it is resumed from. Required."
    )
    run: str = setting("run", "Name of the run, sent with every policy.")
    task_name: str = setting(
        "", "Name of the task; the replay log and checkpoints of another task are refused. Required."
    )
    observation_size: int = setting(
        21, "Numbers in an observation. Source: ROBEL's D'Claw Turn.", minimum=1, maximum=100_000
    )
    action_size: int = setting(9, "Numbers in an action. Source: the D'Claw's joints.", minimum=1, maximum=10_000)
    observation_symmetries: list[int] = setting(
        [],
        "Symmetries of the task, for sac.symmetry_augmentation, one row of observation_size each: +-(j + 1) at place i "
        "means new[i] = +-old[j]. The stacks take them from the task.",
    )
    action_symmetries: list[int] = setting([], "The same for the action, one row of action_size each.")
    relabelling: RelabellingSettings = dataclasses.field(default_factory=RelabellingSettings)
    total_steps: int = setting(0, "Transitions after which the run is finished; 0: no end.", minimum=0)
    seed: int = setting(0, "Seed of the weights, of sampling and of the policy's noise. Source: own choice.", minimum=0)
    device: str = setting(
        "cpu",
        "What computes the updates: cpu, cuda (a GPU), cuda:1, ... or auto: a GPU where there is one. Source: own "
        "choice, only on a CPU a run is repeated bit for bit.",
    )
    threads: int = setting(
        0,
        "Threads of an update; 0: the cores it may use less one, at most 4. Source: own choice; the robot's nodes "
        "need a core, and products of 256 x 256 gain little beyond 4 threads.",
        minimum=0,
        maximum=1024,
    )
    niceness: int = setting(
        10,
        "Process priority, 0 (normal) to 19 (lowest): robot nodes go first. Source: own choice, nice(1)'s default.",
        minimum=0,
        maximum=19,
    )
    status_rate_hz: float = setting(
        5.0, "Rate of learner/status beside its changes [Hz]. Source: LearnerStatus.msg.", minimum=0.1, maximum=100.0
    )
    policy_interval_updates: int = setting(
        20,
        "Updates between policies sent to the actor. Source: own choice, a tenth of softlearning's asynchronous "
        "sampler, which took new weights once per path of 200 steps.",
        minimum=1,
    )
    sac: SacSettings = dataclasses.field(default_factory=SacSettings)
    pacing: PacingSettings = dataclasses.field(default_factory=PacingSettings)
    intake: IntakeSettings = dataclasses.field(default_factory=IntakeSettings)
    storage: StorageSettings = dataclasses.field(default_factory=StorageSettings)

    @property
    def thread_count(self) -> int:
        """Threads of an update, with 0 resolved."""
        return self.threads or max(1, min(4, len(os.sched_getaffinity(0)) - 1))
