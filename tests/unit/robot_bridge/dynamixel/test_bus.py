"""The bus against servos that a test plays: packets as published, and whatever a bus can answer instead."""

import contextlib
import os
import random
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.garbled import garbled
from robot_bridge.backend import BackendError, ConnectionLostError, ReadError
from robot_bridge.dynamixel import bus as bus_module
from robot_bridge.dynamixel import serial_port
from robot_bridge.dynamixel.bus import DynamixelBus, Ping, ServoError
from robot_bridge.dynamixel.models import MODELS
from robot_bridge.emulator.packets import BROADCAST_ID, Instruction, encode_fast_status, encode_status

MODEL = MODELS["XM430-W210"]
POSITION, TORQUE, GOAL = map(MODEL.register, ("present_position", "torque_enable", "goal_position"))


def test_ping_as_published(bus, played):
    """E-manual, Protocol 2.0, Ping."""
    played.answer = lambda packet: bytes.fromhex("FFFFFD000107005500060426655D")
    assert bus.ping(1) == Ping(model_number=1030, firmware=38)
    assert played.heard_bytes == bytes.fromhex("FFFFFD0001030001194E")


def test_read_as_published(bus, played):
    """E-manual, Protocol 2.0, Read."""
    played.answer = lambda packet: bytes.fromhex("FFFFFD000108005500A60000008CC0")
    assert bus.read(1, POSITION) == 166
    assert played.heard_bytes == bytes.fromhex("FFFFFD0001070002840004001D15")


def test_sync_write_as_published(bus, played):
    """E-manual, Protocol 2.0, Sync Write: goal positions 150 and 170 to servos 1 and 2."""
    bus.sync_write(GOAL, {1: 150, 2: 170})
    played.answer = lambda packet: encode_status(1, 0, bytes(4))
    bus.read(1, POSITION)  # answered: so the write has been heard
    assert played.heard_bytes.startswith(bytes.fromhex("FFFFFD00FE11008374000400019600000002AA0000008287"))


def test_an_instruction_that_arrived_damaged_may_be_sent_again(bus, played):
    """The servo says so with error 3; it is no refusal."""
    played.answer = lambda packet: encode_status(1, 3, b"")
    with pytest.raises(ReadError, match="servo 1: word that the instruction arrived damaged"):
        bus.read(1, POSITION)
    assert bus.failures == {"damaged_instruction": 1}
    played.answer = lambda packet: encode_status(1, 0, bytes(4))
    assert bus.read(1, POSITION) == 0


def test_fast_sync_read_as_published(bus, played):
    """E-manual, Protocol 2.0, Fast Sync Read of servos 3, 7 and 4."""
    data = {3: bytes.fromhex("A6000000"), 7: bytes.fromhex("1F080000"), 4: bytes.fromhex("FF030000")}
    answer = encode_fast_status([(0, identifier, value) for identifier, value in data.items()])
    played.answer = lambda packet: answer
    assert bus.sync_read([3, 7, 4], 132, 4, fast=True) == data
    assert played.heard_bytes[-2:] == bytes.fromhex("20F2")


@pytest.mark.parametrize("value", [-1, -2048, -3, -0x3000001, 0x7FFFFFFF, -0x80000000, 0x00FDFFFF])
def test_signed_values_and_stuffed_bytes_arrive_as_they_were_sent(bus, played, value):
    played.answer = lambda packet: encode_status(1, 0, POSITION.encode(value))
    assert bus.read(1, POSITION) == value


def test_bytes_that_the_sdk_cannot_stuff_are_refused_not_garbled(bus, played):
    with pytest.raises(BackendError, match="cannot send .*ff ff fd 00 for goal_position"):
        bus.write(1, GOAL, 0x00FDFFFF)
    assert not played.heard


@pytest.mark.parametrize(
    ("code", "message"),
    [(1, "rosac bus reboot"), (4, "watchdog"), (6, "limit"), (7, "EEPROM"), (0x42, "unknown error")],
)
def test_errors_of_servos_are_explained(bus, played, code, message):
    played.answer = lambda packet: encode_status(7, code)
    with pytest.raises(ServoError, match=rf"servo 7 refused goal_position = 5 with error {code}: .*{message}"):
        bus.write(7, GOAL, 5)
    with pytest.raises(ServoError, match=r"servo 7 refused present_position"):
        bus.read(7, POSITION)
    assert bus.failures["refused"] == 2


def test_alerts_are_noted_and_forgotten(bus, played):
    played.answer = lambda packet: encode_status(packet.id, 0x80, bytes(4))
    assert bus.read(7, POSITION) == 0
    assert bus.alerts == {7}
    played.answer = lambda packet: encode_status(packet.id, 0, bytes(4))
    bus.read(7, POSITION)
    assert bus.alerts == set()
    played.answer = lambda packet: encode_fast_status([(0, 3, bytes(4)), (0x80, 7, bytes(4))])
    bus.sync_read([3, 7], 132, 4, fast=True)
    assert bus.alerts == {7}


def test_silence_names_servo_rate_port_and_remedy(hasty, played):
    with pytest.raises(ReadError, match=rf"servo 5: no answer to ping at 1000000 baud on {played.port}.*rosac bus"):
        hasty.ping(5)
    assert hasty.failures["no_answer"] == 1


def test_a_sync_read_names_those_that_are_missing(hasty, played):
    played.answer = lambda packet: encode_status(3, 0, bytes(4)) + encode_status(9, 0, bytes(4))
    with pytest.raises(ReadError, match="servo 4, 5: no answer to read registers 132 to 135"):
        hasty.sync_read([3, 4, 5, 9], 132, 4)


def test_one_damaged_answer_takes_no_other_with_it(hasty, played):
    damaged = bytearray(encode_status(4, 0, bytes(4)))
    damaged[9] ^= 1
    played.answer = lambda packet: encode_status(3, 0, bytes(4)) + damaged + encode_status(5, 0, bytes(4))
    with pytest.raises(ReadError, match="servo 4: a damaged or incomplete answer"):
        hasty.sync_read([3, 4, 5], 132, 4)
    assert hasty.failures["damaged_answer"] == 1


def test_noise_before_an_answer_does_no_harm(bus, played):
    played.answer = lambda packet: b"\xff\xff\x00\xfd\xff\xff\xfd\xfd" + encode_status(3, 0, POSITION.encode(77))
    assert bus.read(3, POSITION) == 77


def test_the_status_of_a_write_is_no_value(hasty, played):
    """Two bytes short: dynamixel-sdk alone would return its checksum as data."""
    played.answer = lambda packet: encode_status(3, 0)
    with pytest.raises(ReadError, match="an answer to an earlier instruction"):
        hasty.read(3, MODEL.register("return_delay_time"))


def test_a_late_answer_is_not_taken_for_the_next_one(hasty, played, monkeypatch):
    """The answer to a read of one register comes while another one of the same size is read."""
    waits_s = []

    def answer_late(wait_s):
        os.write(played.master, encode_status(3, 0, b"\x63"))
        waits_s.append(wait_s)
        time.sleep(wait_s)

    monkeypatch.setattr(bus_module, "time", SimpleNamespace(sleep=answer_late))
    for register in (MODEL.register("return_delay_time"), TORQUE):  # nobody answers in time
        with pytest.raises(ReadError):
            hasty.read(3, register)
    assert len(waits_s) == 1


@pytest.mark.parametrize("noise", [bytes(64), encode_status(9, 0, b"\x01")])
def test_a_bus_that_babbles_ends_in_an_error(hasty, played, noise):
    ended = threading.Event()

    def babble(packet):
        while not ended.is_set():
            with contextlib.suppress(BlockingIOError):
                os.write(played.master, noise)
        return b""

    played.answer = babble
    try:
        with pytest.raises(ReadError):
            hasty.read(3, TORQUE)
        with pytest.raises(ReadError):
            hasty.sync_read([3, 4], 64, 1)
    finally:
        ended.set()


def test_noise_faster_than_it_can_be_read_ends_in_an_error(hasty, monkeypatch):
    """dynamixel-sdk looks at the clock only when too few bytes have come."""
    monkeypatch.setattr(serial_port, "select", SimpleNamespace(select=lambda *_: ([0], [], [])))
    monkeypatch.setattr(serial_port, "os", SimpleNamespace(read=lambda *_: bytes(4096), write=os.write))
    with pytest.raises(ReadError):
        hasty.read(3, TORQUE)


def open_files(path):
    """Those of this process that lead there; what is gone is marked "(deleted)"."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            yield str(descriptor.readlink()).removesuffix(" (deleted)") == path


def test_a_port_that_goes_away_is_named_and_let_go(bus, played):
    """While it is held, Linux gives the adapter another name when it comes back."""
    held = f"/dev/pts/{Path(played.port).name}"
    assert any(open_files(held))
    played.close()
    for instruction in (lambda: bus.ping(1), lambda: bus.sync_write(GOAL, {1: 5}), lambda: bus.sync_read([1], 64, 1)):
        with pytest.raises(ConnectionLostError, match="is gone.*plug the adapter in"):
            instruction()
        assert not any(open_files(held))
    bus.close()
    bus.close()
    with pytest.raises(ConnectionLostError, match="is not open"):
        bus.ping(1)


def test_ports_that_do_not_open_say_why(bus, played, tmp_path):
    with pytest.raises(ConnectionLostError, match="another process has it open"):
        DynamixelBus(played.port, 1_000_000, 0.01).open()
    with pytest.raises(ConnectionLostError, match="no such device"):
        DynamixelBus(str(tmp_path / "ttyUSB0"), 1_000_000, 0.01).open()
    with pytest.raises(BackendError, match="cannot set 1500000 baud"):
        DynamixelBus(played.port, 1_500_000, 0.01).open()


def test_ids_that_no_servo_has_are_refused(bus):
    with pytest.raises(BackendError, match="cannot have id 300"):
        bus.ping(300)


def test_scan_finds_all_and_survives_noise(bus, played):
    def answer(packet):
        assert packet.id == BROADCAST_ID and packet.instruction == Instruction.PING
        pings = [encode_status(identifier, 0, bytes([0x06, 0x04, 45])) for identifier in (1, 50)]
        return pings[0] + b"\x00\xff" + pings[1]

    played.answer = answer
    assert bus.scan() == {1: Ping(1030, 45), 50: Ping(1030, 45)}


# Fuzzed answers: whatever comes back, the driver either reports an error or returns what an intact packet said.


def test_10000_garbled_answers_are_errors_or_the_truth(played):
    bus = DynamixelBus(played.port, 4_000_000, reply_timeout_s=0.0005)
    bus.open()
    rng = random.Random(0)
    good: list[bytes] = []

    def answer(packet):
        """Now and then a good answer among the garbled ones."""
        parts = [rng.choice(good) if rng.random() < 0.2 else garbled(rng, rng.choice(good)) for _ in range(3)]
        return b"".join(parts)

    played.answer = answer
    outcomes = {"value": 0, "error": 0}
    for number in range(10_000):
        truth = {identifier: rng.randbytes(4) for identifier in (3, 4)}
        kind = number % 4
        if kind == 3:
            good[:] = [encode_fast_status([(0, identifier, data) for identifier, data in truth.items()])]
        else:
            good[:] = [encode_status(identifier, 0, data) for identifier, data in truth.items()]
        try:
            if kind == 0:
                assert bus.read(3, POSITION) == POSITION.decode(truth[3])
            elif kind == 1:
                bus.write(3, TORQUE, 1)  # a status without data says that it has arrived, from whomever it is
            else:
                assert bus.sync_read([3, 4], 132, 4, fast=kind == 3) == truth
            outcomes["value"] += 1
        except BackendError:
            outcomes["error"] += 1
        while played.answered < bus.transactions:  # no answer is later than the next instruction
            time.sleep(0.0)
    bus.close()
    assert outcomes["value"] > 100 and outcomes["error"] > 1000
