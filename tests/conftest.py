"""Set-up of every test process: a ROS domain of its own, the same examples each time, however slow the machine is.

The ROS environment comes from rosac_common's plugin.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from helpers.domain import claim_domain  # noqa: E402 - tests are not a package
from hypothesis import HealthCheck, settings  # noqa: E402

# In the background of a script SIGINT is ignored, and children inherit that: tests of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Where it is set, nobody sees what a program forgot to flush.
os.environ.pop("PYTHONUNBUFFERED", None)
os.environ["ROS_DOMAIN_ID"] = str(claim_domain())
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# By default an example that takes longer than 0.2 s fails, as it does on a machine that stands still for a moment.
settings.register_profile("rosac", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rosac")
