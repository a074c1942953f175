"""pytest plugin (`-p`, see pyproject.toml): gives the tests the environment of ROS.

A plugin, not a conftest.py: it is imported before pytest captures the output, which re-executing would lose.
"""

from rosac_common.environment import ensure_ros_environment

ensure_ros_environment()
