"""Faults of bus and servos, through emulator, dynamixel-sdk and the real bridge, on a hand and on legs.

Each must end in a safe robot soon, be named, stay until reset, and move nothing before the robot is armed again.
"""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from helpers.commander import SERVO_ROBOTS, stamp
from helpers.rig import Rig
from sac_interfaces.msg import SafetyState

pytestmark = pytest.mark.ros

FIRST = "id of the first servo"
# Failed reads are counted before their time runs out.
FIRST_COUNTED = {"robot.safety.state_timeout_s": 10.0}
# Failed reads only hold the robot, until their time runs out.
NEVER_COUNTED = {
    "robot.safety.state_timeout_s": 1.5,
    "robot.safety.read_failures_stop": 1000,
    "robot.safety.command_timeout_periods": 100.0,
}


@pytest.fixture(scope="module", params=SERVO_ROBOTS, ids=lambda robot: robot.name)
def module_rig(request):
    with Rig(request.param, **FIRST_COUNTED) as rig:
        yield rig


@pytest.fixture
def rig(module_rig):
    module_rig.ready()
    return module_rig


@pytest.mark.parametrize(
    ("kind", "values", "causes"),
    [
        ("lost", {"rate": 1.0}, ("read_failed",)),
        ("corrupt", {"rate": 1.0}, ("read_failed",)),
        ("silent", {"id": FIRST}, ("read_failed",)),
        ("reboot", {"id": FIRST}, ("read_failed", "robot_failed")),
        ("hardware_error", {"id": FIRST, "bit": 5}, ("hardware_error",)),
        ("voltage", {"id": FIRST, "volts": 5.0}, ("hardware_error",)),
        ("temperature", {"id": FIRST, "celsius": 78.0}, ("temperature",)),
        ("stale_encoder", {"id": FIRST}, ("frozen_joint",)),
        ("unplug", {}, ("connection_lost",)),
    ],
)
def test_a_fault_stops_the_robot_until_it_is_mended_reset_and_armed(rig, kind, values, causes):
    first = rig.robot.joint_ids[0]
    values = {name: first if value == FIRST else value for name, value in values.items()}

    def cool():
        if kind == "temperature":
            rig.emulator.fault("temperature", id=first, celsius=40.0)

    detail = rig.assert_stops(3.0, lambda: rig.emulator.fault(kind, **values), *causes, mend=cool)
    if "id" in values:
        assert f"servo {first}" in detail or f"'{rig.robot.joint_names[0]}'" in detail
    cool()
    rig.emulator.clear_faults()
    rig.assert_stays_stopped_until_reset_and_armed()


def test_a_pulled_cable_is_told_with_its_remedy_and_reset_fails_until_it_is_back(rig):
    rig.emulator.unplug()
    safety = rig.commander.until_safety(SafetyState.STOPPED)
    assert "plug the adapter in, then call safety/reset" in safety.causes_detail[0]
    assert "does not come back" in rig.commander.call("safety/reset", expect=False)
    rig.commander.until_report()  # what was on its way has arrived
    states = len(rig.commander.states)
    rig.commander.until_report()
    assert len(rig.commander.states) == states
    rig.emulator.replug()
    rig.assert_stays_stopped_until_reset_and_armed()


def test_single_lost_damaged_doubled_and_late_packets_neither_stop_nor_falsify(rig):
    rig.restart_bridge(**{"bus.reply_timeout_s": 0.2})  # a slow machine is none of these faults
    rig.ready()
    broken = sum(rig.emulator.status()["faults"].values())
    for kind in ("lost", "corrupt", "duplicated"):
        rig.emulator.fault(kind, rate=0.002)
    rig.emulator.fault("late", rate=0.002, delay_s=0.01)
    moved, times_s = [], []
    while len(moved) < 300 or sum(rig.emulator.status()["faults"].values()) < broken + 5:
        count = len(rig.commander.states)
        rig.commander.until(lambda count=count: len(rig.commander.states) > count or rig.stopped, "the next state")
        assert not rig.stopped, list(rig.commander.safety[-1].causes_detail)
        moved.append(rig.commander.states[-1].position)
        times_s.append(1e-9 * stamp(rig.commander.states[-1]))
    steps_rad = np.abs(np.diff(np.array(moved)[:, : len(rig.robot.joint_names)], axis=0)).max(axis=1)
    # No joint is told to move faster than that, and no two states in a row are far apart unless some were missed.
    assert (steps_rad - max(rig.robot.speed_limit_rad_s) * np.diff(times_s)).max() < 0.2, "a joint leapt"
    rig.commander.goals = None
    rig.commander.until_safety(SafetyState.HOLD)
    rig.emulator.clear_faults()
    own = len(rig.robot.joint_names)
    rig.commander.until(
        lambda: np.abs(rig.commander.states[-1].position[:own] - rig.joints()).max() < 2e-3, "the states tell the truth"
    )


def test_diagnostics_show_temperature_voltage_and_errors_of_each_joint(rig):
    """And mark the joint that is too warm."""
    first, name = rig.robot.joint_ids[0], rig.robot.joint_names[0]

    def shown():
        statuses = {status.name: status for status in rig.commander.diagnostics[-1].status}
        joint = statuses[f"bridge: joint {name}"]
        return joint.level, {value.key: value.value for value in joint.values}

    rig.emulator.fault("temperature", id=first, celsius=41.0)
    rig.commander.until(lambda: shown()[1]["temperature_c"] == "41", "the joint's temperature")
    level, values = shown()
    assert level == DiagnosticStatus.OK
    assert values["hardware_error"] == "0x00"
    assert float(values["voltage_v"]) == rig.robot.servos.voltage_v
    assert len(rig.commander.diagnostics[-1].status) == 1 + len(rig.robot.all_joint_names)
    rig.emulator.fault("temperature", id=first, celsius=78.0)
    rig.commander.until(lambda: shown()[0] == DiagnosticStatus.ERROR, "the joint is marked")
    rig.emulator.clear_faults()
    rig.emulator.fault("temperature", id=first, celsius=41.0)


def test_failed_reads_hold_it_old_states_and_a_servo_that_does_not_let_go_stop_it_and_a_silent_one_is_not_armed(rig):
    """Causes that are hidden when failed reads are counted."""
    rig.restart_bridge(**NEVER_COUNTED)
    rig.ready()
    detail = rig.assert_stops(3.0, lambda: rig.emulator.fault("lost", rate=1.0), "stale_state")
    assert "the newest joint state is" in detail and "limit 1.5 s" in detail
    assert "read_failed" not in rig.commander.safety[-1].causes
    assert ["read_failed"] in [list(each.causes) for each in rig.commander.safety if each.state == SafetyState.HOLD]
    rig.emulator.clear_faults()
    rig.assert_stays_stopped_until_reset_and_armed()

    first = rig.robot.joint_ids[0]
    rig.emulator.fault("silent", id=first)
    rig.commander.press(True)
    assert f"servo {first}" in rig.until_stopped_by("robot_failed")
    since_s = rig.now_s()
    rig.emulator.clear_faults()
    assert rig.until_safe_s(since_s) < 3.0
    rig.commander.press(False)
    rig.assert_stays_stopped_until_reset_and_armed()

    rig.commander.press(True)
    rig.commander.until_safety(SafetyState.STOPPED)
    rig.commander.press(False)
    rig.commander.until(rig.restored, "disarmed after a reset")
    rig.emulator.fault("silent", id=first)
    assert "cannot be read just now" in rig.commander.call("safety/arm", expect=False)
    assert not any(servo["torque_on"] for servo in rig.emulator.status()["servos"])
    rig.emulator.clear_faults()
    as_before = {name: getattr(rig.robot.safety, name.rpartition(".")[2]) for name in NEVER_COUNTED}
    rig.restart_bridge(**{**as_before, **FIRST_COUNTED})
