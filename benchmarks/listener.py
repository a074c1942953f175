"""A node that listens in a thread of its own while a benchmark drives a graph."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


class Listener:
    """Make subscriptions on `node` in the constructor of a subclass, then call :meth:`begin`."""

    def __init__(self, name: str) -> None:
        self._context = rclpy.Context()
        self._context.init(args=[])
        self.node = Node(name, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)

    def begin(self) -> None:
        """Hear from now on."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdown()
        self._thread.join(5.0)
        self.node.destroy_node()
        self._context.try_shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
