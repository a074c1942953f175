"""The end of a bridge's hold on its robot: torque off while no motion loop runs, and what is known and said of that."""

from __future__ import annotations

import contextlib
import os
import sys

import numpy as np
from rclpy.node import Node

from robot_bridge.backend import BackendError, RobotBackend
from robot_bridge.causes import Cause
from robot_bridge.gate import SafetyGate
from robot_bridge.motion import MotionLoop


class TorqueOff:
    """Switches the torque off, and closes the robot.

    Args:
        node: in whose log it says what became of that.
        backend: the robot.
        gate: says whether its connection is lost.
        joint_count: all joints of the robot and its surroundings.
    """

    def __init__(self, node: Node, backend: RobotBackend, gate: SafetyGate, joint_count: int) -> None:
        self._node, self._backend, self._gate, self._count = node, backend, gate, joint_count
        self.opened = False  # the robot; and not closed by an error since
        self._unheard = False  # whether the last loop ended before the robot had confirmed that its torque is off

    def robot_opened(self) -> None:
        """Opening it has switched its torque off."""
        self.opened, self._unheard = True, False

    def loop_begins(self, loop: MotionLoop) -> None:
        """A loop goes on with what the robot has not confirmed."""
        if self._unheard:
            loop.enforce()
            self._unheard = False

    def loop_ends(self, loop: MotionLoop) -> None:
        """The last thing that a loop does."""
        self._unheard = True  # also if what follows fails
        problem = loop.end()
        self._unheard = problem != ""
        if problem:
            self._say(f"it is not known whether torque is off, cut the power: {problem}", fatal=True)

    def now(self) -> None:
        """Torque off while no loop runs.

        Raises:
            BackendError: the robot was not told, or does not answer.
        """
        self._backend.write(np.zeros(self._count), np.zeros(self._count, dtype=bool))
        if self._unheard:
            self._unheard = False
            self._node.get_logger().info("torque is off now")

    def try_again(self) -> None:
        """Torque off that the robot had not confirmed at the end of the loop."""
        if self._unheard:
            with contextlib.suppress(Exception):  # said at that end; whatever it is, it must not end this
                self.now()

    def close(self) -> None:
        """Close the robot, with its torque off."""
        try:
            self._backend.close()
        except BackendError as error:
            self._say(f"it is not known whether torque is off, cut the power: {error}", fatal=True)
            return
        lost = (self._unheard or not self.opened) and self._gate.is_active(Cause.CONNECTION_LOST)
        self._say("robot closed without a connection" if lost else "torque off, robot closed")

    def _say(self, text: str, fatal: bool = False) -> None:
        """Log it; after a signal the logger has lost its topic and would complain."""
        if self._node.context.ok():
            # A line of code logs with one severity only (rclpy).
            if fatal:
                self._node.get_logger().fatal(text)
            else:
                self._node.get_logger().info(text)
            return
        with contextlib.suppress(OSError):  # a full disk must not come between a robot and its torque-off
            os.write(sys.stdout.fileno(), f"{text}\n".encode())
