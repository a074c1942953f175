"""Imported before anything else: gives a benchmark the environment of ROS, whether or not something is sourced."""

from rosac_common.environment import ensure_ros_environment

ensure_ros_environment()
