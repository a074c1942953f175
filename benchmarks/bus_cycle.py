"""Cycles of nine Dynamixel servos (one read of all, one write to all) over the emulated bus, and where the time goes.

.venv/bin/python benchmarks/bus_cycle.py --json result.json

The emulator sends each answer when the last of its bytes would have come over the wire. In lockstep it sends at once:
what is left then is driver, SDK, pseudo-terminal and the emulator itself.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import os
import sys
import time
from pathlib import Path

import numpy as np
from robot_bridge.backend import ReadError
from robot_bridge.dynamixel.robot import DynamixelRobot
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.emulator import EmulatorProcess
from robot_bridge.robot import RobotSettings, load_robot
from rosac_common.priority import BRIDGE_PRIORITY, raise_priority
from rosac_common.settings import from_mapping, to_mapping
from support import REPOSITORY, finish, parser

SERVOS = 9
BAUD_RATES = (1_000_000, 3_000_000)
# Wire time of the target at 1 Mbaud: sync read of 10 bytes of nine servos, sync write of their goals.
TARGETS = {1_000_000: 1.5 * 2.71, 3_000_000: 1e3 / 300.0}
# Not what is measured here; a machine that runs a training beside must not end the benchmark.
LONGEST_WATCHDOG_S = 2.54
# Linux stops real-time processes that use a processor for more than 95% of a second: cycles come in bursts.
BURST_S, REST_S = 0.5, 0.1
_BITS_PER_BYTE = 10
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def nine_servos(baud_rate: int) -> RobotSettings:
    """The fingers of the D'Claw without valve and without physics, which would be measured, too."""
    robot = load_robot(REPOSITORY / "config" / "robots" / "dclaw.yaml")
    everyone = len(robot.all_joint_names)
    values = {
        name: value[:SERVOS] if isinstance(value, list) and len(value) == everyone else value
        for name, value in to_mapping(robot).items()
        if not name.startswith("auxiliary_") and name not in ("simulation_model", "joint_symmetries")
    }
    values |= {"servos.baud_rate": baud_rate, "servos.bus_watchdog_s": LONGEST_WATCHDOG_S}
    return from_mapping(RobotSettings, values, "nine servos")


def wire_ms(baud_rate: int, fast: bool) -> float:
    """Time of a cycle's bytes on the wire: the read of 20 and of 21 bytes in turn (mean 20.5), the write of goals."""
    instruction, write = 14 + SERVOS, 14 + 5 * SERVOS
    answers = 8 + SERVOS * (20.5 + 4) if fast else SERVOS * (11 + 20.5)
    return 1e3 * _BITS_PER_BYTE * (instruction + answers + write) / baud_rate


def processor_s(pid: int) -> float:
    """Time that a process has used of the processor [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def measure(baud_rate: int, fast: bool, lockstep: bool, cycles: int) -> dict[str, float]:
    """Times of a cycle [ms]: median, 99th percentile, and what driver and emulator use of the processor."""
    robot = nine_servos(baud_rate)
    everyone = np.ones(SERVOS, dtype=bool)
    with EmulatorProcess(robot, lockstep=lockstep) as emulator:
        clock = (lambda: 0.0) if lockstep else time.monotonic  # the servos' clocks stand still, too
        driver = DynamixelRobot(robot, BusSettings(port=emulator.port, fast_read=fast), clock)
        driver.open()
        goals = driver.read().position_rad
        driver.write(goals, everyone)
        times_s: list[float] = []
        failed, burst_s = 0, 0.0
        own_s, emulators_s = time.process_time(), processor_s(emulator.process.pid)
        while len(times_s) < cycles:
            start = time.perf_counter()
            try:
                driver.read()
            except ReadError:
                failed += 1
                continue
            driver.write(goals, everyone)
            times_s.append(time.perf_counter() - start)
            burst_s += times_s[-1]
            if burst_s > BURST_S:
                burst_s = 0.0
                time.sleep(REST_S)
        own_s = time.process_time() - own_s
        emulators_s = processor_s(emulator.process.pid) - emulators_s
        driver.close()
    return {
        "cycles_per_s": cycles / sum(times_s),
        "median_ms": 1e3 * float(np.median(times_s)),
        "p99_ms": 1e3 * float(np.percentile(times_s, 99)),
        "driver_processor_ms": 1e3 * own_s / cycles,
        "emulator_processor_ms": 1e3 * emulators_s / cycles,
        "failed_reads": failed,
    }


def main() -> None:
    """Command line."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--cycles", type=int, default=3000, help="cycles to measure each time")
    chosen = options.parse_args()
    if problem := raise_priority(BRIDGE_PRIORITY):  # as the bridge has it
        print(problem, file=sys.stderr)
    result: dict[str, float] = {}
    rows = []
    for baud_rate in BAUD_RATES:
        for kind, fast in (("plain", False), ("fast", True)):
            with_wire = measure(baud_rate, fast, False, chosen.cycles)
            without = measure(baud_rate, fast, True, chosen.cycles)
            wire = wire_ms(baud_rate, fast)
            figures = {
                **with_wire,
                "wire_ms": wire,
                "without_wire_median_ms": without["median_ms"],
                "target_ms": TARGETS[baud_rate],
            }
            result |= {f"{baud_rate // 1_000_000}m_{kind}_{name}": value for name, value in figures.items()}
            rows.append(
                f"| {baud_rate:,} | {kind} | {with_wire['cycles_per_s']:.0f} | {with_wire['median_ms']:.2f} | "
                f"{with_wire['p99_ms']:.2f} | {TARGETS[baud_rate]:.2f} | {wire:.2f} | {without['median_ms']:.2f} | "
                f"{with_wire['driver_processor_ms']:.2f} | {with_wire['emulator_processor_ms']:.2f} | "
                f"{with_wire['failed_reads']} |"
            )
    table = "\n".join(
        [
            f"Nine servos, {chosen.cycles} cycles each; times in ms. Processor: use of driver (with SDK) and emulator.",
            "",
            "| baud | read | cycles/s | median | p99 | target | wire | the rest: without wire | driver's processor | "
            "emulator's processor | failed reads |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    print(table)
    finish(chosen, Path(__file__).stem, result, table)


if __name__ == "__main__":
    main()
