"""The reset and the thermal pause on servos: real task, real bridge, the SDK, emulated servos in real time."""

from __future__ import annotations

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from helpers.reset_goal import begun, client_of
from helpers.ros import NodeProcess, call, ros_node, spin_until
from helpers.surroundings import PARAMETERS, ROBOT, task
from rclpy.node import Node
from robot_bridge.emulator import EmulatorProcess
from sac_interfaces.msg import JointHealth
from std_srvs.srv import Trigger

from rosac_common import qos

pytestmark = pytest.mark.ros

# A pause of a busy test machine must not stop the robot: what does is tested elsewhere.
PATIENT = {
    "time_base": "realtime",
    "robot.servos.bus_watchdog_s": 2.0,
    "robot.safety.state_timeout_s": 5.0,
    "robot.safety.read_failures_hold": 1000,
    "robot.safety.read_failures_stop": 1000,
}


def bridge(port: str) -> NodeProcess:
    robot = {name: value for name, value in PARAMETERS.items() if name.startswith("robot.")}
    return NodeProcess("robot_bridge", "bridge", robot | PATIENT | {"backend": "dynamixel", "bus.port": port})


def arm(node: Node) -> None:
    """Arm as soon as the bridge has opened the robot."""
    spin_until(node, lambda: call(node, Trigger, "safety/arm").success, what="armed")


def torque(emulator: EmulatorProcess) -> list[bool]:
    return [servo["torque_on"] for servo in emulator.status()["servos"]]


def test_reset_and_rest_on_servos() -> None:
    health: list[JointHealth] = []
    with (
        ros_node() as node,
        EmulatorProcess(ROBOT) as emulator,
        bridge(emulator.port),
        task(**PATIENT),
    ):
        node.create_subscription(JointHealth, "joint_health", health.append, qos.LATCHED)
        client = client_of(node)
        arm(node)
        goal = begun(node, client, 1.5)
        assert goal.end().success, goal.result.message
        assert goal.result.position_rad[9] == pytest.approx(1.5, abs=np.radians(5))
        assert emulator.status()["position_rad"][9] == pytest.approx(1.5, abs=np.radians(6))
        assert torque(emulator) == [True] * 9 + [False]  # the valve turns freely in the episode

        emulator.fault("temperature", id=21, celsius=70.0)
        spin_until(node, lambda: health and max(health[-1].temperature_c) > 65, what="the bridge sees it")
        goal = begun(node, client, -1.0)
        spin_until(node, lambda: not any(torque(emulator)), what="torque off")
        assert goal.phases == ["resting: the motors cool down"]
        emulator.fault("temperature", id=21, celsius=40.0)
        assert goal.end().success, goal.result.message
        assert goal.status == GoalStatus.STATUS_SUCCEEDED
        assert goal.result.position_rad[9] == pytest.approx(-1.0, abs=np.radians(5))
        assert torque(emulator) == [True] * 9 + [False]
