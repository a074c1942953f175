"""An error nobody foresaw, in a bridge on emulated servos: torque off, latched, named."""

import pytest
import rclpy
import yaml
from helpers.commander import LEGS, ROBOT, robot_parameters
from helpers.patience import until
from rclpy.lifecycle import TransitionCallbackReturn
from robot_bridge.bridge_node import BridgeNode
from robot_bridge.causes import Cause
from robot_bridge.emulator import EmulatorProcess
from robot_bridge.gate_types import GateState
from std_srvs.srv import Trigger

pytestmark = pytest.mark.ros


@pytest.fixture(params=[ROBOT, LEGS], ids=lambda robot: robot.name)
def armed(request, tmp_path):
    """A bridge in this process, its callbacks called by hand; and its servos."""
    robot = request.param
    with EmulatorProcess(robot) as emulator:
        settings = {"backend": "dynamixel", "bus.port": emulator.port, "time_base": "realtime", "autostart": False}
        # Nothing here is quick: the servos must not stop by themselves.
        settings |= {"robot.servos.bus_watchdog_s": 2.0, "bus.reply_timeout_s": 0.2}
        path = tmp_path / "parameters.yaml"
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": {**robot_parameters(robot), **settings}}}))
        rclpy.init(args=["--ros-args", "--params-file", str(path)])
        node = BridgeNode()
        assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() is TransitionCallbackReturn.SUCCESS
        answer = node._on_arm(Trigger.Request(), Trigger.Response())
        assert answer.success, answer.message
        assert torque(emulator, robot) == [True] * len(robot.joint_names)
        yield node, emulator, robot
        node.close()
        node.destroy_node()
        rclpy.shutdown()


def torque(emulator, robot):
    return [servo["torque_on"] for servo in emulator.status()["servos"][: len(robot.joint_names)]]


@pytest.mark.parametrize("broken", ["read", "poll_health"])
def test_it_switches_torque_off_and_stays_until_configured_anew(armed, broken, monkeypatch):
    node, emulator, robot = armed

    def fail(*_):
        raise ZeroDivisionError("nobody foresaw this")

    with monkeypatch.context() as patch:
        patch.setattr(node._backend, broken, fail)
        until(lambda: node._on_tick() or node._gate.state is GateState.STOPPED, "it is called")
    assert node._gate.state is GateState.STOPPED
    (cause,) = node._gate.report().causes
    assert cause.cause is Cause.BACKEND_FAILED and "nobody foresaw this" in cause.detail
    until(lambda: not any(torque(emulator, robot)), "torque is off")
    assert not node._on_reset(Trigger.Request(), Trigger.Response()).success
    assert not node._on_arm(Trigger.Request(), Trigger.Response()).success
    assert not any(torque(emulator, robot))
