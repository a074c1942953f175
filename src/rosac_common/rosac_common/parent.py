"""No process outlives the one that it serves: the kernel ends it when its parent dies, however that dies."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, number: signal.Signals) -> None:
    """Ask the kernel for that signal to this process when the parent dies; send it now if the parent has died already.

    Args:
        parent: process id that the parent had when it made this process.
        number: signal that ends this process in order.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def ending_with_this_process(number: signal.Signals) -> Callable[[], None]:
    """`preexec_fn` of a `subprocess.Popen` whose child shall get that signal when this process dies."""
    return functools.partial(end_with_parent, os.getpid(), number)
