"""`rosac bus`: look at the servos on a port, measure them, and set them up (docs/hardware.md)."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from robot_bridge.dynamixel.settings import EMULATOR
from robot_bridge.dynamixel.tools.findings import RefusedError
from robot_bridge.dynamixel.tools.survey import RATES
from rosac_common.arguments import whole_number

from sac_learner.commands.json_file import json_path

# Cycles that `rate` measures: 1.5 s at the rate of nine servos at 1 Mbaud (own figure).
_CYCLES = 500


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of `rosac bus`."""
    tools = command.add_subparsers(required=True, metavar="TOOL")

    def add(name: str, text: str, json: bool = False) -> argparse.ArgumentParser:
        tool = tools.add_parser(name, help=text, description=text)
        tool.add_argument("--port", required=True, help="device of the USB adapter, such as /dev/ttyUSB0")
        tool.add_argument("--robot", default="dclaw", help="name in config/robots, or path of a robot file (dclaw)")
        tool.add_argument("--baud-rate", type=int, choices=RATES, metavar="RATE", help="(default: the robot file's)")
        if json:
            tool.add_argument("--json", type=json_path, metavar="FILE", help="write what is shown to this file")
        tool.set_defaults(tool=name)
        return tool

    tool = add("scan", "find servos and show how they are", json=True)
    tool.add_argument("--all-baud-rates", action="store_true", help="look at every baud rate (about 15 s)")
    tool = add("check", "compare the servos with the robot file, say what is wrong and what mends it", json=True)
    tool.add_argument("--fix", action="store_true", help="torque off, and set what the robot file determines")
    tool = add("rate", "measure the cycle rate and where its time goes (torque must be off)", json=True)
    tool.add_argument("--cycles", type=whole_number(1), default=_CYCLES, help=f"how many (default {_CYCLES})")
    text = "let the joints go, and write their offsets into the robot file once the robot stands in a known pose"
    tool = add("calibrate", text, json=True)
    tool.add_argument("joints", nargs="*", metavar="JOINT", help="which joints (default: all)")
    tool.add_argument(
        "--pose", action="append", default=[], metavar="[JOINT=]RAD", help="where the joints stand (default: all at 0)"
    )
    tool.add_argument("--dry-run", action="store_true", help="show what would be written, and write nothing")
    tool.add_argument("--yes", action="store_true", help="the robot stands in that pose now; write without asking")
    tool = add("reboot", "restart servos: clears hardware errors, such as overload; torque goes off", json=True)
    tool.add_argument("--id", type=int, action="append", help="which (default: those with a hardware error)")
    tool = add("set-id", "give a servo another id; a new servo has id 1 and 57600 baud")
    tool.add_argument("--id", type=int, default=1, help="that it has (default 1)")
    tool.add_argument("--new-id", type=int, required=True, help="that it shall have, 0 to 252")
    tool = add("set-baud", "give servos another baud rate")
    tool.add_argument("--id", type=int, action="append", help="which (default: all of the robot file that answer)")
    tool.add_argument("--new-baud-rate", type=int, required=True, metavar="RATE", help="that they shall have [bit/s]")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run a tool. Returns the exit code: 0 all is well, 1 there are problems, 2 refused, 130 interrupted."""
    from sac_learner.commands.bus_tools import TOOLS, open_desk

    try:
        if options.port == EMULATOR:
            raise RefusedError("start `rosac emulate` in another terminal, and give the port that it names")
        with open_desk(options, console) as desk:
            return TOOLS[options.tool](desk)
    except RefusedError as error:
        print(f"rosac bus: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
