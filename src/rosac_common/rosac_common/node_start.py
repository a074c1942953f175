"""The first moments of a node's process, before its own `main` answers signals: imports take seconds."""

from __future__ import annotations

import importlib
import os
import signal


def start(module: str) -> int:
    """Import a node's module and run its `main()`; returns its exit code.

    Until that answers Ctrl-C, it ends this process at once, in silence: nothing is begun that would have to be
    finished, and a traceback would hide why the other nodes end.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    return importlib.import_module(module).main()
