"""Real-time scheduling: taken where allowed, named where not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rosac_common.priority import raise_priority, session_niceness

PROGRAM = """
import os, threading
from rosac_common.priority import raise_priority
before = threading.Event()
threading.Thread(target=before.wait, daemon=True).start()
problem = raise_priority(10)
policies = {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}
print(policies == {os.SCHED_FIFO} if not problem else "'<user> - rtprio 30'" in problem)
"""


def test_all_threads_get_it_or_the_remedy_is_named() -> None:
    output = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "True"


def test_zero_changes_nothing() -> None:
    policy = os.sched_getscheduler(0)
    assert raise_priority(0) == ""
    assert os.sched_getscheduler(0) == policy


@pytest.mark.parametrize("own_session", [True, False])
@pytest.mark.parametrize(("before", "asked", "now"), [(0, 10, 10), (15, 10, 15)])
def test_gives_way_to_other_sessions_too_but_never_goes_ahead(own_session, before, asked, now) -> None:
    program = f"""
import os
from rosac_common.priority import give_way, session_niceness
said = give_way({before}) + give_way({asked})
print(said, os.getpriority(os.PRIO_PROCESS, 0), session_niceness())
"""
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=own_session)
    niceness, session = output.stdout.split()
    assert niceness == str(now)
    of_session = session_niceness()
    assert session in ({str(now), "None"} if own_session else {str(of_session)})


@pytest.mark.parametrize(("said", "niceness"), [("/autogroup-7 nice 3\n", 3), ("", None), (FileNotFoundError(), None)])
def test_a_session_without_a_group_is_none(monkeypatch, said, niceness) -> None:
    def read_text(path, encoding):
        if isinstance(said, str):
            return said
        raise said

    monkeypatch.setattr(Path, "read_text", read_text)
    assert session_niceness() == niceness
