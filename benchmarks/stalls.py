"""How long the machine itself stands still: how late a program wakes up that only sleeps, at the highest priority here.

A virtual machine is paused by its host, and a kernel that cannot be interrupted holds up whoever is to run. No node can
be earlier than that, so real-time figures are worth as much as these beside them.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

# Above the emulator of servos, the highest of the project's (rosac_common/priority.py), and below ros2_control's 50.
_PRIORITY = 40
_SLEEP_S = 0.001


class Stalls:
    """Context manager; once it has ended, `late_s` holds how late [s] it woke up, each time.

    Raises:
        RuntimeError: real-time scheduling is not allowed; the message says how to allow it.
    """

    def __init__(self) -> None:
        self.late_s: list[float] = []

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._program = subprocess.Popen([sys.executable, __file__], stdin=pipe, stdout=pipe, text=True)
        if problem := json.loads(self._program.stdout.readline()):
            self._program.communicate()
            raise RuntimeError(problem)
        return self

    @property
    def pid(self) -> int:
        """Process id of the program that sleeps."""
        return self._program.pid

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.late_s = json.loads(self._program.communicate()[0])  # which closes its input


def _main() -> None:
    """Sleep until the input is closed."""
    from rosac_common.priority import raise_priority

    print(json.dumps(raise_priority(_PRIORITY)), flush=True)
    late_s, goes_on = [], True
    while goes_on:
        due_s = time.monotonic() + _SLEEP_S
        goes_on = not select.select([sys.stdin], [], [], _SLEEP_S)[0]
        late_s.append(max(0.0, time.monotonic() - due_s))
    print(json.dumps(late_s))


if __name__ == "__main__":
    _main()
