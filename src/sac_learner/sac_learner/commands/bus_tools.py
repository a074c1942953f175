"""The tools of `rosac bus`: each runs at a desk, prints what it found, and returns the exit code."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from robot_bridge.dynamixel.bus import DynamixelBus
from robot_bridge.dynamixel.connection import servos_of, set_up, watchdog_ticks
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.dynamixel.tools import calibration, changes
from robot_bridge.dynamixel.tools.checks import check
from robot_bridge.dynamixel.tools.findings import Commands, Finding, RefusedError, grouped
from robot_bridge.dynamixel.tools.rate import advice, knows_fast_reads, measure
from robot_bridge.dynamixel.tools.states import ServoState, Unreadable, look_at
from robot_bridge.dynamixel.tools.survey import RATES, Survey, find_all, survey
from robot_bridge.dynamixel.tools.usb import latency_timer_ms
from robot_bridge.robot import RobotSettings, load_robot
from robot_bridge.settings import BridgeSettings
from rosac_common.settings import leaves

from sac_learner.atomic_file import write_atomic
from sac_learner.commands import bus_display as display
from sac_learner.commands.json_file import write_json
from sac_learner.graph.robot_files import find_robot_file, load_servo_robot

_REPLY_TIMEOUT_S = BusSettings().reply_timeout_s
_WANTED_HZ: float = next(leaf.default for leaf in leaves(BridgeSettings) if leaf.name == "state_rate_hz")


@dataclasses.dataclass(frozen=True)
class Desk:
    """What every tool works with."""

    options: argparse.Namespace
    console: Console
    path: Path  # of the robot file
    robot: RobotSettings
    bus: DynamixelBus
    commands: Commands

    @property
    def latency_timer_ms(self) -> int | None:
        """Of the port's adapter."""
        return latency_timer_ms(self.options.port)


@contextlib.contextmanager
def open_desk(options: argparse.Namespace, console: Console) -> Iterator[Desk]:
    """The robot file read, the port open."""
    path = find_robot_file(options.robot)
    robot = load_servo_robot(path)
    rate = options.baud_rate or robot.servos.baud_rate
    bus = DynamixelBus(options.port, rate, _REPLY_TIMEOUT_S)
    bus.open()
    try:
        given = f" --baud-rate {options.baud_rate}" if options.baud_rate else ""
        commands = Commands(f"--port {options.port} --robot {options.robot}{given}")
        yield Desk(options, console, path, robot, bus, commands)
    finally:
        bus.close()


def _write(options: argparse.Namespace, document: dict[str, object]) -> None:
    if options.json:
        write_json(options.json, document)


def _scan(desk: Desk) -> int:
    everywhere = desk.options.all_baud_rates
    found = find_all(desk.bus, RATES if everywhere else [desk.bus.baud_rate])
    _write(desk.options, {"servos": [display.servo_document(rate, servo, desk.robot) for rate, servo in found]})
    if found:
        display.show_servos(found, desk.robot, desk.console)
        return 0
    if everywhere:
        print("no servo answers at any baud rate: check power and cables; it may speak Protocol 1.0 (DYNAMIXEL Wizard)")
    else:
        rate = desk.options.baud_rate or desk.robot.servos.baud_rate
        print(f"no servo answers at {rate} baud: check its power, then {desk.commands('scan', '--all-baud-rates')}")
    return 1


def _check(desk: Desk) -> int:
    seen = survey(desk.bus, desk.robot.all_joint_ids, _REPLY_TIMEOUT_S)
    if desk.options.fix:
        seen = _fix(desk, seen)
    findings = check(seen, desk.robot, desk.options.port, desk.latency_timer_ms, desk.commands)
    found = [(seen.baud_rate, servo) for servo in [*seen.states.values(), *seen.unreadable.values()]]
    if found:
        display.show_servos(found, desk.robot, desk.console)
    shown = grouped(findings)
    display.show_findings(shown)
    problems = sum(finding.is_problem for finding in shown)
    read = sum(identifier in seen.states for identifier in desk.robot.all_joint_ids)
    print(
        f"{read} of {len(desk.robot.all_joint_ids)} servos read; problems: {problems}, notes: {len(shown) - problems}"
    )
    _write(
        desk.options,
        {
            "servos": [display.servo_document(rate, servo, desk.robot) for rate, servo in found],
            "findings": [_finding_document(finding) for finding in findings],
        },
    )
    return 1 if problems else 0


def _finding_document(finding: Finding) -> dict[str, object]:
    return {**dataclasses.asdict(finding), "severity": str(finding.severity)}


def _fix(desk: Desk, seen: Survey) -> Survey:
    """Set up the servos that are there as the bridge would, and look again."""
    servos = [
        servo
        for servo in servos_of(desk.robot)
        if servo.identifier in seen.states
        and seen.states[servo.identifier].ping.model_number == servo.model.number
        and not seen.states[servo.identifier].registers["hardware_error_status"]
    ]
    if servos:
        set_up(desk.bus, servos, watchdog_ticks(desk.robot))
        for servo in servos:
            changes.restore_guards(desk.bus, servo, seen.states[servo.identifier])
    print(f"{len(servos)} servos set up as {desk.path.name} says")
    return survey(desk.bus, desk.robot.all_joint_ids, _REPLY_TIMEOUT_S)


def _rate(desk: Desk) -> int:
    servos = servos_of(desk.robot)
    ways = [False, True] if knows_fast_reads(desk.bus, servos) else [False]
    cycles = desk.options.cycles
    rates = [measure(desk.bus, servos, cycles, fast, time.monotonic, time.process_time) for fast in ways]
    print(
        f"{len(servos)} servos at {desk.bus.baud_rate} baud on {desk.options.port}, {cycles} cycles of read and write"
    )
    display.show_rates(rates, desk.console)
    timer_ms = desk.latency_timer_ms
    print("latency timer of the adapter: " + (f"{timer_ms} ms" if timer_ms is not None else "none"))
    best = rates[-1]  # as the bridge reads
    lines = advice(best, len(servos), timer_ms, desk.bus.baud_rate, _WANTED_HZ, desk.commands)
    for line in lines:
        print(f"- {line}")
    documents = [{**dataclasses.asdict(rate), "hz": rate.hz, "rest_s": rate.parts.rest_s} for rate in rates]
    _write(
        desk.options,
        {"servos": len(servos), "baud_rate": desk.bus.baud_rate, "latency_timer_ms": timer_ms, "rates": documents},
    )
    return 1 if best.hz < _WANTED_HZ or any(rate.failures for rate in rates) else 0


def _calibrate(desk: Desk) -> int:
    options, robot = desk.options, desk.robot
    servos = calibration.servos_to_calibrate(robot, options.joints)
    pose = calibration.parse_pose(options.pose, robot)
    calibration.require_plain_counting(desk.bus, servos, desk.commands)
    calibration.release(desk.bus, servos)
    if not options.yes:
        print("Torque is off. Put the joints where they shall stand, and hold them still:")
        for servo in servos:
            print(f"  {servo.joint} at {pose[servo.joint]:g} rad")
        _ask("Then press Enter.")
    found = calibration.offsets(robot, calibration.read_still(desk.bus, servos), pose)
    display.show_offsets(found, desk.console)
    _write(options, {"joints": [dataclasses.asdict(joint) for joint in found]})
    old = desk.path.read_text(encoding="utf-8")
    new = calibration.rewrite(old, calibration.calibrated(robot, found))
    if new == old:
        print(f"{desk.path} stays as it is")
        return 0
    sys.stdout.writelines(
        difflib.unified_diff(old.splitlines(True), new.splitlines(True), desk.path.name, "calibrated")
    )
    if options.dry_run:
        print(f"nothing was written into {desk.path}")
        return 0
    if not options.yes and _ask(f"Write this into {desk.path}? [y/N]").lower() not in ("y", "yes"):
        raise RefusedError("nothing was written")
    _replace(desk.path, old, new)
    return 0


def _ask(question: str) -> str:
    print(question, flush=True)
    try:
        return input()
    except EOFError:
        raise RefusedError("there is no keyboard to answer: give --yes once the robot stands in its pose") from None


def _replace(path: Path, old: str, new: str) -> None:
    """Keep the old file under another name; then the new one takes its place, whole."""
    backup = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}.bak")
    write_atomic(backup, old.encode())
    write_atomic(path, new.encode())
    load_robot(path)
    print(f"{path} written; what it was: {backup.name}")


def _reboot(desk: Desk) -> int:
    identifiers = desk.options.id or _faulty(desk)
    if not identifiers:
        print("no servo has a hardware error; --id restarts one all the same")
        return 0
    before = [_present(desk, identifier) for identifier in identifiers]
    after = [changes.reboot(desk.bus, identifier) for identifier in identifiers]
    rate = desk.bus.baud_rate
    for title, servos in (("before", before), ("after", after)):
        print(title)
        display.show_servos([(rate, servo) for servo in servos], desk.robot, desk.console)
    documents = [[display.servo_document(rate, servo, desk.robot) for servo in servos] for servos in (before, after)]
    _write(desk.options, {"before": documents[0], "after": documents[1]})
    left = [str(servo.identifier) for servo in after if servo.registers.get("hardware_error_status")]
    if left:
        print(f"the hardware error of servo {', '.join(left)} came back at once: {desk.commands('check')} says why")
    return 1 if left else 0


def _faulty(desk: Desk) -> list[int]:
    """Ids of the robot's servos with a hardware error."""
    found = [look_at(desk.bus, identifier) for identifier in desk.robot.all_joint_ids]
    return [s.identifier for s in found if isinstance(s, ServoState) and s.registers.get("hardware_error_status")]


def _present(desk: Desk, identifier: int) -> ServoState | Unreadable:
    """A servo that answers in some way."""
    servo = look_at(desk.bus, identifier)
    if servo is None:
        raise RefusedError(
            f"servo {identifier} does not answer at {desk.bus.baud_rate} baud; only its power switch restarts it then"
        )
    return servo


def _set_id(desk: Desk) -> int:
    options = desk.options
    servo = changes.set_id(desk.bus, options.id, options.new_id, desk.commands)
    print(f"servo {options.id} ({servo.model_name}) is servo {servo.identifier} now, at {desk.bus.baud_rate} baud")
    return 0


def _set_baud(desk: Desk) -> int:
    rate = desk.options.new_baud_rate
    identifiers = desk.options.id or _answering(desk)
    for identifier in identifiers:
        servo = changes.set_baud_rate(desk.bus, identifier, rate, desk.commands)
        print(f"servo {identifier} ({servo.model_name}) answers at {rate} baud now", flush=True)
    if rate != desk.robot.servos.baud_rate:
        print(f"the robot file says {desk.robot.servos.baud_rate}: change robot.servos.baud_rate in {desk.path}")
    return 0


def _answering(desk: Desk) -> Sequence[int]:
    """Ids of the robot's servos at the present baud rate."""
    found = [i for i in desk.robot.all_joint_ids if look_at(desk.bus, i) is not None]
    if not found:
        rate = desk.bus.baud_rate
        raise RefusedError(f"none of the robot's servos answers at {rate} baud: give theirs with --baud-rate")
    return found


TOOLS: Mapping[str, Callable[[Desk], int]] = {
    "scan": _scan,
    "check": _check,
    "rate": _rate,
    "calibrate": _calibrate,
    "reboot": _reboot,
    "set-id": _set_id,
    "set-baud": _set_baud,
}
