"""Real-time scheduling of a node's process, as ros2_control's controller manager does it: asked for, not required."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rosac_common.settings import setting

# Below ros2_control's 50, so that a driver of the hardware goes first.
REALTIME_PRIORITY = 10
# What talks to the motors goes before what decides for them: motors that hear nothing stop by themselves.
BRIDGE_PRIORITY = 20
# Servos wait for nobody.
EMULATOR_PRIORITY = 30
# A simulation in lockstep, where nothing moves: above everything else, but never in the way of a robot beside it.
LOCKSTEP_PRIORITY = 1


def priority_setting() -> Any:
    """The setting `realtime_priority` of every node that a robot's step passes through."""
    return setting(
        0,
        f"SCHED_FIFO priority of the whole process, 0: normal scheduling; the stacks set {BRIDGE_PRIORITY} for the "
        f"bridge in real time, {REALTIME_PRIORITY} for others, {LOCKSTEP_PRIORITY} in lockstep (own figures: below "
        "ros2_control's 50)",
        minimum=0,
        maximum=99,
    )


def raise_priority(priority: int) -> str:
    """Give every thread of this process SCHED_FIFO; threads made later inherit it.

    Returns:
        Why it could not be done and what to do about it; empty when it was done or priority is 0.
    """
    if priority == 0:
        return ""
    try:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return (
            f"no real-time scheduling ({error.strerror}): a busy machine may delay each step by milliseconds. Allow it "
            f"with a line '<user> - rtprio {max(priority, EMULATOR_PRIORITY)}' in /etc/security/limits.conf, then log "
            "in again"
        )
    return ""
