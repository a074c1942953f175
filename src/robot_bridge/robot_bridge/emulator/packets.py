"""Dynamixel Protocol 2.0 as seen from the servos: instructions come in as a stream of bytes, statuses go out.

Source: ROBOTIS e-manual, page Protocol 2.0. The robot's side of the protocol is dynamixel-sdk's.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

HEADER = b"\xff\xff\xfd\x00"
STUFFED, UNSTUFFED = b"\xff\xff\xfd\xfd", b"\xff\xff\xfd"
BROADCAST_ID = 254
STATUS = 0x55
ALERT = 0x80  # bit of a status' error byte: look at hardware_error_status
_BITS_PER_BYTE = 10  # on the wire: start, eight, stop
# Header, id, length; then instruction, parameters, checksum.
_PREFIX = 7
# Longest packet that is waited for: a length beyond it is noise. An X-series servo's buffer is smaller.
_MAX_LENGTH = 4096


class Instruction(enum.IntEnum):
    """The instruction byte."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    CLEAR = 0x10
    CONTROL_TABLE_BACKUP = 0x20
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


# Instructions that no servo answers (an action is sent to all of them).
UNANSWERED = (Instruction.SYNC_WRITE, Instruction.BULK_WRITE, Instruction.ACTION)


class Error(enum.IntEnum):
    """The low seven bits of a status' error byte."""

    NONE = 0
    RESULT_FAIL = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7


class Packet(NamedTuple):
    """An instruction as it came in."""

    id: int
    instruction: int
    parameters: bytes
    intact: bool  # the checksum fits
    wire_bytes: int  # its length on the wire


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = ((value << 1) ^ 0x8005 if value & 0x8000 else value << 1) & 0xFFFF
        table.append(value)
    return table


_TABLE = _crc_table()


def crc16(data: bytes, start: int = 0) -> int:
    """CRC-16 with polynomial 0x8005, most significant bit first, no reflection; `start` continues an earlier one."""
    crc = start
    for byte in data:
        crc = ((crc << 8) & 0xFFFF) ^ _TABLE[(crc >> 8) ^ byte]
    return crc


def encode(identifier: int, instruction: int, parameters: bytes) -> bytes:
    """A packet with byte stuffing and checksum. A status has instruction 0x55 and its error byte first."""
    body = bytes([instruction]) + parameters
    body = body.replace(UNSTUFFED, STUFFED)
    packet = HEADER + bytes([identifier]) + (len(body) + 2).to_bytes(2, "little") + body
    return packet + crc16(packet).to_bytes(2, "little")


def encode_status(identifier: int, error: int, parameters: bytes = b"") -> bytes:
    """A status packet."""
    return encode(identifier, STATUS, bytes([error]) + parameters)


def encode_fast_status(answers: list[tuple[int, int, bytes]]) -> bytes:
    """One status packet of several servos (fast sync or bulk read): (error, id, data) each, not stuffed. Every servo
    appends the checksum of all bytes so far."""
    length = 1 + sum(2 + len(data) + 2 for _, _, data in answers)
    packet = HEADER + bytes([BROADCAST_ID]) + length.to_bytes(2, "little") + bytes([STATUS])
    crc = crc16(packet)
    for error, identifier, data in answers:
        part = bytes([error, identifier]) + data
        check = crc16(part, crc).to_bytes(2, "little")
        packet += part + check
        crc = crc16(part + check, crc)
    return packet


class InstructionStream:
    """Finds packets in a stream of bytes that may hold noise and packets cut short."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.noise_bytes = 0

    def feed(self, data: bytes) -> list[Packet]:
        """Take what came in; returns the packets that are complete now, intact or not."""
        self._buffer += data
        packets = []
        while (packet := self._next()) is not None:
            packets.append(packet)
        return packets

    def drop_partial(self) -> None:
        """The line has been quiet: what is incomplete will not be completed."""
        self.noise_bytes += len(self._buffer)
        self._buffer.clear()

    @property
    def pending(self) -> bool:
        """Whether a packet has begun."""
        return bool(self._buffer)

    def _skip(self, count: int) -> None:
        self.noise_bytes += count
        del self._buffer[:count]

    def _next(self) -> Packet | None:
        buffer = self._buffer
        while True:
            self._skip(_header_at(buffer))
            if len(buffer) < _PREFIX:
                return None
            end = _PREFIX + int.from_bytes(buffer[5:7], "little")
            if not _PREFIX + 3 <= end <= _PREFIX + _MAX_LENGTH:
                self._skip(len(HEADER))
                continue
            # Stuffing keeps headers out of packets, so another one means that this packet was cut short. (Together with
            # the checksum a header can come about at the very end.)
            other = buffer.find(HEADER, 1, end)
            if 0 < other < end - len(HEADER):
                self._skip(other)
                continue
            if len(buffer) < end:
                return None
            raw = bytes(buffer[:end])
            intact = crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little")
            # What is not intact may have swallowed the start of the next header.
            del buffer[: end if intact else 1 + _header_at(raw[1:])]
            body = raw[_PREFIX:-2].replace(STUFFED, UNSTUFFED)
            return Packet(raw[4], body[0], body[1:], intact, end)


def _header_at(data: bytes | bytearray) -> int:
    """Where a header starts, or where the beginning of one stands at the end; the length if there is neither."""
    place = data.find(HEADER)
    if place >= 0:
        return place
    return len(data) - next((count for count in (3, 2, 1) if data.endswith(HEADER[:count])), 0)


def wire_time_s(count: int, baud_rate: int) -> float:
    """Time that so many bytes take on the wire [s]."""
    return count * _BITS_PER_BYTE / baud_rate
