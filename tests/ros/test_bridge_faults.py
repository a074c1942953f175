"""What nobody foresaw: an error in a callback stops the robot, is said, and is mended by configuring anew."""

import array

import pytest
import rclpy
import yaml
from helpers.commander import PARAMETERS
from rclpy.lifecycle import TransitionCallbackReturn
from robot_bridge.bridge_node import BridgeNode
from robot_bridge.causes import Cause
from robot_bridge.gate_types import GateState
from rosac_common.messages import stamp_from_nanoseconds
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

pytestmark = pytest.mark.ros


@pytest.fixture
def node(tmp_path):
    """A bridge in this process, its callbacks called by hand."""
    path = tmp_path / "parameters.yaml"
    parameters = {**PARAMETERS, "auto_arm": True, "autostart": False}
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
    rclpy.init(args=["--ros-args", "--params-file", str(path)])
    node = BridgeNode()
    yield node
    node.close()
    node.destroy_node()
    rclpy.shutdown()


def start(node):
    assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() is TransitionCallbackReturn.SUCCESS


def command(node):
    state = node._loop.state
    message = JointState(name=node.settings.robot.joint_names)
    message.header.stamp = stamp_from_nanoseconds(state.time_ns)
    message.position = array.array("d", state.position_rad[:9])
    node._on_command(message)


def ask(callback):
    return callback(Trigger.Request(), Trigger.Response())


def broken(*_):
    raise ZeroDivisionError("nobody foresaw this")


def test_stops_without_torque_until_the_bridge_is_configured_again(node, monkeypatch):
    start(node)
    command(node)
    assert node._gate.state is GateState.ARMED
    with monkeypatch.context() as patch:
        patch.setattr(node._backend, "advance", broken)
        command(node)
    (cause,) = node._gate.report().causes
    assert node._gate.state is GateState.STOPPED
    assert cause.cause is Cause.BACKEND_FAILED
    assert "ZeroDivisionError: nobody foresaw this" in cause.detail
    assert "configure" in cause.detail
    assert not node._backend.read().effort_nm.any()
    assert not ask(node._on_reset).success

    assert node.trigger_deactivate() is TransitionCallbackReturn.SUCCESS
    assert node.trigger_cleanup() is TransitionCallbackReturn.SUCCESS
    start(node)
    assert node._gate.state is GateState.STOPPED
    assert ask(node._on_reset).success
    assert ask(node._on_arm).success
    command(node)
    assert node._gate.state is GateState.ARMED


def test_a_diverged_simulation_stops_and_says_so(node):
    start(node)
    node._backend.data.qvel[:] = float("inf")
    command(node)
    assert node._gate.state is GateState.STOPPED
    assert "the physics diverged" in node._gate.report().causes[0].detail


def test_a_failing_service_answers_with_the_error(node, monkeypatch):
    start(node)
    monkeypatch.setattr(node._backend, "randomise", broken)
    response = ask(node._on_randomise)
    assert not response.success
    assert "nobody foresaw this" in response.message
    assert node._gate.state is GateState.STOPPED


def test_a_robot_that_does_not_open_leaves_the_bridge_unconfigured(node, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(node._backend, "open", broken)
        assert node.trigger_configure() is TransitionCallbackReturn.ERROR
    assert node._gate.state is GateState.STOPPED
    assert not ask(node._on_arm).success
    start(node)
    assert ask(node._on_reset).success


def test_stop_works_before_anything_is_configured(node):
    node._on_stop(Bool(data=True))
    assert node._gate.state is GateState.STOPPED
    start(node)
    assert node._gate.state is GateState.STOPPED
    assert not node._backend.read().effort_nm.any()
