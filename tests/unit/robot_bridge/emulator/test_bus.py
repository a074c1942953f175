"""Who answers what on the bus, and 10,000 packets of nonsense."""

import random

import numpy as np
import pytest
from helpers.emulated_bus import BAUD, Host, make_robot, word
from robot_bridge.emulator.faults import FAULTS, FaultError, checked_fault, parse_fault
from robot_bridge.emulator.packets import (
    HEADER,
    Error,
    Instruction,
    Packet,
    crc16,
    encode,
    encode_fast_status,
    encode_status,
    wire_time_s,
)

BROADCAST = 254
POSITION = word(132) + word(4)
MIDDLE = (2048).to_bytes(4, "little")


def test_a_broadcast_ping_is_answered_in_the_order_of_the_ids(host):
    host.write(1, "id", 9)
    replies = host.send(BROADCAST, Instruction.PING)
    assert [reply[4] for reply in replies] == [2, 3, 9]


def test_broadcast_reads_and_writes_are_not_answered(host):
    assert host.send(BROADCAST, Instruction.READ, POSITION) == []
    assert host.send(BROADCAST, Instruction.WRITE, word(65) + b"\x01") == []
    assert [host.read(identifier, "led") for identifier in (1, 2, 3)] == [1, 1, 1]


def test_sync_read_is_answered_one_after_the_other_until_one_is_missing(host):
    assert host.send(BROADCAST, Instruction.SYNC_READ, POSITION + bytes([3, 1])) == [
        encode_status(3, 0, MIDDLE),
        encode_status(1, 0, MIDDLE),
    ]
    assert [r[4] for r in host.send(BROADCAST, Instruction.SYNC_READ, POSITION + bytes([2, 99, 1]))] == [2]


def test_bulk_read_reads_something_else_from_each(host):
    wanted = bytes([1]) + POSITION + bytes([2]) + word(146) + word(1)
    assert host.send(BROADCAST, Instruction.BULK_READ, wanted) == [
        encode_status(1, 0, MIDDLE),
        encode_status(2, 0, b"\x19"),
    ]


def test_fast_reads_come_in_one_packet_or_not_at_all(host):
    (reply,) = host.send(BROADCAST, Instruction.FAST_SYNC_READ, POSITION + bytes([2, 1]))
    assert reply == encode_fast_status([(0, 2, MIDDLE), (0, 1, MIDDLE)])
    wanted = bytes([1]) + POSITION + bytes([2]) + word(146) + word(1)
    (reply,) = host.send(BROADCAST, Instruction.FAST_BULK_READ, wanted)
    assert reply == encode_fast_status([(0, 1, MIDDLE), (0, 2, b"\x19")])
    assert host.send(BROADCAST, Instruction.FAST_SYNC_READ, POSITION + bytes([2, 99])) == []
    host.servo(2).set("firmware_version", 44)
    assert host.send(BROADCAST, Instruction.FAST_SYNC_READ, POSITION + bytes([2, 1])) == []


def test_sync_and_bulk_writes_are_not_answered(host):
    goals = b"".join(bytes([i]) + (2048 + i).to_bytes(4, "little") for i in (1, 2, 3))
    assert host.send(BROADCAST, Instruction.SYNC_WRITE, word(116) + word(4) + goals) == []
    assert [host.read(i, "goal_position") for i in (1, 2, 3)] == [2049, 2050, 2051]
    wanted = b"".join(bytes([i]) + word(65) + word(1) + b"\x01" for i in (1, 3))
    assert host.send(BROADCAST, Instruction.BULK_WRITE, wanted) == []
    assert [host.read(i, "led") for i in (1, 2, 3)] == [1, 0, 1]


def test_groups_are_addressed_to_all_or_nobody_listens(host):
    assert host.send(1, Instruction.SYNC_READ, POSITION + bytes([1])) == []


def test_the_status_return_level_decides_what_is_answered(host):
    for level, answered in ((0, "ping"), (1, "ping read"), (2, "ping read write")):
        host.servo(1).set("status_return_level", level)
        replies = {
            "ping": host.send(1, Instruction.PING),
            "read": host.send(1, Instruction.READ, POSITION),
            "write": host.send(1, Instruction.WRITE, word(65) + b"\x00"),
        }
        assert " ".join(name for name, reply in replies.items() if reply) == answered
        assert len(host.send(BROADCAST, Instruction.SYNC_READ, POSITION + b"\x01")) == (level > 0)


def test_a_servo_that_changes_its_id_answers_as_the_one_it_was(host):
    (reply,) = host.send(1, Instruction.WRITE, word(7) + b"\x09")
    assert reply == encode_status(1, 0)
    assert host.send(1, Instruction.PING) == []
    assert len(host.send(9, Instruction.PING)) == 1


def test_a_servo_hears_only_its_own_baud_rate(host):
    host.write(1, "baud_rate", 1)
    assert host.send(1, Instruction.PING) == []
    assert len(host.send(1, Instruction.PING, baud_rate=57_600)) == 1
    assert len(host.send(2, Instruction.PING)) == 1
    assert host.send(2, Instruction.PING, baud_rate=57_600) == []


def test_two_servos_with_one_id_are_understood_only_when_they_say_the_same(host):
    host.write(2, "id", 1)
    assert host.send(1, Instruction.PING) == [encode_status(1, 0, word(1030) + b"\x2d")]
    host.bus.servos[0].set("led", 1)
    (mixed,) = host.send(1, Instruction.READ, word(65) + word(1))
    assert crc16(mixed[:-2]) != int.from_bytes(mixed[-2:], "little")


def test_a_damaged_packet_is_answered_with_a_checksum_error_and_changes_nothing(host):
    packet = Packet(1, Instruction.WRITE, word(65) + b"\x01", intact=False, wire_bytes=13)
    (reply,) = host.bus.handle(packet, BAUD, 0.0)
    assert reply.packet == encode_status(1, Error.CRC)
    assert host.read(1, "led") == 0
    assert host.bus.instructions_broken == 1


def test_statuses_of_others_are_not_taken_for_instructions(host):
    assert host.send(1, 0x55, b"\x00\x01") == []


def test_replies_wait_for_the_return_delay(host):
    (packet,) = host.stream.feed(encode(1, Instruction.PING, b""))
    (reply,) = host.bus.handle(packet, BAUD, 0.0)
    assert reply.delay_s == pytest.approx(500e-6)
    host.write(1, "return_delay_time", 0)
    (reply,) = host.bus.handle(packet, BAUD, 0.0)
    assert reply.delay_s == 0.0
    assert wire_time_s(10, 1_000_000) == pytest.approx(100e-6)


def test_a_rebooting_servo_is_deaf_until_it_has_started():
    host = Host(make_robot(), boot_s=0.25)
    assert host.ask(1, Instruction.REBOOT)[0] == Error.NONE
    assert host.send(1, Instruction.PING) == []
    assert len(host.send(2, Instruction.PING)) == 1
    host.advance(0.2)
    assert host.send(1, Instruction.PING) == []
    host.advance(0.06)
    assert len(host.send(1, Instruction.PING)) == 1


# faults


def test_faults_of_servos(host):
    host.bus.fault("silent", {"id": 2})
    assert host.send(2, Instruction.PING) == []
    host.bus.fault("hardware_error", {"id": 1, "bit": 4})
    assert host.ask(1, Instruction.PING)[0] == 0x80
    assert host.read(1, "hardware_error_status") == 16
    host.bus.fault("voltage", {"id": 3, "volts": 9.0})
    host.bus.fault("temperature", {"id": 3, "celsius": 70.2})
    host.advance(0.1)
    assert host.read(3, "present_input_voltage") == 90
    assert host.read(3, "present_temperature") == 70
    assert host.read(3, "hardware_error_status") == 1  # below 9.5 V
    host.write(3, "torque_enable", 1)
    host.bus.fault("reboot", {"id": 3})
    assert host.read(3, "torque_enable") == 0
    assert dict(host.bus.line.counts) == dict.fromkeys(
        ("silent", "hardware_error", "voltage", "temperature", "reboot"), 1
    )
    host.bus.fault("clear", {})
    assert len(host.send(2, Instruction.PING)) == 1
    host.advance(0.1)
    assert host.read(3, "present_input_voltage") == 120


def test_a_stale_encoder_shows_the_same_values_while_the_joint_moves(host):
    host.write(1, "torque_enable", 1)
    host.bus.fault("stale_encoder", {"id": 1})
    for celsius in (300.0, -5.0):  # more than its register holds, and less
        host.bus.fault("temperature", {"id": 1, "celsius": celsius})
        host.bus.drives.refresh()
    host.write(1, "goal_position", 2500)
    host.advance(1.0)
    assert host.read(1, "present_position") == 2048
    assert host.plant.read().position_rad[0] > 0.6
    host.bus.fault("clear", {})
    host.advance(0.0025)
    assert host.read(1, "present_position") == pytest.approx(2500, abs=2)


def test_faults_of_packets_come_at_their_rate_and_are_counted(host):
    line = host.bus.line
    packet = encode_status(1, 0, MIDDLE)
    line.set("lost", {"rate": 0.1})
    line.set("duplicated", {"rate": 0.2})
    arrived = [line.status(packet)[0] for _ in range(5000)]
    assert arrived.count([]) == line.counts["lost"] == pytest.approx(500, abs=80)
    assert arrived.count([packet] * 2) == line.counts["duplicated"] == pytest.approx(900, abs=120)
    line.clear()
    assert line.status(packet) == ([packet], 0.0) and line.instruction(answered=True) == ""
    line.set("corrupt", {"rate": 1.0})
    line.set("late", {"rate": 1.0, "delay_s": 0.03})
    (changed,), late_s = line.status(packet)
    assert late_s == 0.03
    assert sum((a ^ b).bit_count() for a, b in zip(changed, packet, strict=True)) == 1
    before = line.counts["corrupt"]
    assert [line.instruction(answered) for answered in (True, False, False)] == ["corrupt"] * 3
    assert (line.counts["corrupt"] - before, line.unseen["corrupt"]) == (3, 2)


def test_faults_are_the_same_with_the_same_seed():
    def draws():
        line = Host(make_robot()).bus.line
        line.set("lost", {"rate": 0.5})
        return [line.instruction(answered=True) for _ in range(100)]

    assert draws() == draws()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("explode", "unknown fault 'explode'; known: lost"),
        ("lost", r"'lost' takes \['rate'\], got \[\]"),
        ("lost rate=1.5", "it must be in 0 .. 1"),
        ("silent id=x", "fault 'silent'"),
        ("silent 20", "'20' has no name"),
    ],
)
def test_a_wrong_fault_is_refused(text, message):
    with pytest.raises(FaultError, match=message):
        parse_fault(text)


def test_faults_are_read_as_people_type_them():
    assert parse_fault("late rate=0.1 delay_s=0.05") == ("late", {"rate": 0.1, "delay_s": 0.05})
    assert parse_fault("unplug") == ("unplug", {})
    assert all(checked_fault(kind, dict.fromkeys(values, 0)) is not None for kind, values in FAULTS.items())


def test_a_fault_of_a_servo_that_is_not_there_is_refused(host):
    with pytest.raises(ValueError, match="no servo has id 77; there are "):
        host.bus.fault("silent", {"id": 77})


# nonsense


def valid_packet(rng):
    """Whole and undamaged, with contents that may mean anything; now and then a goal."""
    if rng.random() < 0.2:
        goal = rng.randint(-8000, 8000).to_bytes(4, "little", signed=True)
        if rng.random() < 0.5:
            return encode(rng.randint(1, 3), Instruction.WRITE, word(116) + goal)
        return encode(BROADCAST, Instruction.SYNC_WRITE, word(116) + word(4) + bytes([rng.randint(1, 3)]) + goal)
    identifier = rng.choice([1, 2, 3, BROADCAST, rng.randrange(256)])
    instruction = rng.choice([*Instruction, rng.randrange(256)])
    near = word(rng.choice([64, 98, 116, 126, 132, 168, 224, rng.randrange(700)])) + word(rng.randrange(12))
    values = near[: rng.randrange(5)] + rng.randbytes(rng.randrange(24)) if rng.random() < 0.9 else rng.randbytes(300)
    return encode(identifier, instruction, values)


def damaged_packet(rng):
    """Noise, a packet cut short, one with a byte changed, a header with anything behind it."""
    packet, kind = valid_packet(rng), rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(40))
    if kind == 1:
        return packet[: rng.randrange(len(packet) - 3)]  # what comes next must not complete it by chance
    if kind == 2:
        place = rng.randrange(len(packet))
        return packet[:place] + bytes([packet[place] ^ rng.randrange(1, 256)]) + packet[place + 1 :]
    return HEADER + rng.randbytes(rng.randrange(20))


def test_ten_thousand_damaged_packets_change_nothing(host):
    rng = random.Random(1)
    for identifier in (1, 2, 3):
        assert host.write(identifier, "torque_enable", 1) == Error.NONE
        assert host.write(identifier, "goal_position", 2048 + 100 * identifier) == Error.NONE
    host.advance(2.0)
    before = [host.ask(identifier, Instruction.READ, word(0) + word(120)) for identifier in (1, 2, 3)]
    position = host.plant.read().position_rad
    for count in range(10_000):
        for packet in host.stream.feed(damaged_packet(rng)):
            assert not packet.intact or packet.instruction == 0x55, packet
            host.bus.handle(packet, BAUD, host.drives.now_s)
        if count % 50 == 0:
            host.stream.drop_partial()
            host.advance(0.01)
    host.stream.drop_partial()
    assert [host.ask(identifier, Instruction.READ, word(0) + word(120)) for identifier in (1, 2, 3)] == before
    assert np.abs(host.plant.read().position_rad - position).max() < 1e-6
    assert host.bus.instructions_broken > 1000


def test_ten_thousand_packets_that_mean_anything_move_no_joint_out_of_its_limits(host):
    rng = random.Random(2)
    accepted = 0
    for count in range(10_000):
        goals = [servo.get("goal_position") for servo in host.bus.servos]
        for packet in host.stream.feed(valid_packet(rng)):
            for reply in host.bus.handle(packet, BAUD, host.drives.now_s):
                assert reply.packet.startswith(HEADER)
        for servo, goal in zip(host.bus.servos, goals, strict=True):
            if servo.get("goal_position") != goal and servo.get("operating_mode") == 3:
                low, high = servo.get("min_position_limit"), servo.get("max_position_limit")
                started = servo.get("goal_position") == servo.get("present_position")
                assert started or low <= servo.get("goal_position") <= high
                accepted += not started
        if count % 20 == 0:
            host.stream.drop_partial()
            host.advance(0.01)
            assert np.isfinite(host.plant.read().position_rad).all()
        if count % 100 == 0:  # back to where packets arrive and torque is on
            for place, servo in enumerate(host.bus.servos):
                servo.factory_reset(())
                servo.set("id", 1 + place)
                servo.set("baud_rate", 3)
                assert host.write(1 + place, "torque_enable", 1) == Error.NONE
    assert host.bus.instructions > 5000
    assert accepted > 10, "the test lost its subject: no goal was accepted"
    host.bus.servos[0].set("baud_rate", 3)
    host.bus.fault("clear", {})
    assert host.send(BROADCAST, Instruction.PING)
