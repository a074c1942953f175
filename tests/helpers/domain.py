"""A ROS domain of its own for this process, so that tests running side by side cannot hear each other."""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from pathlib import Path
from typing import IO

_held: list[IO[str]] = []


def claim_domain() -> int:
    """Lock a free domain id in 1..99 until this process ends (ids above 101 collide with ephemeral ports)."""
    for domain in random.sample(range(1, 100), 99):
        path = Path(tempfile.gettempdir()) / f"rosac-test-domain-{domain}.lock"
        handle = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            continue
        _held.append(handle)
        return domain
    raise RuntimeError("all 99 test domains are taken; end other test runs")
