"""Real-time scheduling: taken where allowed, named where not."""

import os
import subprocess
import sys

from rosac_common.priority import raise_priority

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
