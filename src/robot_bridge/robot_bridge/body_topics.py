"""The bridge's side of imu/data and odom: published of a simulation, listened to on hardware."""

from __future__ import annotations

import time
from collections.abc import Callable

from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Imu

from robot_bridge.body_link import BodyWatch
from robot_bridge.body_messages import imu_message, imu_reading, odometry_message, odometry_reading
from robot_bridge.body_state import BodyState
from rosac_common import qos


class BodyTopics:
    """Args:
    node: the bridge.
    simulated: whether the bridge itself measures the body.
    watch: what judges readings from elsewhere; None while there is no motion loop.
    """

    def __init__(self, node: LifecycleNode, simulated: bool, watch: Callable[[], BodyWatch | None]) -> None:
        self._watch = watch
        self._imu = self._odometry = None
        if simulated:
            self._imu = node.create_lifecycle_publisher(Imu, "imu/data", qos.STATE)
            self._odometry = node.create_lifecycle_publisher(Odometry, "odom", qos.STATE)
        else:
            node.create_subscription(Imu, "imu/data", self._on_imu, qos.SENSORS)
            node.create_subscription(Odometry, "odom", self._on_odometry, qos.SENSORS)

    def publish(self, body: BodyState | None) -> None:
        """What the sensors of a simulated body measure."""
        if self._imu is not None and body is not None:
            self._imu.publish(imu_message(body))
            self._odometry.publish(odometry_message(body))

    def _on_imu(self, message: Imu) -> None:
        if (watch := self._watch()) is not None:
            watch.imu(imu_reading(message), time.monotonic())

    def _on_odometry(self, message: Odometry) -> None:
        if (watch := self._watch()) is not None:
            watch.odometry(odometry_reading(message), time.monotonic())
