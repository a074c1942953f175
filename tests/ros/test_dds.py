"""What a graph and its operator's commands talk through: the loopback interface, and no shared memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.graph import SMALL_LEARNER, GraphProcess, children, own_parameters, rosac
from helpers.patience import PATIENCE_S, until
from sac_learner.graph.dds import PROFILES, RANGE, TRANSPORTS
from sac_learner.runs.episode_table import read_episodes

pytestmark = pytest.mark.ros

LOOPBACK = "0100007F"  # as /proc/net/udp has it


@pytest.fixture
def left_in_shared_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a process leaves behind that is killed while it opens its ports; nothing is set for its successors."""
    for name in (*PROFILES, TRANSPORTS, RANGE):
        monkeypatch.delenv(name, raising=False)
    first = 7400 + 250 * int(os.environ["ROS_DOMAIN_ID"])  # RTPS 2.2, 9.6.1.1
    # the names that Fast DDS 2 and 3 give to them
    left = [
        Path(f"/dev/shm/{library}_port{port}")
        for library in ("fastrtps", "fastdds")
        for port in range(first, first + 99)
    ]
    try:
        for path in left:
            path.write_bytes(bytes(65536))
        yield
    finally:
        for path in left:
            path.unlink(missing_ok=True)


def udp_addresses(pid: int) -> set[str]:
    """Local addresses of the UDP sockets of a process."""
    targets = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    sockets = {target.removeprefix("socket:[").removesuffix("]") for target in targets if target.startswith("socket:[")}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[9] in sockets}


def test_what_a_killed_process_left_in_shared_memory_is_in_nobodys_way(
    left_in_shared_memory: None, tmp_path: Path
) -> None:
    own = own_parameters(tmp_path / "fast.yaml", {"learner": SMALL_LEARNER})
    with GraphProcess("up", "run:=r", own, directory=tmp_path) as process:
        until(lambda: read_episodes(tmp_path / "runs" / "r" / "episodes.csv"), "an episode")
        assert rosac("safety", directory=tmp_path, timeout_s=PATIENCE_S).stdout.startswith("armed")
        pids = [process.process.pid, *(pid for pid, _ in children(process.process.pid))]
        assert len(pids) == 5
        for pid in pids:
            assert not re.findall(r"/dev/shm/fast\w+", Path(f"/proc/{pid}/maps").read_text())
            assert udp_addresses(pid) == {LOOPBACK}, "somebody on the network could command the robot"
