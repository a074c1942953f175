"""How fast a bus goes round, and where the time goes: wire, return delays, and the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from robot_bridge.backend import ReadError
from robot_bridge.dynamixel.bus import DynamixelBus
from robot_bridge.dynamixel.connection import Servo, read_register, repeat
from robot_bridge.dynamixel.control_table import RETURN_DELAY_UNIT_S, TICKS_PER_REVOLUTION
from robot_bridge.dynamixel.joint_reader import ADDRESS, SIZE
from robot_bridge.dynamixel.tools.checks import LATENCY_TIMER_MS
from robot_bridge.dynamixel.tools.findings import Commands, RefusedError

_POSITION = slice(SIZE - 4, SIZE)  # of what the bridge reads every period
BITS_PER_BYTE = 10  # on the wire: start, eight, stop
# Bytes of Protocol 2.0: an instruction without parameters, a status without data; each servo's part of a fast read.
_INSTRUCTION, _STATUS, _FAST_HEAD, _FAST_PART = 10, 11, 8, 4
# From the end of an instruction to a servo's answer, return delay apart (DynamixelSDK users: about 50 us).
TURN_AROUND_S = 50e-6


@dataclasses.dataclass(frozen=True)
class Breakdown:
    """Mean time of one cycle [s], and what is known of it."""

    total_s: float  # measured
    wire_s: float  # all bytes at the baud rate
    return_delay_s: float  # registers return_delay_time of the servos, one after the other
    computer_s: float  # processor time of this process, part of it while the wire is busy

    @property
    def rest_s(self) -> float:
        """Neither wire nor return delay: adapter, servos' turn-around, this process, and waiting for its turn."""
        return self.total_s - self.wire_s - self.return_delay_s


@dataclasses.dataclass(frozen=True)
class Rate:
    """Cycles of one sync read and one sync write."""

    fast: bool  # one answer of all servos
    cycles: int
    failures: int
    median_s: float
    p99_s: float
    longest_s: float
    parts: Breakdown

    @property
    def hz(self) -> float:
        """Cycles a second."""
        return 1.0 / self.parts.total_s


def wire_bytes(servos: int, fast: bool) -> int:
    """Bytes of one cycle: sync read of what the bridge reads, and sync write of goal positions."""
    instruction = _INSTRUCTION + 4 + servos
    answers = _FAST_HEAD + servos * (_FAST_PART + SIZE) if fast else servos * (_STATUS + SIZE)
    write = _INSTRUCTION + 4 + 5 * servos
    return instruction + answers + write


def measure(
    bus: DynamixelBus,
    servos: Sequence[Servo],
    cycles: int,
    fast: bool,
    clock: Callable[[], float],
    processor_clock: Callable[[], float],
) -> Rate:
    """Read and write all servos as often as asked, as fast as it goes. Goals are where the joints stand.

    Args:
        bus: open.
        servos: torque off.
        cycles: that must succeed.
        fast: with fast sync reads.
        clock: steady time [s].
        processor_clock: time that this process has computed [s].

    Raises:
        RefusedError: torque of a servo is on.
        BackendError: the port is gone, or hardly any read succeeds.
    """
    delays_s = _prepare(bus, servos)
    identifiers = [servo.identifier for servo in servos]
    goal = servos[0].model.register("goal_position")
    position = servos[0].model.register("present_position")
    times: list[float] = []
    failures = 0
    start_s, worked_s = clock(), processor_clock()
    lost_s = 0.0
    while len(times) < cycles:
        begin_s = clock()
        try:
            answers = bus.sync_read(identifiers, ADDRESS, SIZE, fast)
        except ReadError:
            failures += 1
            if failures > cycles:
                raise
            lost_s += clock() - begin_s
            continue
        ticks = {i: position.decode(data[_POSITION]) for i, data in answers.items()}
        bus.sync_write(goal, {i: value % TICKS_PER_REVOLUTION for i, value in ticks.items()})
        times.append(clock() - begin_s)
    # What is still on the wire when the last write returns is waited for by the next read, hence the whole time.
    total_s = (clock() - start_s - lost_s) / cycles
    computer_s = (processor_clock() - worked_s) / cycles
    wire_s = wire_bytes(len(servos), fast) * BITS_PER_BYTE / bus.baud_rate
    delay_s = max(delays_s.values()) if fast else sum(delays_s.values())
    parts = Breakdown(total_s, wire_s, delay_s, computer_s)
    median_s, p99_s, longest_s = np.percentile(times, [50, 99, 100]).tolist()
    return Rate(fast, cycles, failures, median_s, p99_s, longest_s, parts)


def _prepare(bus: DynamixelBus, servos: Sequence[Servo]) -> Mapping[int, float]:
    """Return delay of each servo [s], once it is sure that none of them is driven."""
    delays_s = {}
    for servo in servos:
        if read_register(bus, servo, "torque_enable"):
            raise RefusedError(f"torque of {servo} is on: end what drives it, or `rosac bus check --fix` lets it go")
        delays_s[servo.identifier] = RETURN_DELAY_UNIT_S * read_register(bus, servo, "return_delay_time")
    return delays_s


def knows_fast_reads(bus: DynamixelBus, servos: Sequence[Servo]) -> bool:
    """Whether the firmware of all servos knows fast sync reads."""
    return all(
        repeat(lambda s=servo: bus.ping(s.identifier)).firmware >= servo.model.fast_read_firmware for servo in servos
    )


def advice(
    rate: Rate, servos: int, latency_timer_ms: int | None, baud_rate: int, wanted_hz: float, commands: Commands
) -> list[str]:
    """Whether it is as fast as wanted; what would make the cycle shorter, and by how much at most."""
    parts, lines = rate.parts, []
    if rate.hz < wanted_hz:
        lines.append(
            f"{rate.hz:.0f} cycles a second are too few, the bridge wants {wanted_hz:g}: shorten the cycle, or set "
            "state_rate_hz lower, but not below one in a control period"
        )
    if parts.return_delay_s > 0.0:
        lines.append(f"return delays cost {1e3 * parts.return_delay_s:.2f} ms: {commands('check', '--fix')} sets them")
    if latency_timer_ms is not None and latency_timer_ms > LATENCY_TIMER_MS:
        lines.append(
            f"the adapter's latency timer is {latency_timer_ms} ms and can hold every read back for that long: "
            f"set it to {LATENCY_TIMER_MS} ms (docs/hardware.md)"
        )
    if parts.wire_s > 0.5 * parts.total_s and baud_rate < 4_000_000:
        lines.append(
            f"the wire takes {100 * parts.wire_s / parts.total_s:.0f}% at {baud_rate} baud: a higher "
            f"robot.servos.baud_rate and {commands('set-baud', '--new-baud-rate RATE')}"
        )
    explained_s = parts.computer_s + TURN_AROUND_S * servos + 1e-3 * (latency_timer_ms or 0)
    if parts.rest_s > explained_s and parts.rest_s > 0.3 * parts.total_s:
        lines.append(
            f"{1e3 * parts.rest_s:.2f} ms are neither wire nor return delay; computing, servos' turn-around and "
            f"latency timer explain {1e3 * explained_s:.2f} ms: is this computer busy with something else, or the "
            "adapter behind a hub?"
        )
    return lines
