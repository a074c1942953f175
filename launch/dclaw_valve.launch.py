"""D'Claw turns a valve: `ros2 launch sac_learner dclaw_valve.launch.py`; `-s` shows the arguments."""

from launch import LaunchDescription
from sac_learner.launch_description import describe


def generate_launch_description() -> LaunchDescription:
    """The graph of the stack dclaw_valve."""
    return describe("dclaw_valve")
