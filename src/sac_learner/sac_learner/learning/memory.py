"""How much memory this process may still take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_UNLIMITED = 2**63
# Limit, use, and the field of memory.stat that holds what the kernel gives back at once: files read or written lately.
_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available_memory_bytes(system: Path = Path("/")) -> int:
    """Memory that this process may still take: of the machine, and of every control group that it is in.

    Args:
        system: root of the file system, for tests.
    """
    meminfo = system / "proc/meminfo"
    lines = meminfo.read_text(encoding="ascii").splitlines() if meminfo.exists() else []
    machine = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return min([_UNLIMITED, *machine, *_left_in_groups(system)])


def _left_in_groups(system: Path) -> Iterator[int]:
    """What is left below each limit: of its own groups (cgroups(7)) and of those around them."""
    membership = system / "proc/self/cgroup"
    for line in membership.read_text(encoding="utf-8").splitlines() if membership.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = system / "sys/fs/cgroup" / controllers
        own = top / path.lstrip("/")
        # In a container the path may be the host's, of which only the top is there.
        for group in (own, *own.parents):
            left = _left(group, 2 if not controllers else 1)
            if left is not None:
                yield left
            if group == top:
                break


def _left(group: Path, version: int) -> int | None:
    limit, used, reclaimable = _FILES[version]
    try:
        text = (group / limit).read_text(encoding="ascii").strip()
        if text == "max":
            return None
        taken = int((group / used).read_text(encoding="ascii"))
        counters = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except OSError:  # no such group here, or the top one, which has no limit
        return None
    return max(0, int(text) - taken + int(counters.get(reclaimable, 0)))


def megabytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e6:,.1f} MB"
