"""Shared by the rosac packages: ROS environment, message conversion, QoS profiles, settings."""
