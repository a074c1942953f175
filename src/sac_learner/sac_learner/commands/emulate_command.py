"""`rosac emulate`: servos that are not there, for people who want to try tools and training without a robot."""

from __future__ import annotations

import argparse
import os
import select
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from robot_bridge.dynamixel.control_table import BAUD_RATES
from robot_bridge.emulator import EmulatorProcess
from robot_bridge.emulator.faults import FAULTS, FaultError, parse_fault
from robot_bridge.emulator.script import load_script
from rosac_common.arguments import whole_number
from valve_task.tasks import robot_of

from sac_learner.graph.robot_files import find_robot_file, load_servo_robot
from sac_learner.graph.stacks import STACKS

# How often to look whether the emulator is still there.
_LOOK_S = 0.5


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of `rosac emulate`."""
    command.add_argument("robot", help="robot file: a name in config/robots, such as dclaw, or a path")
    command.add_argument(
        "--port-link", type=Path, metavar="PATH", help="name of the port (default: made from the robot)"
    )
    command.add_argument(
        "--baud-rate",
        type=int,
        choices=BAUD_RATES.values(),
        metavar="RATE",
        help="that the servos are set to (default: the robot file's; new servos have 57600)",
    )
    command.add_argument("--script", type=Path, metavar="FILE", help="faults to come (docs/emulator.md)")
    command.add_argument("--seed", type=whole_number(0), default=0, help="seed of the faults (default 0)")


def run(options: argparse.Namespace, console: Console) -> int:
    """Emulate until Ctrl-C; lines on standard input are orders. Returns the exit code.

    Raises:
        SettingsError: there is no such robot, or the script is wrong.
        RuntimeError: the emulator does not start.
    """
    robot = load_servo_robot(find_robot_file(options.robot))
    if options.script:
        load_script(options.script, robot.all_joint_ids)  # refused here, before anything is started
    link = options.port_link or Path(tempfile.gettempdir()) / f"rosac-{robot.name}"
    with EmulatorProcess(
        robot, seed=options.seed, baud_rate=options.baud_rate, link=link, script=options.script
    ) as emulator:
        rate = options.baud_rate or robot.servos.baud_rate
        print(f"{len(robot.all_joint_ids)} servos of {robot.name} on {emulator.port} at {rate} baud. Ctrl-C ends them.")
        print(f"  rosac bus check --port {emulator.port}")
        for stack in STACKS.values():
            if robot_of(stack.default_task) == robot.name:
                print(f"  rosac train {stack.name} backend:=dynamixel port:={emulator.port}")
        print("Type a fault, such as 'silent id=20', or: clear, status, help.", flush=True)
        try:
            return _serve(emulator, sys.stdin.fileno(), console)
        except KeyboardInterrupt:
            return 0


def _serve(emulator: EmulatorProcess, keyboard: int, console: Console) -> int:
    """Carry out the lines that come from a file descriptor until the emulator ends; at its end only wait."""
    listening, typed = True, b""
    while emulator.process.poll() is None:
        ready, _, _ = select.select([keyboard] if listening else [], [], [], _LOOK_S)
        if not ready:
            continue
        data = os.read(keyboard, 4096)
        listening = bool(data)
        *lines, typed = (typed + (data or b"\n")).split(b"\n")
        for line in lines:
            if line.strip():
                _obey(emulator, line.decode(errors="replace").strip(), console)
    print(f"the emulator has ended: {emulator.last_words()}", file=sys.stderr)
    return 1


def _obey(emulator: EmulatorProcess, line: str, console: Console) -> None:
    if line == "help":
        for kind, values in FAULTS.items():
            print("  " + " ".join([kind, *(f"{name}=..." for name in values)]), flush=True)
        return
    try:
        if line == "status":
            _show_status(emulator.status(), console)
            return
        kind, values = parse_fault(line)
        emulator.fault(kind, **values)
        print(f"{kind}: done", flush=True)
    except (FaultError, RuntimeError) as error:
        print(error, flush=True)


def _show_status(status: dict, console: Console) -> None:
    heads = ("id", "torque", "at [rad]", "goal [rad]", "[C]", "[V]", "error bits", "watchdog")
    table = Table(*map(escape, heads))
    for servo, position in zip(status["servos"], status["position_rad"], strict=True):
        table.add_row(
            str(servo["id"]),
            "on" if servo["torque_on"] else "off",
            f"{position:.3f}",
            f"{servo['goal_rad']:.3f}",
            f"{servo['temperature_c']:.1f}",
            f"{servo['voltage_v']:.1f}",
            str(servo["hardware_error"]),
            "tripped"
            if servo["bus_watchdog"] < 0
            else f"{20 * servo['bus_watchdog']} ms"
            if servo["bus_watchdog"]
            else "off",
        )
    console.print(table)
    counted = ", ".join(f"{kind} {count}" for kind, count in sorted(status["faults"].items())) or "none"
    print(
        f"{status['instructions']} instructions, {status['instructions_broken']} of them damaged; faults: {counted}",
        flush=True,
    )
