"""The emulated bus: who hears an instruction, and what comes back in answer. Time is given by the caller."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from robot_bridge.dynamixel.control_table import BAUD_RATES, RETURN_DELAY_UNIT_S
from robot_bridge.emulator.backup import RESTORE
from robot_bridge.emulator.drives import Drives
from robot_bridge.emulator.faults import Line, check_id, checked_fault
from robot_bridge.emulator.group_parameters import bulk_data, bulk_wanted, pair, sync_data, sync_wanted
from robot_bridge.emulator.packets import (
    BROADCAST_ID,
    STATUS,
    Error,
    Instruction,
    Packet,
    encode_fast_status,
    encode_status,
)
from robot_bridge.emulator.plant import Plant
from robot_bridge.emulator.servo import Notice, Servo
from robot_bridge.robot import RobotSettings

_CLEAR_MULTI_TURN = bytes([0x01, 0x44, 0x58, 0x4C, 0x22])
# Parameter of a factory reset -> registers that it keeps.
_RESET_ALL = b"\xff"
_RESETS: Mapping[bytes, tuple[str, ...]] = {_RESET_ALL: (), b"\x01": ("id",), b"\x02": ("id", "baud_rate")}
# How long a servo hears nothing after a reboot (own figure; the e-manual gives none).
BOOT_S = 0.25
# Least status return level at which an instruction is answered; 2 for all others.
_LEVELS = {Instruction.PING: 0, Instruction.READ: 1}
_GROUP_READS = {
    Instruction.SYNC_READ,
    Instruction.FAST_SYNC_READ,
    Instruction.BULK_READ,
    Instruction.FAST_BULK_READ,
}


class Reply(NamedTuple):
    """What a servo sends: not before `delay_s` after the instruction's end (and the replies before it)."""

    packet: bytes
    delay_s: float


class EmulatedBus:
    """Servos of a robot file over a plant.

    Args:
        robot: names, ids, directions, offsets and the block `servos`.
        plant: the joints.
        seed: of the faults.
        baud_rate: that the servos are set to [bit/s]; None: the robot file's.
        boot_s: how long a servo is deaf after a reboot [s].
    """

    def __init__(
        self, robot: RobotSettings, plant: Plant, seed: int, baud_rate: int | None = None, boot_s: float = BOOT_S
    ) -> None:
        codes = {rate: code for code, rate in BAUD_RATES.items()}
        code = codes[robot.servos.baud_rate if baud_rate is None else baud_rate]
        self._notice = Notice()
        self.servos = [
            Servo(model, place, identifier, code, self._notice)
            for place, (model, identifier) in enumerate(zip(robot.servos.models, robot.all_joint_ids, strict=True))
        ]
        self.drives = Drives(robot, plant, self.servos, self._notice)
        self.line = Line(np.random.default_rng(seed))
        self.instructions = self.instructions_broken = 0
        self._boot_s = boot_s
        self._now_s = 0.0
        self._hearing: dict[int, list[Servo]] = {}
        self._hearing_rate = -1
        self._handlers: dict[int, Callable[[bytes], list[Reply]]] = {
            Instruction.SYNC_READ: lambda values: self._read_in_turn(sync_wanted(values)),
            Instruction.FAST_SYNC_READ: lambda values: self._read_together(sync_wanted(values)),
            Instruction.BULK_READ: lambda values: self._read_in_turn(bulk_wanted(values)),
            Instruction.FAST_BULK_READ: lambda values: self._read_together(bulk_wanted(values)),
            Instruction.SYNC_WRITE: lambda values: self._write_all(sync_data(values)),
            Instruction.BULK_WRITE: lambda values: self._write_all(bulk_data(values)),
        }

    def handle(self, packet: Packet, baud_rate: int, now_s: float) -> list[Reply]:
        """What the servos send in answer, in order.

        Args:
            packet: as it came in.
            baud_rate: of the host [bit/s]; only servos at this rate hear anything.
            now_s: when the packet ended [s]; the plant has been advanced to there.
        """
        if packet.instruction == STATUS:
            return []
        self.instructions += 1
        self._now_s = now_s
        self.drives.tell_time(now_s)
        self._listen(baud_rate, now_s)
        if not packet.intact:
            self.instructions_broken += 1
            return self._answers(packet.id, 0, lambda _: (Error.CRC, b""))
        for twins in self._hearing.values():
            for servo in twins:
                servo.last_instruction_s = now_s
        group = self._handlers.get(packet.instruction)
        # Who only writes need not look, but where torque or mode were just switched.
        if packet.instruction != Instruction.SYNC_WRITE or self._notice.single_turn:
            self.drives.refresh()
        if group is not None:
            if packet.instruction in _GROUP_READS:
                self.drives.note_reading()
            return group(packet.parameters) if packet.id == BROADCAST_ID else []
        if packet.id == BROADCAST_ID:
            return self._broadcast(packet)
        level = _LEVELS.get(packet.instruction, 2)
        replies = self._answers(packet.id, level, lambda servo: self._single(servo, packet))
        if self._notice.single_turn:
            self.drives.refresh()
        return replies

    def _listen(self, baud_rate: int, now_s: float) -> None:
        """Work out which servos hear something; seldom anything new."""
        if not self._notice.address and baud_rate == self._hearing_rate:
            return
        hearing = collections.defaultdict(list)
        for servo in self.servos:
            if not servo.silent and servo.deaf_until_s <= now_s and BAUD_RATES[servo.get("baud_rate")] == baud_rate:
                hearing[servo.identifier].append(servo)
        self._hearing, self._hearing_rate = dict(hearing), baud_rate
        # While one is starting, the next instruction looks again.
        self._notice.address = any(servo.deaf_until_s > now_s for servo in self.servos)

    # instructions

    def _broadcast(self, packet: Packet) -> list[Reply]:
        """To all: only a ping is answered, in the order of the ids."""
        if packet.instruction == Instruction.PING:
            wanted = sorted(self._hearing)
            return [reply for identifier in wanted for reply in self._answers(identifier, 0, self._ping)]
        # Nobody resets all servos to one id (e-manual, factory reset).
        resets_all = packet.instruction == Instruction.FACTORY_RESET and packet.parameters == _RESET_ALL
        if packet.instruction != Instruction.READ and not resets_all:
            for servo in [servo for twins in self._hearing.values() for servo in twins]:
                self._single(servo, packet)
        return []

    @staticmethod
    def _ping(servo: Servo) -> tuple[int, bytes]:
        number, firmware = servo.get("model_number"), servo.get("firmware_version")
        return Error.NONE, number.to_bytes(2, "little") + bytes([firmware])

    def _single(self, servo: Servo, packet: Packet) -> tuple[int, bytes]:
        """Error and data of an instruction to one servo."""
        values, kind = packet.parameters, packet.instruction
        if kind == Instruction.PING:
            return self._ping(servo)
        if kind == Instruction.READ:
            return servo.read(*pair(values)) if len(values) == 4 else (Error.DATA_LENGTH, b"")
        if kind in (Instruction.WRITE, Instruction.REG_WRITE):
            if len(values) < 3:
                return Error.DATA_LENGTH, b""
            write = servo.write if kind == Instruction.WRITE else servo.register_write
            return write(int.from_bytes(values[:2], "little"), values[2:], self._now_s), b""
        if kind == Instruction.ACTION:
            return servo.action(self._now_s), b""
        if kind == Instruction.REBOOT:
            self._reboot(servo)
            return Error.NONE, b""
        if kind == Instruction.FACTORY_RESET:
            if values not in _RESETS:
                return Error.DATA_RANGE, b""
            servo.factory_reset(_RESETS[values])
            return Error.NONE, b""
        if kind == Instruction.CLEAR:
            return (servo.clear() if values == _CLEAR_MULTI_TURN else Error.DATA_RANGE), b""
        if kind == Instruction.CONTROL_TABLE_BACKUP:
            error = servo.back_up(values)
            if not error and values == RESTORE:
                self._reboot(servo)
            return error, b""
        return Error.INSTRUCTION, b""

    def _reboot(self, servo: Servo) -> None:
        servo.reboot()
        self.drives.forget_load(servo.place)
        servo.deaf_until_s = self._now_s + self._boot_s

    def _answers(self, identifier: int, level: int, act: Callable[[Servo], tuple[int, bytes]]) -> list[Reply]:
        """Let the servos of an id act; what comes back if they answer instructions of that level.

        Two servos with one id talk at the same time: what arrives is neither's, unless they say the same.
        """
        replies: list[Reply] = []
        for servo in self._hearing.get(identifier, ()):
            # As the servo was when the instruction came: it may change its id, its level or its delay.
            sender, answers = servo.identifier, servo.get("status_return_level") >= level
            delay_s = servo.get("return_delay_time") * RETURN_DELAY_UNIT_S
            error, data = act(servo)
            if answers:
                replies.append(Reply(encode_status(sender, error | servo.alert, data), delay_s))
        return replies if len(replies) < 2 else [_collision(replies)]

    def _read_in_turn(self, wanted: Iterable[tuple[int, int, int]]) -> list[Reply]:
        """(id, address, length) each; every servo waits for the one before it, so that a missing one ends the row."""
        replies: list[Reply] = []
        for identifier, address, length in wanted:
            answer = self._answers(identifier, 1, lambda servo, a=address, n=length: servo.read(a, n))
            if not answer:
                break
            replies += answer
        return replies

    def _read_together(self, wanted: Iterable[tuple[int, int, int]]) -> list[Reply]:
        """One packet of all; it is never completed when a servo is missing, so that nothing of use arrives."""
        answers, delay_s = [], 0.0
        for identifier, address, length in wanted:
            servo = next(iter(self._hearing.get(identifier, ())), None)
            if servo is None or servo.get("status_return_level") < 1:
                return []
            if servo.get("firmware_version") < servo.model.fast_read_firmware:
                return []
            error, data = servo.read(address, length)
            # A servo that refuses fills its place all the same, or the others' would shift.
            answers.append((error | servo.alert, identifier, data or bytes(length)))
            delay_s = max(delay_s, servo.get("return_delay_time") * RETURN_DELAY_UNIT_S)
        return [Reply(encode_fast_status(answers), delay_s)] if answers else []

    def _write_all(self, wanted: Iterable[tuple[int, int, bytes]]) -> list[Reply]:
        """(id, address, data) each. Nobody answers, not even one that refuses."""
        for identifier, address, data in wanted:
            for servo in self._hearing.get(identifier, ()):
                servo.write(address, data, self._now_s)
        return []

    # faults and what others may look at

    def fault(self, kind: str, values: Mapping[str, Any]) -> None:
        """Let a fault of packets or of a servo begin, or all of them end; the cable is the port's.

        Raises:
            FaultError: unknown fault, wrong values, no such servo.
        """
        given = checked_fault(kind, values)
        if "rate" in given:
            self.line.set(kind, given)
            return
        if kind == "clear":
            self._clear_faults()
            return
        check_id(given["id"], [servo.identifier for servo in self.servos])
        for servo in self.servos:
            if servo.identifier == given["id"]:
                self._fault_of_servo(servo, kind, given)
        self.line.counts[kind] += 1

    def _fault_of_servo(self, servo: Servo, kind: str, values: Mapping[str, Any]) -> None:
        self._notice.address = True
        if kind == "silent":
            servo.silent = True
        elif kind == "reboot":
            self._now_s = max(self._now_s, self.drives.now_s)
            self.drives.tell_time(self._now_s)
            self._reboot(servo)
        elif kind == "hardware_error":
            servo.raise_error(values["bit"])
        elif kind == "stale_encoder":
            servo.frozen = True
        elif kind == "voltage":
            self.drives.supply(servo.place, values["volts"])
        elif kind == "temperature":
            self.drives.warm(servo.place, values["celsius"])

    def _clear_faults(self) -> None:
        """Line, servos and supply are in order again; hardware errors stay until a reboot, temperatures cool down."""
        self.line.clear()
        self._notice.address = True
        for servo in self.servos:
            servo.silent = servo.frozen = False
        self.drives.restore_voltage()

    def status(self) -> dict[str, Any]:
        """Servos, joints and counters, for tests and people."""
        return {
            **self.drives.status(),
            "instructions": self.instructions,
            "instructions_broken": self.instructions_broken,
            "faults": dict(self.line.counts),
            "faults_unseen": dict(self.line.unseen),
        }


def _collision(replies: Sequence[Reply]) -> Reply:
    """Several replies at once: a dominant level wins on every bit, as on the wire."""
    packets = [reply.packet for reply in replies]
    length = max(map(len, packets))
    padded = [packet.ljust(length, b"\xff") for packet in packets]
    mixed = bytes(int(np.bitwise_and.reduce(column)) for column in zip(*padded, strict=True))
    return Reply(mixed, min(reply.delay_s for reply in replies))
