"""Set-up of every test process: a ROS domain of its own, the same examples each time, however slow the machine is.

The ROS environment comes from rosac_common's plugin. `make test` has two processes: one for the tests of whole graphs
and buses, which wait much and must not be late, and one for all others, which compute in the time that is left.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from helpers.domain import claim_domain  # noqa: E402 - tests are not a package
from hypothesis import HealthCheck, settings  # noqa: E402
from sac_learner.graph.dds import dds_environment  # noqa: E402

# In the background of a script SIGINT is ignored, and children inherit that: tests of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Where it is set, nobody sees what a program forgot to flush.
os.environ.pop("PYTHONUNBUFFERED", None)
os.environ["ROS_DOMAIN_ID"] = str(claim_domain())
os.environ.update(dds_environment("localhost"))
# By default an example that takes longer than 0.2 s fails, as it does on a machine that stands still for a moment.
settings.register_profile("rosac", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rosac")


def group(nodeid: str) -> str:
    """The process that runs a test."""
    return "graphs and buses" if nodeid.startswith(("tests/ros/", "tests/hardware/")) else "others"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return ByGroup(config, log)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Of a run that is ended before its summary, this is all that is known."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext[-2000:]}", flush=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # A lone process would have to raise it again for the other tests, which only root may.
    if group(item.nodeid) == "others" and os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1") != "1":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
