"""Cycle times: the parts add up, and the advice names what costs most."""

import time

import pytest
from robot_bridge.dynamixel.connection import servos_of
from robot_bridge.dynamixel.models import MODELS
from robot_bridge.dynamixel.tools.findings import RefusedError
from robot_bridge.dynamixel.tools.rate import Breakdown, Rate, advice, knows_fast_reads, measure, wire_bytes

REGISTERS = MODELS["XM430-W210"].registers


def test_bytes_on_the_wire():
    """Nine servos: sync read 23 + 279 bytes, fast 23 + 224, sync write of goals 59 (computed from the e-manual)."""
    assert wire_bytes(9, fast=False) == 23 + 279 + 59
    assert wire_bytes(9, fast=True) == 23 + 224 + 59


@pytest.mark.parametrize("fast", [False, True])
def test_a_measurement(emulated, legs, fast):
    emulator, bus = emulated
    servos = servos_of(legs)
    assert knows_fast_reads(bus, servos)
    instructions = emulator.status()["instructions"]
    for _ in range(5):  # until the machine lets no answer wait
        rate = measure(bus, servos, 20, fast, time.monotonic, time.process_time)
        if not rate.failures:
            break
    assert emulator.status()["instructions"] >= instructions + 40
    parts = rate.parts
    assert parts.wire_s == pytest.approx(wire_bytes(8, fast) * 10 / 3e6)
    assert parts.return_delay_s == pytest.approx(500e-6 if fast else 8 * 500e-6)
    # An emulated bus is never faster than a real one.
    assert parts.total_s > parts.wire_s + parts.return_delay_s
    assert parts.rest_s + parts.wire_s + parts.return_delay_s == pytest.approx(parts.total_s)
    assert rate.hz == pytest.approx(1.0 / parts.total_s)
    assert rate.median_s <= rate.p99_s <= rate.longest_s
    assert (rate.failures, rate.cycles) == (0, 20)


def test_nothing_moves_and_torque_must_be_off(emulated, legs):
    emulator, bus = emulated
    before = emulator.status()["position_rad"]
    servos = servos_of(legs)
    measure(bus, servos, 5, False, time.monotonic, time.process_time)
    assert emulator.status()["position_rad"] == pytest.approx(before, abs=0.01)
    bus.write(5, REGISTERS["torque_enable"], 1)
    with pytest.raises(RefusedError, match=r"torque of servo 5 \(front_right_1\) is on"):
        measure(bus, servos, 5, False, time.monotonic, time.process_time)


def test_lost_packets_are_counted(emulated, legs):
    emulator, bus = emulated
    emulator.fault("lost", rate=0.02)
    rate = measure(bus, servos_of(legs), 40, False, time.monotonic, time.process_time)
    assert rate.failures > 0
    assert rate.cycles == 40


def some_rate(total_ms, wire_ms, delay_ms=0.0, computer_ms=0.3):
    parts = Breakdown(1e-3 * total_ms, 1e-3 * wire_ms, 1e-3 * delay_ms, 1e-3 * computer_ms)
    return Rate(False, 100, 0, 0.0, 0.0, 0.0, parts)


@pytest.mark.parametrize(
    ("rate", "timer_ms", "words"),
    [
        (some_rate(1.5, 0.7), 1, []),
        (some_rate(8.0, 2.7, delay_ms=4.5), None, ["return delays cost 4.50 ms"]),
        (some_rate(19.0, 2.7), 16, ["53 cycles a second are too few, the bridge wants 100", "latency timer is 16 ms"]),
        (some_rate(3.2, 2.7), 1, ["the wire takes 84% at 1000000 baud"]),
        (some_rate(9.0, 0.7), 1, ["8.30 ms are neither wire nor return delay"]),
        (some_rate(30.0, 2.7, delay_ms=4.5), 16, ["too few", "return delays", "latency timer", "neither wire"]),
    ],
)
def test_advice(commands, rate, timer_ms, words):
    lines = advice(rate, 9, timer_ms, 1_000_000, 100.0, commands)
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert word in line
