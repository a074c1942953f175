"""What is found on a bus, and where those are that are missing."""

import os
import pty
import select
import threading
import tty

import dynamixel_sdk as sdk
import pytest
from robot_bridge.dynamixel.bus import DynamixelBus, Ping
from robot_bridge.dynamixel.models import MODELS
from robot_bridge.dynamixel.tools import survey as surveying
from robot_bridge.dynamixel.tools.states import ServoState, Unreadable, look_at
from robot_bridge.dynamixel.tools.survey import find_all, survey

from .conftest import REPLY_TIMEOUT_S

REGISTERS = MODELS["XM430-W210"].registers
IDS = list(range(1, 9))


def test_servos_with_all_their_registers_and_a_stranger(emulated):
    _, bus = emulated
    seen = survey(bus, IDS[:-1], REPLY_TIMEOUT_S)
    assert list(seen.states) == IDS
    assert (seen.unreadable, seen.elsewhere, seen.protocol_1, seen.new) == ({}, {}, (), False)
    state = seen.states[4]
    assert state.ping == Ping(1030, 45)
    assert (state.model_name, state.mode_name, state.voltage_v) == ("XM430-W210", "position", 12.0)
    assert state.registers["return_delay_time"] == 250
    assert state.registers["min_voltage_limit"] == 95


def test_missing_servos_are_looked_for_at_other_rates_and_a_new_one_is_noticed(emulated, monkeypatch):
    monkeypatch.setattr(surveying, "RATES", (57_600, 1_000_000, 3_000_000))
    emulator, bus = emulated
    bus.write(1, REGISTERS["baud_rate"], 1)
    bus.write(2, REGISTERS["baud_rate"], 3)
    emulator.fault("silent", id=3)
    seen = survey(bus, list(range(2, 9)), REPLY_TIMEOUT_S)
    assert list(seen.states) == [4, 5, 6, 7, 8]
    assert seen.elsewhere == {2: 1_000_000}
    assert seen.new
    assert (bus.baud_rate, bus.is_open) == (3_000_000, True)
    found = find_all(bus, [57_600, 1_000_000])
    assert [(rate, servo.identifier) for rate, servo in found] == [
        (57_600, 1),
        (1_000_000, 2),
    ]


def test_two_servos_with_one_id(emulated, legs, monkeypatch):
    monkeypatch.setattr(surveying, "RATES", (3_000_000,))
    _, bus = emulated
    # Told apart by what they measure; a ping is the same of both.
    bus.write(4, REGISTERS["profile_velocity"], 7)
    bus.write(4, REGISTERS["id"], 3)
    assert bus.ping(3) == Ping(1030, 45)
    seen = survey(bus, legs.all_joint_ids, REPLY_TIMEOUT_S)
    assert seen.unreadable[3].twins
    assert 3 not in seen.states
    assert 4 not in seen.states


def test_a_servo_that_answers_pings_only(emulated):
    _, bus = emulated
    bus.sync_write(REGISTERS["status_return_level"], {3: 0})
    found = look_at(bus, 3)
    assert isinstance(found, Unreadable)
    assert not found.twins
    assert "no answer" in found.reason


def test_noise_does_not_make_two_servos_of_one(emulated):
    emulator, bus = emulated
    emulator.fault("corrupt", rate=0.05)
    emulator.fault("lost", rate=0.05)
    for identifier in IDS[:4]:
        assert isinstance(look_at(bus, identifier), ServoState)
    assert bus.failures.total() > 0


def test_nobody_is_none(emulated):
    _, bus = emulated
    assert look_at(bus, 100) is None


def test_an_unknown_model_is_shown_as_what_it_says(played):
    bus = DynamixelBus(played.port, 1_000_000, REPLY_TIMEOUT_S)
    bus.open()
    # Ping answer of servo 1 as the e-manual prints it, with another model number.
    body = bytes([0xFF, 0xFF, 0xFD, 0, 1, 7, 0, 0x55, 0, 0x67, 0x12, 38])
    handler = sdk.PacketHandler(2.0)
    crc = handler.updateCRC(0, list(body), len(body))
    played.answer = lambda packet: body + crc.to_bytes(2, "little")
    found = look_at(bus, 1)
    assert found == ServoState(1, Ping(4711, 38), {})
    assert found.model_name == "model number 4711"
    bus.close()


def play_protocol_1(master, ended):
    """Servo 5 understands nothing but a ping and a read of its model number in Protocol 1.0."""
    ping, read = bytes([0xFF, 0xFF, 5, 2, 1, 0xF7]), bytes([0xFF, 0xFF, 5, 4, 2, 0, 2, 0xF2])
    answers = {ping: [0xFF, 0xFF, 5, 2, 0, 0xF8], read: [0xFF, 0xFF, 5, 4, 0, 6, 4, 0xEC]}
    while not ended.is_set():
        if select.select([master], [], [], 0.02)[0]:
            os.write(master, bytes(answers.get(os.read(master, 4096), b"")))


def test_a_servo_that_speaks_the_old_protocol(monkeypatch):
    monkeypatch.setattr(surveying, "RATES", (57_600, 1_000_000))
    master, slave = pty.openpty()
    tty.setraw(slave)
    ended = threading.Event()
    player = threading.Thread(target=play_protocol_1, args=(master, ended))
    player.start()
    bus = DynamixelBus(os.ttyname(slave), 1_000_000, REPLY_TIMEOUT_S)
    bus.open()
    try:
        assert survey(bus, [5, 6], REPLY_TIMEOUT_S).protocol_1 == [5]
        assert bus.is_open
    finally:
        ended.set()
        player.join()
        bus.close()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("alert", [False, True])
def test_a_servo_with_an_error_can_be_read(emulated, alert):
    emulator, bus = emulated
    if alert:
        emulator.fault("hardware_error", id=6, bit=5)
    found = look_at(bus, 6)
    assert found.registers["hardware_error_status"] == (32 if alert else 0)
