"""Set-up of every test process: a ROS domain of its own. (The ROS environment comes from rosac_common's plugin.)"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from helpers.domain import claim_domain  # noqa: E402 - tests are not a package

# In the background of a script SIGINT is ignored, and children inherit that: tests of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["ROS_DOMAIN_ID"] = str(claim_domain())
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
