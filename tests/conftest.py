"""Set-up of every test process: a ROS domain of its own. (The ROS environment comes from rosac_common's plugin.)"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from helpers.domain import claim_domain  # noqa: E402 - tests are not a package

os.environ["ROS_DOMAIN_ID"] = str(claim_domain())
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
