"""Dynamixel servos that are not there: a pseudo-terminal that answers as the bus does, over a simulated robot.

No ROS here. `EmulatorProcess` starts one as a process of its own.
"""

from robot_bridge.emulator.process import EmulatorProcess
from robot_bridge.emulator.reading_history import ReadingHistory

__all__ = ["EmulatorProcess", "ReadingHistory"]
