"""What `rosac bus` prints: tables of servos, findings, cycle times and offsets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from robot_bridge.dynamixel.control_table import TICKS_PER_REVOLUTION, describe_errors
from robot_bridge.dynamixel.tools.calibration import JointOffset
from robot_bridge.dynamixel.tools.findings import Finding
from robot_bridge.dynamixel.tools.rate import Rate
from robot_bridge.dynamixel.tools.states import ServoState, Unreadable
from robot_bridge.robot import RobotSettings


def joint_names(robot: RobotSettings) -> dict[int, str]:
    """Joints by id."""
    return dict(zip(robot.all_joint_ids, robot.all_joint_names, strict=True))


def show_servos(found: Iterable[tuple[int, ServoState | Unreadable]], robot: RobotSettings, console: Console) -> None:
    """One row for each servo, with its baud rate [bit/s]."""
    names = joint_names(robot)
    table = _table("id", "joint", "model", "fw", "baud", "torque", "tick", "C", "V", "state")
    for rate, servo in found:
        joint = names.get(servo.identifier, "-")
        if isinstance(servo, Unreadable):
            what = "two servos with this id?" if servo.twins else "cannot be read"
            table.add_row(str(servo.identifier), joint, "?", "?", str(rate), "?", "?", "?", "?", what)
            continue
        row = [str(servo.identifier), joint, servo.model_name, str(servo.ping.firmware), str(rate)]
        table.add_row(*row, *(_measured(servo) if servo.registers else ["?", "?", "?", "?", "unknown model"]))
    console.print(table)


def _measured(servo: ServoState) -> list[str]:
    registers = servo.registers
    state = []
    if registers["hardware_error_status"]:
        state.append(describe_errors(registers["hardware_error_status"]).removeprefix("hardware error "))
    if registers["bus_watchdog"] < 0:
        state.append("stopped by watchdog")
    return [
        "on" if registers["torque_enable"] else "off",
        str(registers["present_position"]),
        str(servo.temperature_c),
        f"{servo.voltage_v:.1f}",
        ", ".join(state) or servo.mode_name,
    ]


def servo_document(rate: int, servo: ServoState | Unreadable, robot: RobotSettings) -> dict[str, object]:
    """The same for a JSON file, with all registers that were read."""
    joint = joint_names(robot).get(servo.identifier)
    head = {"id": servo.identifier, "joint": joint, "baud_rate": rate}
    if isinstance(servo, Unreadable):
        return {**head, "unreadable": servo.reason, "two_servos": servo.twins}
    return {**head, "model": servo.model_name, "firmware": servo.ping.firmware, "registers": dict(servo.registers)}


def show_findings(findings: Sequence[Finding]) -> None:
    """Two lines each, which can be copied: what it is, and what mends it."""
    for finding in findings:
        print(f"{finding}\n    {finding.remedy}")


def show_rates(rates: Sequence[Rate], console: Console) -> None:
    """Cycle times of each way to read, and where the time goes [ms]."""
    table = _table("one cycle", *("fast sync read" if rate.fast else "sync read" for rate in rates))
    rows = {
        "cycles a second": [f"{rate.hz:.0f}" for rate in rates],
        "mean, ms": [_ms(rate.parts.total_s) for rate in rates],
        "  wire": [_ms(rate.parts.wire_s) for rate in rates],
        "  return delays": [_ms(rate.parts.return_delay_s) for rate in rates],
        "  the rest": [_ms(rate.parts.rest_s) for rate in rates],
        "median": [_ms(rate.median_s) for rate in rates],
        "99%": [_ms(rate.p99_s) for rate in rates],
        "longest": [_ms(rate.longest_s) for rate in rates],
        "computing (meanwhile)": [_ms(rate.parts.computer_s) for rate in rates],
        "failed reads": [f"{rate.failures} of {rate.cycles + rate.failures}" for rate in rates],
    }
    for name, values in rows.items():
        table.add_row(name, *values)
    console.print(table)


def show_offsets(found: Sequence[JointOffset], console: Console) -> None:
    """Old and new offsets of the joints."""
    table = _table("id", "joint", "tick", "stands at, rad", "old offset", "new offset", "change, ticks")
    for joint in found:
        ticks = joint.change_ticks
        change = f"{ticks:+d} ({360.0 * ticks / TICKS_PER_REVOLUTION:+.1f} deg)" if ticks else "none"
        row = [str(joint.identifier), joint.joint, str(joint.ticks), f"{joint.pose_rad:g}"]
        table.add_row(*row, f"{joint.old_rad:.6f}", f"{joint.new_rad:.6f}" if ticks else "same", change)
    console.print(table)


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False)


def _ms(duration_s: float) -> str:
    return f"{1e3 * duration_s:.2f}"
