"""A bus of servos: dynamixel-sdk's instructions with errors that name servo, register, cause and remedy."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import dynamixel_sdk as sdk

from robot_bridge.backend import BackendError, ConnectionLostError, ReadError
from robot_bridge.dynamixel.control_table import Register
from robot_bridge.dynamixel.serial_port import SerialPort

ALERT = 0x80
# Answers of an instruction that reads one to four bytes.
_STATUS_BYTES = 11
# Error byte of a status: what it means, and what to do.
_STATUS_ERRORS = {
    1: "it could not carry that out: is a hardware error latched? `rosac bus check`, then `rosac bus reboot`",
    2: "it does not know the instruction: its firmware is too old",
    3: "it received a damaged packet: check cables and ground",
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
    "late_answer": "an answer to an earlier instruction",
    "refused": "an error instead of an answer",
}


class ServoError(BackendError):
    """A servo answered, but with an error."""


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
    """

    def __init__(self, path: str, baud_rate: int, reply_timeout_s: float) -> None:
        self._port = SerialPort(path, baud_rate, reply_timeout_s)
        self._handler = sdk.PacketHandler(2.0)
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

    def open(self) -> None:
        """Open the port, or open it anew.

        Raises:
            ConnectionLostError: there is no such device, no permission, or another process has it.
        """
        self._port.openPort()

    def close(self) -> None:
        """Close the port. May be called twice."""
        if self._port.is_open:
            self._port.closePort()

    @property
    def is_open(self) -> bool:
        """Whether the port is open (it may be gone all the same)."""
        return self._port.is_open

    def set_baud_rate(self, baud_rate: int) -> None:
        """Reopen the port at another speed [bit/s]."""
        self._port.setBaudRate(baud_rate)

    # single servos

    def ping(self, identifier: int) -> Ping:
        """Model and firmware of one servo."""
        self._begin()
        number, result, error = self._handler.ping(self._port, identifier)
        self._check(identifier, "ping", result, error)
        firmware, result, error = self._handler.read1ByteTxRx(self._port, identifier, 6)
        self._check(identifier, "firmware_version", result, error)
        return Ping(number, firmware)

    def scan(self) -> dict[int, Ping]:
        """All servos at this baud rate, by id. Takes about a second; two servos with one id show as none or as one."""
        self._begin()
        found, result = self._handler.broadcastPing(self._port)
        if result not in (sdk.COMM_SUCCESS, sdk.COMM_RX_TIMEOUT, sdk.COMM_RX_CORRUPT):
            self._check(sdk.BROADCAST_ID, "ping", result, 0)
        return {identifier: Ping(*values) for identifier, values in sorted(found.items())}

    def read(self, identifier: int, register: Register) -> int:
        """Value of a register."""
        return register.decode(self.read_bytes(identifier, register.address, register.size, register.name))

    def read_bytes(self, identifier: int, address: int, size: int, what: str) -> bytes:
        """Registers that lie side by side."""
        self._begin()
        data, result, error = self._handler.readTxRx(self._port, identifier, address, size)
        self._check(identifier, what, result, error)
        if len(data) != size:
            raise self._failed("damaged_answer", [identifier], what)
        return bytes(data)

    def write(self, identifier: int, register: Register, value: int) -> None:
        """Set a register."""
        self._begin()
        data = list(register.encode(value))
        result, error = self._handler.writeTxRx(self._port, identifier, register.address, register.size, data)
        self._check(identifier, f"{register.name} = {value}", result, error)

    def reboot(self, identifier: int) -> None:
        """Restart one servo: torque off, hardware errors cleared."""
        self._begin()
        result, error = self._handler.reboot(self._port, identifier)
        # A servo with a latched error answers with the alert bit; that is why it is restarted.
        self._check(identifier, "reboot", result, error)

    # all servos at once

    def sync_read(self, identifiers: Sequence[int], address: int, size: int, fast: bool = False) -> dict[int, bytes]:
        """The same registers of several servos with one instruction.

        Args:
            identifiers: of the servos, in the order of their answers.
            address, size: first register and number of bytes.
            fast: one answer of all (fast sync read).

        Raises:
            ReadError: an answer is missing, late, damaged, an error, or of the wrong size; names the ids.
        """
        self._begin()
        count = len(identifiers)
        result = self._handler.syncReadTx(self._port, address, size, list(identifiers), count, fast)
        self._check(sdk.BROADCAST_ID, "sync read", result, 0)
        if fast:
            answers, kind = self._fast_answers(identifiers, size)
        else:
            self._port.setPacketTimeout((_STATUS_BYTES + size) * count)
            answers, kind = self._answers(identifiers, size)
        missing = [identifier for identifier in identifiers if identifier not in answers]
        if missing:
            raise self._failed(kind, missing, f"registers {address} to {address + size - 1}")
        return answers

    def _answers(self, identifiers: Sequence[int], size: int) -> tuple[dict[int, bytes], str]:
        """What came of one status for each servo; one that is lost does not take the others with it."""
        answers: dict[int, bytes] = {}
        kind = "no_answer"
        while len(answers) < len(identifiers):
            packet, result = self._handler.rxPacket(self._port, False)
            if result == sdk.COMM_SUCCESS:
                identifier, error = packet[sdk.PKT_ID], packet[sdk.PKT_ERROR]
                self._note_alert(identifier, error)
                data = bytes(packet[sdk.PKT_PARAMETER0 + 1 :][:size])
                whole = int.from_bytes(bytes(packet[5:7]), "little") == size + 4
                if identifier not in identifiers or not whole:
                    kind = "late_answer"
                elif error & ~ALERT:
                    kind = "refused"
                else:
                    answers[identifier] = data
            else:
                kind = _COMMUNICATION.get(result, "no_answer")
                if self._port.getTimeSinceStart() >= self._port.packet_timeout or result == sdk.COMM_RX_TIMEOUT:
                    break
        return answers, kind

    def _fast_answers(self, identifiers: Sequence[int], size: int) -> tuple[dict[int, bytes], str]:
        count = len(identifiers)
        data, result, _ = self._handler.fastSyncReadRx(self._port, sdk.BROADCAST_ID, (4 + size) * count)
        answers: dict[int, bytes] = {}
        if result != sdk.COMM_SUCCESS or len(data) < (4 + size) * count - 2:
            return answers, _COMMUNICATION.get(result, "damaged_answer")
        for place in range(0, (4 + size) * count, 4 + size):
            error, identifier = data[place], data[place + 1]
            self._note_alert(identifier, error)
            if identifier in identifiers and not error & ~ALERT:
                answers[identifier] = bytes(data[place + 2 : place + 2 + size])
        return answers, "damaged_answer"

    def sync_write(self, register: Register, values: Mapping[int, int]) -> None:
        """Set one register of several servos (by id) with one instruction. Nobody answers."""
        self._begin()
        data = [byte for identifier, value in values.items() for byte in (identifier, *register.encode(value))]
        result = self._handler.syncWriteTxOnly(self._port, register.address, register.size, data, len(data))
        self._check(sdk.BROADCAST_ID, register.name, result, 0)

    # what went wrong

    def _begin(self) -> None:
        if not self._port.is_open:
            raise ConnectionLostError(f"{self.path} is not open")
        self._port.is_using = False  # dynamixel-sdk leaves it set after some failures
        self.transactions += 1

    def _note_alert(self, identifier: int, error: int) -> None:
        if error & ALERT:
            self.alerts.add(identifier)
        else:
            self.alerts.discard(identifier)

    def _check(self, identifier: int, what: str, result: int, error: int) -> None:
        if result != sdk.COMM_SUCCESS:
            raise self._failed(_COMMUNICATION.get(result, "no_answer"), [identifier], what)
        self._note_alert(identifier, error)
        code = error & ~ALERT
        if code:
            self.failures["refused"] += 1
            meaning = _STATUS_ERRORS.get(code, "unknown error")
            raise ServoError(f"servo {identifier} refused {what} with error {code}: {meaning}")

    def _failed(self, kind: str, identifiers: Sequence[int], what: str) -> ReadError:
        self.failures[kind] += 1
        who = "the bus" if list(identifiers) == [sdk.BROADCAST_ID] else f"servo {', '.join(map(str, identifiers))}"
        return ReadError(
            f"{who}: {_EXPLAINED[kind]} to {what} at {self.baud_rate} baud on {self.path}; "
            "is it powered and connected? `rosac bus check` looks at the bus"
        )
