"""`main()` of every node: init, spin, clear errors, orderly end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node

from rosac_common.settings import SettingsError


def run_node(factory: Callable[[], Node], arguments: Sequence[str] | None = None) -> int:
    """Make a node and spin it until Ctrl-C, SIGTERM or shutdown; returns the exit code.

    A node may have a method `close()`, called before it is destroyed, also after an error.
    """
    code = 0
    with rclpy.init(args=arguments):
        try:
            node = factory()
        except SettingsError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        executor = EventsExecutor()
        executor.add_node(node)
        try:
            executor.spin()
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
        finally:
            getattr(node, "close", lambda: None)()
            node.destroy_node()
    return code
