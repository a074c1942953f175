"""Packets against those that the e-manual prints (page Protocol 2.0), and properties of stuffing and checksums."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robot_bridge.emulator.packets import (
    HEADER,
    Instruction,
    InstructionStream,
    crc16,
    encode,
    encode_fast_status,
    encode_status,
)

# Name -> packet of the e-manual, id, instruction, parameters.
INSTRUCTIONS = {
    "ping": ("FFFFFD0001030001194E", 1, Instruction.PING, ""),
    "read": ("FFFFFD0001070002840004001D15", 1, Instruction.READ, "84000400"),
    "write": ("FFFFFD00010900037400 00020000CA89", 1, Instruction.WRITE, "740000020000"),
    "reg write": ("FFFFFD000109000468 00C8000000AE8E", 1, Instruction.REG_WRITE, "6800C8000000"),
    "action": ("FFFFFD000103000502CE", 1, Instruction.ACTION, ""),
    "factory reset": ("FFFFFD0001040006 01A1E6", 1, Instruction.FACTORY_RESET, "01"),
    "reboot": ("FFFFFD00010300082F4E", 1, Instruction.REBOOT, ""),
    "clear": ("FFFFFD0001080010 0144584C22B1DC", 1, Instruction.CLEAR, "0144584C22"),
    "backup": ("FFFFFD0001080020 014354524C16F5", 1, Instruction.CONTROL_TABLE_BACKUP, "014354524C"),
    # The e-manual prints 92 F5, which is no checksum of these bytes.
    "restore": ("FFFFFD0001080020 024354524C9EF5", 1, Instruction.CONTROL_TABLE_BACKUP, "024354524C"),
    "sync read": ("FFFFFD00FE0900828400040001 02CEFA", 254, Instruction.SYNC_READ, "840004000102"),
    "sync write": (
        "FFFFFD00FE110083740004000196000000 02AA0000008287",
        254,
        Instruction.SYNC_WRITE,
        "74000400 0196000000 02AA000000",
    ),
    "bulk read": ("FFFFFD00FE0D009201900002000292000100 1A05", 254, Instruction.BULK_READ, "0190000200 0292000100"),
    "bulk write": (
        "FFFFFD00FE10009301200002 00A000021F00010050B768",
        254,
        Instruction.BULK_WRITE,
        "0120000200A000 021F00010050",
    ),
    "fast sync read": ("FFFFFD00FE0A008A84000400030704 20F2", 254, Instruction.FAST_SYNC_READ, "84000400030704"),
}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_instructions_are_those_of_the_e_manual(name):
    packet, identifier, instruction, parameters = INSTRUCTIONS[name]
    wanted, values = bytes.fromhex(packet), bytes.fromhex(parameters)
    assert encode(identifier, instruction, values) == wanted
    (found,) = InstructionStream().feed(wanted)
    assert found == (identifier, instruction, values, True, len(wanted))


def test_statuses_are_those_of_the_e_manual():
    assert encode_status(1, 0, bytes.fromhex("060426")) == bytes.fromhex("FFFFFD000107005500060426655D")
    assert encode_status(1, 0, b"") == bytes.fromhex("FFFFFD000104005500A10C")
    assert encode_status(1, 0, bytes.fromhex("A6000000")) == bytes.fromhex("FFFFFD000108005500A60000008CC0")


def test_a_fast_status_is_that_of_the_e_manual():
    answers = [
        (0, identifier, bytes.fromhex(data)) for identifier, data in ((3, "A6000000"), (7, "1F080000"), (4, "FF030000"))
    ]
    wanted = "FFFFFD00FE19005500 03A60000008408 00071F08000016CA 0004FF030000D19E"
    assert encode_fast_status(answers) == bytes.fromhex(wanted)


def test_the_checksum_is_crc_16_with_polynomial_8005():
    def bitwise(data):
        crc = 0
        for byte in data:
            for bit in range(8):
                carry = (crc >> 15) ^ (byte >> (7 - bit) & 1)
                crc = (crc << 1 & 0xFFFF) ^ (0x8005 if carry else 0)
        return crc

    data = bytes(range(256)) * 2
    assert crc16(data) == bitwise(data)
    assert crc16(data[100:], crc16(data[:100])) == crc16(data)


# Bytes that make headers likely.
awkward = st.lists(st.sampled_from([0xFF, 0xFF, 0xFD, 0x00, 0x55, 0x01]), max_size=40).map(bytes)


@settings(max_examples=300)
@given(parameters=awkward | st.binary(max_size=60), identifier=st.integers(0, 252))
def test_any_parameters_come_through_and_hold_no_header(parameters, identifier):
    packet = encode(identifier, Instruction.WRITE, parameters)
    assert re.search(b"\xff\xff\xfd(?!\xfd)", packet[7:-2]) is None
    (found,) = InstructionStream().feed(packet)
    assert (found.id, found.parameters, found.intact) == (identifier, parameters, True)


@settings(max_examples=200)
@given(st.lists(awkward, min_size=1, max_size=5), st.data())
def test_packets_are_found_however_the_bytes_arrive(many, data):
    stream, found = InstructionStream(), []
    whole = b"".join(encode(1, Instruction.WRITE, parameters) for parameters in many)
    while whole:
        count = data.draw(st.integers(1, len(whole)))
        found += stream.feed(whole[:count])
        whole = whole[count:]
    assert [packet.parameters for packet in found] == many
    assert stream.noise_bytes == 0


def test_noise_and_a_packet_cut_short_do_not_hide_the_next_one():
    good = encode(7, Instruction.PING, b"")
    for before in (b"\x00\xff\xff", b"\xff\xff\xff", good[:6], good[:9], HEADER, HEADER + b"\x01\xff\xff\x01"):
        packets = InstructionStream().feed(before + good)
        assert [packet.id for packet in packets if packet.intact] == [7], before


@settings(max_examples=300)
@given(st.binary(max_size=40), st.data())
def test_a_flipped_bit_never_passes(parameters, data):
    packet = bytearray(encode(1, Instruction.WRITE, parameters))
    place, bit = data.draw(st.integers(0, len(packet) - 1)), data.draw(st.integers(0, 7))
    packet[place] ^= 1 << bit
    assert not any(found.intact for found in InstructionStream().feed(bytes(packet)))
