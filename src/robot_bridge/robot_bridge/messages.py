"""The bridge's messages, made from the core's types."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rosac_common.messages import float64_array, stamp_from_nanoseconds
from sac_interfaces.msg import ExecutedCommand, JointHealth, SafetyState
from sensor_msgs.msg import JointState

from robot_bridge.backend import RobotHealth, RobotState
from robot_bridge.gate_types import GateReport, GateState
from robot_bridge.motion import Executed

_LEVELS = {
    GateState.DISARMED: DiagnosticStatus.OK,
    GateState.ARMED: DiagnosticStatus.OK,
    GateState.HOLD: DiagnosticStatus.WARN,
    GateState.STOPPED: DiagnosticStatus.ERROR,
}


def fill_state(message: JointState, state: RobotState) -> None:
    """Write a reading into a message that holds the names already."""
    message.header.stamp = stamp_from_nanoseconds(state.time_ns)
    message.position = float64_array(state.position_rad)
    message.velocity = float64_array(state.velocity_rad_s)
    message.effort = float64_array(state.effort_nm)


def fill_executed(message: ExecutedCommand, executed: Executed) -> None:
    """Write executed goals into a message that holds the names already."""
    message.header.stamp = stamp_from_nanoseconds(executed.stamp_ns)
    message.since = stamp_from_nanoseconds(executed.since_ns)
    message.until = stamp_from_nanoseconds(executed.until_ns)
    message.position = float64_array(executed.goals_rad)
    message.torque_on = executed.torque_on.tolist()


def joint_health(names: list[str], health: RobotHealth, stamp_ns: int) -> JointHealth:
    """The slow values of all joints as a message."""
    message = JointHealth(name=names)
    message.header.stamp = stamp_from_nanoseconds(stamp_ns)
    message.temperature_c = float64_array(health.temperature_c)
    message.voltage_v = float64_array(health.voltage_v)
    message.hardware_error = health.hardware_error.tolist()
    return message


def joint_diagnostics(
    node: str, names: list[str], health: RobotHealth, hottest_c: Sequence[float], now_s: float
) -> list[DiagnosticStatus]:
    """The slow values of each joint; an error where the gate would stop, stale where they were never read."""
    statuses = []
    for i, name in enumerate(names):
        age_s, temperature_c, error = now_s - health.read_s[i], health.temperature_c[i], int(health.hardware_error[i])
        status = DiagnosticStatus(level=DiagnosticStatus.OK, name=f"{node}: joint {name}", hardware_id=name)
        status.message = f"{temperature_c:.0f} C, {health.voltage_v[i]:.1f} V"
        if error:
            status.level, status.message = DiagnosticStatus.ERROR, f"hardware error bits {error:#04x}"
        elif temperature_c > hottest_c[i]:
            status.level = DiagnosticStatus.ERROR
        elif np.isneginf(health.read_s[i]):
            status.level, status.message = DiagnosticStatus.STALE, "not read yet"
        values = {
            "temperature_c": f"{temperature_c:.0f}",
            "voltage_v": f"{health.voltage_v[i]:.1f}",
            "hardware_error": f"{error:#04x}",
            "age_s": f"{age_s:.1f}",
        }
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        statuses.append(status)
    return statuses


def safety_state(report: GateReport, stamp_ns: int) -> SafetyState:
    """The gate's report as a message."""
    message = SafetyState(state=int(report.state))
    message.header.stamp = stamp_from_nanoseconds(stamp_ns)
    message.causes = [str(cause.cause) for cause in report.causes]
    message.causes_active = [cause.active for cause in report.causes]
    message.causes_detail = [cause.detail for cause in report.causes]
    message.commands_accepted = report.accepted
    message.commands_limited = report.limited
    message.commands_refused = report.refused
    return message


def diagnostic(name: str, hardware_id: str, report: GateReport, values: dict[str, object]) -> DiagnosticStatus:
    """The gate's report and further values as a diagnostic status; its level is the gate's state."""
    causes = "; ".join(f"{cause.cause}: {cause.detail}" for cause in report.causes)
    status = DiagnosticStatus(level=_LEVELS[report.state], name=name, hardware_id=hardware_id)
    status.message = report.state.name.lower() + (f" ({causes})" if causes else "")
    status.values = [KeyValue(key=key, value=f"{value}") for key, value in values.items()]
    return status
