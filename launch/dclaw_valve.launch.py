"""D'Claw turns a valve: `ros2 launch sac_learner dclaw_valve.launch.py`; `-s` shows the arguments."""

from sac_learner.graph.launch_description import describe

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """The graph of the stack dclaw_valve."""
    return describe("dclaw_valve")
