"""The bridge's program, in which signals break what no emulated servo can: a method of its robot raises an error that
nobody foresaw, once; or voltage and temperature cannot be read, until the next such signal."""

import signal
import sys

from robot_bridge.backend import ReadError
from robot_bridge.bridge_node import main
from robot_bridge.dynamixel.robot import DynamixelRobot
from robot_bridge.dynamixel.slow_registers import SlowRegisters

METHODS = {signal.SIGUSR1: "read", signal.SIGUSR2: "poll_health"}
NO_TEMPERATURE = signal.SIGHUP


def break_once(number, _):
    name = METHODS[number]
    whole = getattr(DynamixelRobot, name)

    def broken(self):
        setattr(DynamixelRobot, name, whole)
        raise ZeroDivisionError("nobody foresaw this")

    setattr(DynamixelRobot, name, broken)


def break_until_the_next(*_, whole=SlowRegisters.read_next):
    def lost(self):
        raise ReadError("no answer to voltage and temperature")

    SlowRegisters.read_next = lost if SlowRegisters.read_next is whole else whole


if __name__ == "__main__":
    for each in METHODS:
        signal.signal(each, break_once)
    signal.signal(NO_TEMPERATURE, break_until_the_next)
    sys.exit(main())
