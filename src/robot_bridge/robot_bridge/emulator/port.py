"""The emulated port: a pseudo-terminal with a fixed name, which can be pulled out and put back."""

from __future__ import annotations

import os
import pty
import termios
import tty
from pathlib import Path

# Constant of termios -> bit/s.
_SPEEDS = {
    getattr(termios, name): int(name[1:]) for name in dir(termios) if name.startswith("B") and name[1:].isdecimal()
}


class EmulatedPort:
    """A pseudo-terminal whose other end a link points to, as a udev link does to a USB adapter.

    Args:
        link: path of the link; an old one that leads nowhere is replaced.
    """

    def __init__(self, link: Path) -> None:
        self._link = link
        self._master = self._slave = -1

    @property
    def plugged(self) -> bool:
        """Whether the link leads anywhere."""
        return self._master >= 0

    def fileno(self) -> int:
        """Of the servos' end, for select()."""
        return self._master

    def plug(self) -> None:
        """A fresh pseudo-terminal under the link.

        Raises:
            FileExistsError: there is something else already, such as the port of another emulator.
        """
        if self.plugged:
            return
        if self._link.exists():
            raise FileExistsError(
                f"{self._link} exists; is another emulator running there? End it, or take another name"
            )
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        """The link and the terminal go; whoever has it open gets a hang-up."""
        if not self.plugged:
            return
        self._link.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    @property
    def baud_rate(self) -> int:
        """What the other end has set [bit/s]; 0: something unknown."""
        return _SPEEDS.get(termios.tcgetattr(self._master)[5], 0)

    def read(self) -> bytes:
        """What has come in; empty when nothing has."""
        try:
            return os.read(self._master, 65_536)
        except (BlockingIOError, OSError):
            return b""

    def write(self, data: bytes) -> None:
        """Send; what does not fit because nobody reads is lost, as on a wire."""
        try:
            os.write(self._master, data)
        except BlockingIOError:
            return
