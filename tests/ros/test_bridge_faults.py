"""What nobody foresaw: an error in a callback stops the robot, is said, and is mended by configuring anew."""

import array
import contextlib
import dataclasses
import sys
import time

import numpy as np
import pytest
import rclpy
import yaml
from helpers.commander import MINITAUR, ROBOT, robot_parameters
from helpers.patience import PATIENCE_S, until
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from robot_bridge.backend import BackendError, ConnectionLostError, ReadError
from robot_bridge.bridge_node import BridgeNode
from robot_bridge.causes import Cause
from robot_bridge.gate_types import GateState
from robot_bridge.loop import LockstepLoop
from robot_bridge.revival import PAUSE_S
from rosac_common.messages import stamp_from_nanoseconds
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Empty
from std_srvs.srv import Trigger

pytestmark = pytest.mark.ros


@pytest.fixture
def node(tmp_path, request):
    """A bridge in this process, its callbacks called by hand; test parameter: its robot, if not the hand."""
    path = tmp_path / "parameters.yaml"
    robot = robot_parameters(getattr(request, "param", ROBOT))
    # The robot file's own limit of speed counts, as it does on hardware.
    parameters = {**robot, "auto_arm": True, "autostart": False, "simulation.speed_stop_rad_s": 0.01}
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
    rclpy.init(args=["--ros-args", "--params-file", str(path)])
    node = BridgeNode()
    yield node
    node.close()
    node.destroy_node()
    rclpy.try_shutdown()


def start(node):
    assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() is TransitionCallbackReturn.SUCCESS


def command(node, move_rad=0.0):
    state = node._loop.state
    message = JointState(name=node.settings.robot.joint_names)
    message.header.stamp = stamp_from_nanoseconds(state.time_ns)
    message.position = array.array("d", state.position_rad[:9] + move_rad)
    node._on_command(message)


def ask(callback):
    return callback(Trigger.Request(), Trigger.Response())


def broken(*_):
    raise ZeroDivisionError("nobody foresaw this")


def silent(*_):
    raise BackendError("servo 10: torque_enable is not 0")


HELD = dataclasses.replace(ROBOT, safety=dataclasses.replace(ROBOT.safety, dead_man_required=True))


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


def unread(*_):
    raise ReadError("servo 10: no answer to read registers 116 to 135")


def test_a_robot_that_cannot_be_read_when_it_starts_is_started_by_a_reset(node, monkeypatch):
    node.settings = dataclasses.replace(node.settings, autostart=True)
    with monkeypatch.context() as patch:
        patch.setattr(node._backend, "read", unread)
        assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() is TransitionCallbackReturn.ERROR
        (cause,) = node._gate.report().causes
        assert cause.cause is Cause.BACKEND_FAILED
        assert cause.detail.endswith("registers 116 to 135; mend that, then call safety/reset")
        assert not ask(node._on_reset).success
    assert ask(node._on_reset).success
    assert ask(node._on_arm).success
    command(node)
    assert node._gate.state is GateState.ARMED


def without_port(*_):
    raise ConnectionLostError("cannot open /dev/none: there is no such device")


def test_a_port_that_is_not_there_at_the_start_is_a_lost_connection_and_looked_for_again_by_a_reset(node, monkeypatch):
    node.settings = dataclasses.replace(node.settings, autostart=True)
    with monkeypatch.context() as patch:
        patch.setattr(node._backend, "open", without_port)
        assert node.trigger_configure() is TransitionCallbackReturn.ERROR
        (cause,) = node._gate.report().causes
        assert (cause.cause, cause.active) == (Cause.CONNECTION_LOST, True)
        assert cause.detail == "cannot open /dev/none: there is no such device; mend that, then call safety/reset"
        answer = ask(node._on_reset)
        assert not answer.success
        assert "connection_lost (cannot open /dev/none" in answer.message
        # The port is there now, but not the robot: only that is left to mend.
        patch.setattr(node._backend, "open", silent)
        answer = ask(node._on_reset)
        assert not answer.success
        assert answer.message.startswith("still active: backend_failed (servo 10: torque_enable is not 0; mend that")
        assert "connection_lost" not in answer.message
    assert ask(node._on_reset).success
    assert ask(node._on_arm).success
    command(node)
    assert node._gate.state is GateState.ARMED


def test_stop_works_before_anything_is_configured(node):
    node._on_stop(Bool(data=True))
    assert node._gate.state is GateState.STOPPED
    start(node)
    assert node._gate.state is GateState.STOPPED
    assert not node._backend.read().effort_nm.any()


def test_a_stop_does_not_wait_for_the_next_tick(node):
    start(node)
    assert node._backend._torque_on.any()
    node._on_stop(Bool(data=True))
    assert not node._backend._torque_on.any()


@pytest.mark.parametrize("node", [HELD], indirect=True)
def test_a_switch_let_go_for_less_than_a_tick_stops_the_robot(node):
    node._on_dead_man(Bool(data=True))
    start(node)
    assert node._gate.state is GateState.ARMED
    node._on_dead_man(Bool(data=False))
    node._on_dead_man(Bool(data=True))
    assert node._gate.is_latched(Cause.DEAD_MAN_RELEASED)


@pytest.mark.parametrize("ended_by", ["deactivation", "an error"])
@pytest.mark.parametrize("heard_by", ["the next try", "the operator's stop", "the next loop"])
def test_torque_off_that_was_not_confirmed_when_the_loop_ended_is_tried_again(node, monkeypatch, ended_by, heard_by):
    start(node)
    with monkeypatch.context() as patch:
        patch.setattr(node._backend, "write", silent if ended_by == "deactivation" else broken)
        if ended_by == "deactivation":
            assert node.trigger_deactivate() is TransitionCallbackReturn.SUCCESS
        else:
            command(node)
        assert node._loop is None
        assert node._gate.state is GateState.STOPPED
        node._on_unheard()
        assert node._backend._torque_on.any()
    if heard_by == "the operator's stop":
        node._on_stop(Bool(data=True))
    elif heard_by == "the next loop":
        node.on_activate(None)
    else:
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        until(lambda: executor.spin_once(timeout_sec=0.1) or not node._backend._torque_on.any(), "torque off")
        executor.shutdown()
    assert not node._backend._torque_on.any()


@pytest.mark.parametrize("error", [silent, broken])
def test_at_its_end_torque_goes_off_although_its_last_words_cannot_be_written(node, monkeypatch, error):
    """Nor could the loop switch it off."""
    start(node)
    monkeypatch.setattr(node._backend, "write", error)
    rclpy.shutdown()
    with open("/dev/full", "w", buffering=1) as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with contextlib.suppress(ZeroDivisionError):
            node.close()
    assert not node._backend._torque_on.any()


def until_armed_again(node, cause):
    """Ticks until the robot has been stopped by that cause alone, and has gone on."""
    end_s = time.monotonic() + PATIENCE_S
    states = []
    while GateState.STOPPED not in states or states[-1] is not GateState.ARMED:
        assert time.monotonic() < end_s, node._gate.report()
        node._on_tick()
        states.append(node._gate.state)
        if states[-1] is GateState.STOPPED:
            assert {report.cause for report in node._gate.report().causes} == {cause}


@pytest.mark.parametrize("node", [MINITAUR], indirect=True)
def test_a_simulated_motor_that_overheats_stops_the_robot_which_goes_on_without_a_person(node):
    start(node)
    backend, push_rad = node._backend, 0.6 * (np.arange(8) == 3)
    place_m = backend.read().body.position_m
    own_damping = backend.model.dof_damping.copy()
    backend.model.dof_damping[:] = 1e6  # something blocks it
    end_s = time.monotonic() + PATIENCE_S
    while node._gate.state is GateState.ARMED:
        assert time.monotonic() < end_s
        command(node, push_rad)
        node._on_tick()
    backend.model.dof_damping[:] = own_damping
    (cause,) = node._gate.report().causes
    assert (node._gate.state, cause.cause) == (GateState.STOPPED, Cause.HARDWARE_ERROR)
    assert cause.detail == (
        "joint 'back_left_2' reports hardware error overheating (bits 0x04): let it cool down, look for what loads it, "
        "then call safety/reset, which clears it"
    )
    assert backend.poll_health().hardware_error.tolist() == [0, 0, 0, 4, 0, 0, 0, 0]
    # All motors are off, not that one alone, and no command moves them.
    stopped_ns = node._loop.state.time_ns
    command(node, push_rad)
    assert node._gate.report().refused == 1
    assert node._loop.state.time_ns == stopped_ns
    for _ in range(100):
        backend.advance(0.02)
        assert not backend.data.ctrl.any()
    assert np.abs(backend.read().body.linear_velocity_m_s).max() < 0.01  # it has sunk and lies still
    until_armed_again(node, Cause.HARDWARE_ERROR)
    assert not backend.motors.cut_out.any()
    assert np.abs(backend.read().body.position_m - place_m).max() < 0.01
    for _ in range(2):
        command(node, push_rad)  # a state is 20 ms late
    assert backend.read().effort_nm[3] > 1.0


@pytest.mark.parametrize("node", [MINITAUR], indirect=True)
def test_a_simulated_robot_that_has_sunk_before_it_could_be_armed_is_set_up_without_a_person(node):
    """As on a machine that lets its start take long."""
    assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
    low = node.settings.robot.position_min_rad[0]
    for _ in range(100):
        if (node._backend.read().position_rad < low - 0.15).any():
            break
        node._backend.advance(0.1)
    assert node.trigger_activate() is TransitionCallbackReturn.SUCCESS
    assert node._gate.state is GateState.DISARMED
    end_s = time.monotonic() + PATIENCE_S
    while node._gate.state is not GateState.ARMED:
        assert time.monotonic() < end_s
        node._on_tick()
    assert (node._backend.read().position_rad > low).all()


BEATEN = dataclasses.replace(ROBOT, safety=dataclasses.replace(ROBOT.safety, heartbeat_required=True))


@pytest.mark.parametrize("node", [ROBOT, BEATEN], indirect=True, ids=["a reading lost", "no heartbeat yet"])
def test_a_simulated_robot_that_could_not_be_armed_at_the_start_is_armed_soon(node, monkeypatch):
    beats = node.settings.robot.safety.heartbeat_required
    with monkeypatch.context() as patch:
        if not beats:
            patch.setattr(LockstepLoop, "look", lambda *_: "where the robot is cannot be read just now")
        start(node)
        node._on_tick()
        assert node._gate.state is GateState.DISARMED
    end_s = time.monotonic() + PATIENCE_S
    while node._gate.state is not GateState.ARMED:
        assert time.monotonic() < end_s, node._gate.report()
        if beats:
            node._on_heartbeat(Empty())
        node._on_tick()


def test_a_simulated_finger_that_was_pushed_out_of_its_range_is_laid_back_without_a_person(node):
    assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
    position_rad = node._backend.read().position_rad.copy()
    high_rad = node.settings.robot.position_max_rad[0]
    position_rad[0] = high_rad + 0.37
    node._backend.set_state(position_rad)
    assert node.trigger_activate() is TransitionCallbackReturn.SUCCESS
    assert node._gate.state is GateState.DISARMED
    end_s = time.monotonic() + PATIENCE_S
    while node._gate.state is not GateState.ARMED:
        assert time.monotonic() < end_s, node._gate.report()
        node._on_tick()
    assert node._backend.read().position_rad[0] < high_rad + 0.01


SLOW = dataclasses.replace(ROBOT, safety=dataclasses.replace(ROBOT.safety, speed_stop_rad_s=[0.1]))


@pytest.mark.parametrize("node", [SLOW], indirect=True)
def test_a_simulated_joint_that_was_too_fast_comes_to_rest_and_goes_on_without_a_person(node):
    start(node)
    for _ in range(2):
        command(node, move_rad=0.2)
    until_armed_again(node, Cause.JOINT_SPEED)
    assert np.abs(node._backend.read().velocity_rad_s[:9]).max() < 0.1


@pytest.mark.parametrize("node", [MINITAUR], indirect=True)
def test_what_a_person_stopped_stays_stopped(node):
    start(node)
    node._on_stop(Bool(data=True))
    node._backend.motors.cut_out[3] = True
    end_s = time.monotonic() + 2.0 * PAUSE_S
    while time.monotonic() < end_s:
        node._on_tick()
        assert node._gate.state is GateState.STOPPED
