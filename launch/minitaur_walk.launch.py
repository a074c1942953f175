"""Minitaur walks: `ros2 launch sac_learner minitaur_walk.launch.py`; `-s` shows the arguments."""

from sac_learner.graph.launch_description import describe

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """The graph of the stack minitaur_walk."""
    return describe("minitaur_walk")
