"""A bus of servos: dynamixel-sdk's instructions with errors that name servo, register, cause and remedy."""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Mapping, Sequence

import dynamixel_sdk as sdk

from robot_bridge.backend import BackendError, ConnectionLostError, ReadError
from robot_bridge.dynamixel.control_table import Register
from robot_bridge.dynamixel.serial_port import SerialPort

ALERT = 0x80
# A status without parameters, and what its length field counts then: instruction, error and checksum.
_STATUS_BYTES, _STATUS_LENGTH = 11, 4
_HEADER = b"\xff\xff\xfd"
# Error byte of a status: the instruction arrived damaged, so that it may be sent again.
_DAMAGED = 3
# Error byte of a status: what it means, and what to do.
_STATUS_ERRORS = {
    1: "it could not carry that out: is a hardware error latched? `rosac bus check`, then `rosac bus reboot`",
    2: "it does not know the instruction: its firmware is too old",
    4: "the value is out of range, or its bus watchdog has tripped",
    5: "the data is too short: wrong register size for this model",
    6: "the value is beyond a limit set in the servo",
    7: "the register is read-only or does not exist, or it is in EEPROM and torque is on",
}
_COMMUNICATION = {
    sdk.COMM_PORT_BUSY: "busy",
    sdk.COMM_TX_FAIL: "not_sent",
    sdk.COMM_TX_ERROR: "not_sent",
    sdk.COMM_RX_TIMEOUT: "no_answer",
    sdk.COMM_RX_CORRUPT: "damaged_answer",
}
_EXPLAINED = {
    "busy": "the port was busy",
    "not_sent": "the instruction could not be sent",
    "no_answer": "no answer",
    "damaged_answer": "a damaged or incomplete answer",
    "damaged_instruction": "word that the instruction arrived damaged",
    "late_answer": "an answer to an earlier instruction",
    "refused": "an error instead of an answer",
}
Packet = list[int]


class ServoError(BackendError):
    """A servo answered, but with an error."""


class PartialReadError(ReadError):
    """Not all servos answered; `answers` holds what the others said, by id."""

    def __init__(self, error: ReadError, answers: Mapping[int, bytes]) -> None:
        super().__init__(f"{error}")
        self.answers = answers


@dataclasses.dataclass(frozen=True)
class Ping:
    """What a servo says of itself."""

    model_number: int
    firmware: int


class DynamixelBus:
    """One serial port with Dynamixel servos.

    Args:
        path: device, such as /dev/ttyUSB0.
        baud_rate: bit/s.
        reply_timeout_s: how much longer than its time on the wire an answer may take [s].

    Every method may raise :class:`ReadError` (no usable answer), :class:`ServoError` (an answer that refuses) or
    :class:`ConnectionLostError` (the port is gone).

    Packets, stuffing and checksums are the SDK's; which answer belongs to which instruction is decided here, by id and
    exact length, since answers may come late: after one that is missing, no instruction with answers of the same length
    is sent until it can no longer come.
    """

    def __init__(self, path: str, baud_rate: int, reply_timeout_s: float) -> None:
        self._port = SerialPort(path, baud_rate, reply_timeout_s)
        self._handler = sdk.PacketHandler(2.0)
        self._missing: dict[int, float] = {}  # length of answers that may still come -> until when [ms]
        self._sent_ms = self._port.getCurrentTime()
        self.transactions = 0
        self.failures: collections.Counter[str] = collections.Counter()  # kind -> how often
        self.alerts: set[int] = set()  # ids whose last status had the alert bit

    @property
    def path(self) -> str:
        """Of the device."""
        return self._port.port_name

    @property
    def baud_rate(self) -> int:
        """bit/s."""
        return self._port.baudrate

    @property
    def reply_timeout_s(self) -> float:
        """How much longer than its time on the wire an answer may take [s]."""
        return self._port.reply_timeout_s

    def open(self) -> None:
        """Open the port, or open it anew.

        Raises:
            ConnectionLostError: there is no such device, no permission, or another process has it.
        """
        self._port.openPort()

    def close(self, why: str = "") -> None:
        """Close the port. May be called twice. Why is told to whoever uses it while it is closed."""
        self._port.closePort()
        self._port.lost = why

    @property
    def is_open(self) -> bool:
        """Whether the port is open (it may be gone all the same)."""
        return self._port.is_open

    @property
    def now_s(self) -> float:
        """Steady time [s]."""
        return 1e-3 * self._port.getCurrentTime()

    @property
    def silent_s(self) -> float:
        """Time since the last instruction [s]."""
        return 1e-3 * (self._port.getCurrentTime() - self._sent_ms)

    def set_baud_rate(self, baud_rate: int) -> None:
        """Reopen the port at another speed [bit/s]."""
        self._port.setBaudRate(baud_rate)

    # single servos

    def ping(self, identifier: int) -> Ping:
        """Model and firmware of one servo."""
        data = self._ask(identifier, sdk.INST_PING, b"", 3, "ping")
        return Ping(int.from_bytes(data[:2], "little"), data[2])

    def scan(self) -> dict[int, Ping]:
        """All servos at this baud rate, by id. Takes about a second; two servos with one id show as none or as one."""
        self._begin(_STATUS_LENGTH + 3)
        found, result = self._handler.broadcastPing(self._port)
        if result not in (sdk.COMM_SUCCESS, sdk.COMM_RX_TIMEOUT, sdk.COMM_RX_CORRUPT):
            raise self._failed(_COMMUNICATION.get(result, "no_answer"), [sdk.BROADCAST_ID], "ping")
        return {identifier: Ping(*values) for identifier, values in sorted(found.items())}

    def read(self, identifier: int, register: Register) -> int:
        """Value of a register."""
        return register.decode(self.read_bytes(identifier, register.address, register.size, register.name))

    def read_bytes(self, identifier: int, address: int, size: int, what: str) -> bytes:
        """Registers that lie side by side."""
        return self._ask(identifier, sdk.INST_READ, _pair(address, size), size, what)

    def write(self, identifier: int, register: Register, value: int) -> None:
        """Set a register."""
        parameters = register.address.to_bytes(2, "little") + register.encode(value)
        self._ask(identifier, sdk.INST_WRITE, parameters, 0, f"{register.name} = {value}")

    def reboot(self, identifier: int) -> None:
        """Restart one servo: torque off, hardware errors cleared."""
        self._ask(identifier, sdk.INST_REBOOT, b"", 0, "reboot")

    # all servos at once

    def sync_read(self, identifiers: Sequence[int], address: int, size: int, fast: bool = False) -> dict[int, bytes]:
        """The same registers of several servos with one instruction.

        Args:
            identifiers: of the servos, in the order of their answers.
            address, size: first register and number of bytes.
            fast: one answer of all (fast sync read).

        Raises:
            PartialReadError: an answer is missing, late, damaged, an error, or of the wrong size; names the ids.
        """
        what = f"read registers {address} to {address + size - 1}"
        count = len(identifiers)
        length = 1 + count * (_STATUS_LENGTH + size) if fast else _STATUS_LENGTH + size
        instruction = sdk.INST_FAST_SYNC_READ if fast else sdk.INST_SYNC_READ
        self._send(sdk.BROADCAST_ID, instruction, _pair(address, size) + bytes(identifiers), length, what)
        self._port.setPacketTimeout((_STATUS_BYTES + size) * count)
        answers, kind = (self._fast_answers if fast else self._answers)(identifiers, size, length)
        silent = [identifier for identifier in identifiers if identifier not in answers]
        if silent:
            self._expect_late(length)
            raise PartialReadError(self._failed(kind, silent, what), answers)
        return answers

    def _answers(self, identifiers: Sequence[int], size: int, length: int) -> tuple[dict[int, bytes], str]:
        """What came of one status for each servo; one that is lost does not take the others with it."""
        answers: dict[int, bytes] = {}
        failure, damaged = "", 0
        while len(answers) + damaged < len(identifiers):
            packet, kind = self._receive(length)
            if packet is None:
                failure = kind if kind != "no_answer" else failure or kind
                damaged += kind == "damaged_answer"
                if self._port.isPacketTimeout():
                    break
                continue
            identifier, error = packet[sdk.PKT_ID], packet[sdk.PKT_ERROR]
            if identifier not in identifiers:
                failure = "late_answer"
            elif error & ~ALERT:
                failure = "refused"
            else:
                answers[identifier] = bytes(packet[sdk.PKT_PARAMETER0 + 1 :][:size])
        return answers, failure

    def _fast_answers(self, identifiers: Sequence[int], size: int, length: int) -> tuple[dict[int, bytes], str]:
        """One status of all: a part for each servo, in order, of error, id, data and checksum."""
        while True:
            packet, kind = self._receive(length, fast=True)
            if packet is not None:
                break
            if self._port.isPacketTimeout():
                return {}, kind
        answers: dict[int, bytes] = {}
        for number, expected in enumerate(identifiers):
            start = sdk.PKT_PARAMETER0 + number * (_STATUS_LENGTH + size)
            error, identifier = packet[start], packet[start + 1]
            self._note_alert(expected, error)
            if error & ~ALERT:
                return answers, "refused"
            if identifier != expected:
                return answers, "late_answer"
            answers[identifier] = bytes(packet[start + 2 : start + 2 + size])
        return answers, ""

    def sync_write(self, register: Register, values: Mapping[int, int]) -> None:
        """Set one register of several servos (by id) with one instruction. Nobody answers."""
        length = register.size
        data = b"".join(bytes([identifier]) + register.encode(value) for identifier, value in values.items())
        self._send(sdk.BROADCAST_ID, sdk.INST_SYNC_WRITE, _pair(register.address, length) + data, None, register.name)
        self._port.is_using = False

    # packets

    def _ask(self, identifier: int, instruction: int, parameters: bytes, size: int, what: str) -> bytes:
        """An instruction to one servo and its answer, which has `size` bytes of data; what for is `what`."""
        length = _STATUS_LENGTH + size
        self._send(identifier, instruction, parameters, length, what)
        self._port.setPacketTimeout(_STATUS_BYTES + size)
        failure = ""
        while True:
            packet, kind = self._receive(length, identifier)
            if packet is not None:
                break
            failure = kind if kind != "no_answer" else failure or kind
            if kind == "damaged_answer" or self._port.isPacketTimeout():
                self._expect_late(length)
                raise self._failed(failure, [identifier], what)
        code = packet[sdk.PKT_ERROR] & ~ALERT
        if code == _DAMAGED:
            raise self._failed("damaged_instruction", [identifier], what)
        if code:
            self.failures["refused"] += 1
            meaning = _STATUS_ERRORS.get(code, "unknown error")
            raise ServoError(f"servo {identifier} refused {what} with error {code}: {meaning}")
        return bytes(packet[sdk.PKT_PARAMETER0 + 1 :][:size])

    def _send(self, identifier: int, instruction: int, parameters: bytes, length: int | None, what: str) -> None:
        """Send an instruction whose answers have this length field (None: there are none)."""
        if not 0 <= identifier <= sdk.BROADCAST_ID:
            raise BackendError(f"a servo cannot have id {identifier}: 0 to 252")
        if _HEADER in bytes([instruction]) + parameters:
            raise BackendError(f"dynamixel-sdk cannot send {parameters.hex(' ')} for {what}: it does not stuff packets")
        self._begin(length)
        size = len(parameters) + 3
        head = [0, 0, 0, 0, identifier, size & 0xFF, size >> 8, instruction]
        result = self._handler.txPacket(self._port, [*head, *parameters, 0, 0])
        if result != sdk.COMM_SUCCESS:
            raise self._failed(_COMMUNICATION.get(result, "not_sent"), [identifier], what)

    def _receive(self, length: int, identifier: int | None = None, fast: bool = False) -> tuple[Packet | None, str]:
        """The next status if it is of this length (refusals are shorter) and servo; else None and what came instead."""
        packet, result = self._handler.rxPacket(self._port, fast)
        if result != sdk.COMM_SUCCESS:
            return None, _COMMUNICATION.get(result, "no_answer")
        source, error = packet[sdk.PKT_ID], packet[sdk.PKT_ERROR]
        got = packet[sdk.PKT_LENGTH_L] | packet[sdk.PKT_LENGTH_H] << 8
        refused = got == _STATUS_LENGTH and error & ~ALERT
        if got != length and not refused:
            return None, "late_answer"
        if source != (sdk.BROADCAST_ID if fast else source if identifier is None else identifier):
            return None, "late_answer"
        if not fast:
            self._note_alert(source, error)
        return packet, ""

    # what went wrong

    def _begin(self, length: int | None) -> None:
        """Before an instruction: wait while answers to an earlier one could be taken for its own."""
        if not self._port.is_open:
            raise ConnectionLostError(self._port.lost or f"{self.path} is not open")
        self._port.is_using = False  # dynamixel-sdk leaves it set after some failures
        self.transactions += 1
        left_ms = self._missing.get(length, 0.0) - self._port.getCurrentTime() if length is not None else 0.0
        if left_ms > 0.0:
            time.sleep(1e-3 * left_ms)
        self._sent_ms = self._port.getCurrentTime()

    def _expect_late(self, length: int) -> None:
        self._missing[length] = self._port.getCurrentTime() + 1e3 * self._port.reply_timeout_s

    def _note_alert(self, identifier: int, error: int) -> None:
        if error & ALERT:
            self.alerts.add(identifier)
        else:
            self.alerts.discard(identifier)

    def _failed(self, kind: str, identifiers: Sequence[int], what: str) -> ReadError:
        self.failures[kind] += 1
        who = "the bus" if list(identifiers) == [sdk.BROADCAST_ID] else f"servo {', '.join(map(str, identifiers))}"
        return ReadError(
            f"{who}: {_EXPLAINED[kind]} to {what} at {self.baud_rate} baud on {self.path}; "
            "is it powered and connected? `rosac bus check` looks at the bus"
        )


def _pair(address: int, size: int) -> bytes:
    """Address and size, which many instructions begin with."""
    return address.to_bytes(2, "little") + size.to_bytes(2, "little")
