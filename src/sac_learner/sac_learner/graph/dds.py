"""Settings of Fast DDS for everything that belongs to a graph: its nodes and the commands that speak to them. Another
DDS, and a user's own profile, are left alone.

Quick discovery: nodes announce themselves four times a second, so that an operator's command finds them at once. Fast
DDS answers a newcomer once, often before that one listens, and then announces itself every 3 s. Somebody who stops the
robot would wait so long: 2 s in the middle of 16 trials; with this 0 to 0.5 s in 8.

UDP alone. By shared memory, Fast DDS's first choice,

- a program does not start, and says nothing, for as long as there is a file in /dev/shm that another one had begun to
  make when it was killed (own observation, Fast DDS 2.14 and 3.2: `open_port_internal` waits for it without end);
- a computer that left the nodes next to no processor time delivered nothing any more from one of them to another, for
  45 minutes and without a word (own observation, twice; Fast DDS's issues 4180, 5053 and 5469 tell of the like).

UDP on the loopback interface alone, unless the network is asked for. ROS 2's own LOCALHOST always has shared memory,
too, whatever FASTDDS_BUILTIN_TRANSPORTS says, and listens on every interface of the computer
(rmw_fastrtps_shared_cpp, participant.cpp). So the range is left to Fast DDS, and a profile does what LOCALHOST does,
without these two.

Buffers of 4 MB (own measurement): a policy of 390 kB comes in six datagrams, of which Linux's usual 208 kB hold two.
What comes meanwhile is dropped and has to be sent again, an observation or an action too late for its period: 74 drops
in a minute at 50 Hz, with 4 MB none. Where net.core.rmem_max allows less, 208 kB as a rule, it is doubled at least.
"""

from __future__ import annotations

import os
from pathlib import Path

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
# Fast DDS 2, Jazzy's, knows the first one only; its successors complain about that and want the second.
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
_UDP = "UDPv4"
_FOLDER = Path(__file__).parent


def dds_environment(discovery: str) -> dict[str, str]:
    """Environment variables of a process, to be set before its first node is made.

    Args:
        discovery: `localhost`, or `subnet`: whom the nodes can talk to.

    Returns:
        The range, and Fast DDS's settings as far as the user has made none. With transports of the user's own the range
        is ROS 2's; only the discovery is ours then.
    """
    reach = {RANGE: discovery.upper()}
    other_dds = "fastrtps" not in os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    chosen = {os.environ.get(name, "") for name in PROFILES} - {""}
    if other_dds or any(Path(path).parent != _FOLDER for path in chosen):
        return reach
    profile = PROFILES[0] if os.environ.get("ROS_DISTRO") == "jazzy" else PROFILES[1]
    subnet = {**reach, profile: str(_FOLDER / "dds_subnet.xml")}
    if os.environ.get(TRANSPORTS, "") not in ("", _UDP):
        return subnet
    if discovery == "subnet":
        return {**subnet, TRANSPORTS: _UDP}
    return {RANGE: "SYSTEM_DEFAULT", profile: str(_FOLDER / "dds_localhost.xml")}
