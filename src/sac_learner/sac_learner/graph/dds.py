"""Settings of Fast DDS for the nodes of a graph. Another DDS ignores them.

Quick discovery: the nodes announce themselves four times a second, so that an operator's command finds them at once.
Fast DDS answers a newcomer once, often before that one listens, and then announces itself every 3 s. Somebody who stops
the robot would wait so long: 2 s in the middle of 16 trials; with this 0 to 0.5 s in 8.

UDP alone: by shared memory, Fast DDS's first choice, a computer that left the nodes next to no processor time delivered
nothing any more from one of them to another, for 45 minutes and without a word; both were there, and each was heard by
others (own observation, twice within two hours; Fast DDS's issues 4180, 5053 and 5469 tell of the like). UDP is as fast
here: 63 s for 1,400 steps of the valve, where shared memory took 70.
"""

from __future__ import annotations

import os
from pathlib import Path

# Fast DDS 2, Jazzy's, knows the first one only; its successors complain about that and want the second.
_JAZZY, _LATER = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"


def dds_environment() -> dict[str, str]:
    """Environment variables of the nodes; empty when the user has a profile of their own, and without the choice of
    transports when they have made that one."""
    if os.environ.get(_JAZZY) or os.environ.get(_LATER):
        return {}
    name = _JAZZY if os.environ.get("ROS_DISTRO") == "jazzy" else _LATER
    variables = {name: str(Path(__file__).with_name("quick_discovery.xml"))}
    return variables if os.environ.get(_TRANSPORTS) else {**variables, _TRANSPORTS: "UDPv4"}
