"""`python -m robot_bridge.emulator`: the emulator as a process of its own; `rosac emulate` for people."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from rosac_common.arguments import whole_number
from rosac_common.parent import end_with_parent
from rosac_common.priority import EMULATOR_PRIORITY, LOCKSTEP_PRIORITY, raise_priority
from rosac_common.settings import from_mapping

from robot_bridge.dynamixel.control_table import BAUD_RATES
from robot_bridge.emulator.bus import BOOT_S, EmulatedBus
from robot_bridge.emulator.faults import FaultError
from robot_bridge.emulator.plant import make_plant
from robot_bridge.emulator.port import EmulatedPort
from robot_bridge.emulator.script import load_script
from robot_bridge.emulator.server import EmulatorServer
from robot_bridge.robot import load_robot
from robot_bridge.simulation.settings import SimulationSettings


def serve(options: argparse.Namespace) -> int:
    """Emulate until SIGINT or SIGTERM; returns the exit code."""
    try:
        robot = load_robot(options.robot)
        simulation = from_mapping(SimulationSettings, json.loads(options.simulation), "--simulation")
        script = load_script(options.script, robot.all_joint_ids) if options.script else []
    except (OSError, ValueError) as error:
        print(f"emulator: {error}", file=sys.stderr)
        return 2
    if not robot.servos.present:
        print(f"{options.robot}: robot.servos.model is empty: there are no servos to emulate", file=sys.stderr)
        return 2
    # Where it is not allowed, the bridge says how to allow it.
    raise_priority(LOCKSTEP_PRIORITY if options.lockstep else EMULATOR_PRIORITY)
    plant = make_plant(robot, simulation, options.seed, epoch_ns=0)
    # Where time stands still, a servo would never be back.
    boot_s = 0.0 if options.lockstep else BOOT_S
    bus = EmulatedBus(robot, plant, options.seed, options.baud_rate, boot_s)
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: ended.append(number))
    try:
        server = EmulatorServer(
            bus,
            EmulatedPort(options.link),
            options.control,
            options.lockstep,
            script,
            time.monotonic,
            steady_clocks=options.steady_clocks,
        )
    except OSError as error:
        print(f"emulator: {error}", file=sys.stderr)
        return 2
    print(f"{robot.name}: {len(bus.servos)} servos on {options.link}", flush=True)
    try:
        server.run(lambda: not ended)
    except FaultError as error:
        print(f"emulator: {error}", file=sys.stderr)
        return 1
    finally:
        server.close()
    return 0


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="robot_bridge.emulator", description=__doc__)
    parser.add_argument("--robot", type=Path, required=True, metavar="FILE", help="robot file")
    parser.add_argument("--control", type=Path, required=True, metavar="PATH", help="socket for orders")
    parser.add_argument("--lockstep", action="store_true", help="time passes only by the order advance")
    parser.add_argument("--steady-clocks", action="store_true", help="register realtime_tick goes on all the same")
    parser.add_argument("--parent", type=int, help="end when this process ends")
    parser.add_argument("--link", type=Path, required=True, metavar="PATH", help="name of the port")
    parser.add_argument("--script", type=Path, metavar="FILE", help="faults to come (docs/emulator.md)")
    parser.add_argument("--simulation", default="{}", metavar="JSON", help="settings of the block simulation")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of faults and sensor noise")
    parser.add_argument("--baud-rate", type=int, choices=BAUD_RATES.values(), help="default: the robot file's")
    options = parser.parse_args()
    if options.parent is not None:
        end_with_parent(options.parent, signal.SIGTERM)
    return serve(options)


if __name__ == "__main__":
    sys.exit(main())
