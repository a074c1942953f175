"""Priority of a node's process. Real-time as ros2_control's controller manager does it: asked for, not required."""

from __future__ import annotations

import os
import time
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
# Name and niceness of the process's session: sched(7), the autogroup feature.
_GROUP = Path("/proc/self/autogroup")
_GROUP_TRIES, _GROUP_RETRY_S = 10, 0.1


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


def give_way(niceness: int) -> str:
    """Let other programs go first; call it before threads are made, they inherit it. Never raises the priority.

    Where Linux groups processes by session (sched(7), the autogroup feature), niceness only counts among those of one
    session: a process that leads its own sets that of the group too.

    Returns:
        What could not be done; empty when all was done.
    """
    os.setpriority(os.PRIO_PROCESS, 0, max(niceness, os.getpriority(os.PRIO_PROCESS, 0)))
    if os.getsid(0) != os.getpid():
        return ""
    for _ in range(_GROUP_TRIES):
        if (now := session_niceness()) is None:
            return ""
        try:
            _GROUP.write_text(str(max(niceness, now)), encoding="ascii")
        except BlockingIOError:  # Linux takes one such change of an ordinary user in 0.1 s
            time.sleep(_GROUP_RETRY_S)
        except OSError as error:
            return f"its session keeps its priority: niceness {niceness} in {_GROUP}: {error.strerror}"
        else:
            return ""
    return f"its session keeps its priority: Linux refused niceness {niceness} in {_GROUP} {_GROUP_TRIES} times"


def session_niceness() -> int | None:
    """That of the session of this process; None where Linux does not group by session, or not this one."""
    try:
        said = _GROUP.read_text(encoding="ascii").split()
    except OSError:  # a kernel without it
        return None
    return int(said[-1]) if said else None  # empty: no session was begun since the system was started
