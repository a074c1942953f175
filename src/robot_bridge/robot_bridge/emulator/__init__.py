"""Dynamixel servos that are not there: a pseudo-terminal that answers as the bus does, over a simulated robot.

No ROS here. `EmulatorProcess` starts one as a process of its own.
"""

from robot_bridge.emulator.goal_history import GoalHistory
from robot_bridge.emulator.process import EmulatorProcess

__all__ = ["EmulatorProcess", "GoalHistory"]
