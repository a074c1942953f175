"""Robots made of Dynamixel X-series servos on a serial bus, driven with dynamixel-sdk. No ROS here."""
