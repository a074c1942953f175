"""The space bar of the terminal that this process runs on."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable

# How often to look whether this process is in the foreground again, or shall end.
_LOOK_S = 0.2


class Keyboard:
    """Calls back, from a thread of its own, when the space bar is pressed. Without a terminal it does nothing.

    Keys then come one by one and are not shown; Ctrl-C stays what it is. In the background nothing is read: that would
    suspend this process. Back in the foreground, and after Ctrl-Z and `fg`, it listens again.
    """

    def __init__(self, on_space: Callable[[], None]) -> None:
        self._on_space = on_space
        self._file = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="keyboard", daemon=True)

    @property
    def is_there(self) -> bool:
        """Whether there is a terminal."""
        return self._file is not None

    def __enter__(self) -> Keyboard:
        if self._file is not None:
            self._before = termios.tcgetattr(self._file)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._end.set()
            self._thread.join()
            if self._in_foreground():
                termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def _listen(self) -> None:
        while not self._end.is_set():
            if not self._in_foreground():
                self._end.wait(_LOOK_S)
                continue
            if termios.tcgetattr(self._file)[tty.LFLAG] & termios.ICANON:
                tty.setcbreak(self._file, termios.TCSANOW)
            if select.select([self._file], [], [], _LOOK_S)[0]:
                keys = os.read(self._file, 1024)
                if not keys:
                    return  # the terminal is gone
                if b" " in keys:
                    self._on_space()

    def _in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._file) == os.getpgrp()
        except OSError:
            return False  # the terminal is another session's, or gone
