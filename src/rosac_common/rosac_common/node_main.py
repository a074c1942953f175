"""`main()` of every node: init, spin, clear errors, orderly end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node

from rosac_common.settings import SettingsError

# A signal ends the wait at once; this only bounds it.
SPIN_TIMEOUT_S = 1.0


def run_node(factory: Callable[[], Node], arguments: Sequence[str] | None = None) -> int:
    """Make a node and spin it until Ctrl-C, SIGTERM or shutdown; returns the exit code.

    A node may have a method `close()`, called before it is destroyed, also after an error.
    """
    interruptible = True

    def on_interrupt(*_: object) -> None:
        """Ctrl-C ends the context, as SIGTERM does, and not a callback in its midst: what that does to a robot is
        finished. Before there is a context, nothing would end."""
        if interruptible:
            os._exit(0)

    signal.signal(signal.SIGINT, on_interrupt)
    rclpy.init(args=arguments)
    interruptible = False
    node = None
    try:
        try:
            node = factory()
        except SettingsError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        executor = EventsExecutor()
        executor.add_node(node)
        # Not spin(): without a time-out this executor (rclpy 7.1.6) polls the clock for ever and runs nothing.
        while rclpy.ok():
            executor.spin_once(timeout_sec=SPIN_TIMEOUT_S)
    except ExternalShutdownException:
        pass
    except Exception:
        if rclpy.ok():  # else a signal took the context away, while the node was made or in a callback
            raise
    finally:
        # An impatient second Ctrl-C must not interrupt what close() has to finish.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            getattr(node, "close", lambda: None)()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
