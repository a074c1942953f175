"""The bridge's program with errors that nobody foresaw: each signal breaks one method of its robot, once."""

import signal
import sys

from robot_bridge.bridge_node import main
from robot_bridge.dynamixel.robot import DynamixelRobot

METHODS = {signal.SIGUSR1: "read", signal.SIGUSR2: "poll_health"}


def break_once(number, _):
    name = METHODS[number]
    whole = getattr(DynamixelRobot, name)

    def broken(self):
        setattr(DynamixelRobot, name, whole)
        raise ZeroDivisionError("nobody foresaw this")

    setattr(DynamixelRobot, name, broken)


if __name__ == "__main__":
    for each in METHODS:
        signal.signal(each, break_once)
    sys.exit(main())
