"""The emulated bus: servos that answer instructions and turn the joints of a plant. Time is given by the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from robot_bridge.dynamixel.control_table import BAUD_RATES, RETURN_DELAY_UNIT_S
from robot_bridge.emulator.faults import Line, checked_fault
from robot_bridge.emulator.packets import (
    BROADCAST_ID,
    Error,
    Instruction,
    Packet,
    encode_fast_status,
    encode_status,
)
from robot_bridge.emulator.plant import Plant
from robot_bridge.emulator.servo import RAD_PER_TICK, Servo
from robot_bridge.robot import RobotSettings

_CLEAR_MULTI_TURN = bytes([0x01, 0x44, 0x58, 0x4C, 0x22])
_BITS_PER_BYTE = 10  # on the wire: start, eight, stop


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
        factory: servos as unpacked: 57,600 baud, 500 us return delay, 80 C; else baud rate and ids of the robot file.
    """

    def __init__(self, robot: RobotSettings, plant: Plant, seed: int, factory: bool = False) -> None:
        self.plant = plant
        self._robot = robot
        self._direction = np.array([*robot.direction, *robot.auxiliary_direction], dtype=float)
        self._offset = np.array([*robot.position_offset_rad, *robot.auxiliary_position_offset_rad])
        self._kp = np.array([*robot.kp_nm_rad, *robot.auxiliary_kp_nm_rad])
        self._torque_constant = np.array(robot.servos.torque_constant_nm_a)
        codes = {rate: code for code, rate in BAUD_RATES.items()}
        code = codes[57_600] if factory else codes[robot.servos.baud_rate]
        self.servos = [
            Servo(model, identifier, code)
            for model, identifier in zip(robot.servos.models, robot.all_joint_ids, strict=True)
        ]
        for servo in self.servos:
            servo.voltage_v = robot.servos.voltage_v
        self.line = Line(np.random.default_rng(seed))
        self.now_s = 0.0
        self.instructions = 0
        self.instructions_broken = 0
        self._revisions = -1
        self._handlers: dict[int, Callable[[Packet], list[Reply]]] = {
            Instruction.SYNC_READ: self._sync_read,
            Instruction.FAST_SYNC_READ: self._fast_sync_read,
            Instruction.SYNC_WRITE: self._sync_write,
            Instruction.BULK_READ: self._bulk_read,
            Instruction.FAST_BULK_READ: self._fast_bulk_read,
            Instruction.BULK_WRITE: self._bulk_write,
        }
        self._observe(0.0)

    # time

    def advance(self, until_s: float, fed: bool = False) -> None:
        """Let the plant run until that time, in whole steps of it.

        Args:
            until_s: time at the end [s].
            fed: the bus watchdogs hear of no silence, as if instructions came all the time.
        """
        step_s = self.plant.time_step_s
        steps = int((until_s - self.now_s) / step_s + 1e-6)
        while steps > 0:
            self._command()
            # In one go, unless a goal moves by itself; the watchdogs are looked at in between.
            chunk = 1 if any(servo.follows_profile for servo in self.servos) else min(steps, 8)
            self.plant.advance(chunk * step_s)
            self.now_s += chunk * step_s
            steps -= chunk
            for servo in self.servos if fed else ():
                servo.last_instruction_s = self.now_s
            self._observe(chunk * step_s)

    def _command(self) -> None:
        """Give the plant what the servos want, when that has changed."""
        servos, step_s = self.servos, self.plant.time_step_s
        moving = any(servo.follows_profile for servo in servos)
        revisions = sum(servo.revision for servo in servos)
        if revisions == self._revisions and not moving:
            return
        self._revisions = revisions
        angles = np.array([servo.goal_rad(step_s) for servo in servos])
        gains = [servo.get("position_p_gain") / servo.model.register("position_p_gain").default for servo in servos]
        limits = np.array([servo.current_limit_a for servo in servos]) * self._torque_constant
        self.plant.set_gains(self._kp * gains)
        self.plant.set_effort_limits(limits)
        torque = np.array([servo.torque_on for servo in servos])
        self.plant.write(self._direction * angles + self._offset, torque)

    def _observe(self, elapsed_s: float) -> None:
        state = self.plant.read()
        angle = self._direction * (state.position_rad - self._offset)
        velocity = self._direction * state.velocity_rad_s
        current = self._direction * state.effort_nm / self._torque_constant
        tick = int(self.now_s * 1000.0) % 32_768
        for servo, *values in zip(self.servos, angle.tolist(), velocity.tolist(), current.tolist(), strict=True):
            servo.observe(*values, elapsed_s)
            servo.set("realtime_tick", tick)
            servo.watch(self.now_s)

    # instructions

    def handle(self, packet: Packet, baud_rate: int) -> list[Reply]:
        """What the servos send in answer, in order. Only servos at the host's baud rate hear anything."""
        self.instructions += 1
        hearing = [s for s in self.servos if not s.silent and BAUD_RATES[s.get("baud_rate")] == baud_rate]
        if not packet.intact:
            self.instructions_broken += 1
            return [self._status(s, Error.CRC) for s in hearing if s.identifier == packet.id]
        for servo in hearing:
            servo.last_instruction_s = self.now_s
        self._hearing = {servo.identifier: servo for servo in hearing}
        group = self._handlers.get(packet.instruction)
        if group is not None:
            return group(packet) if packet.id == BROADCAST_ID else []
        if packet.id == BROADCAST_ID:
            return self._broadcast(packet, hearing)
        servo = self._hearing.get(packet.id)
        if servo is None:
            return []
        error, data = self._single(servo, packet)
        level = servo.get("status_return_level")
        wanted = {Instruction.PING: 0, Instruction.READ: 1}.get(packet.instruction, 2)
        return [self._status(servo, error, data)] if level >= wanted else []

    def _broadcast(self, packet: Packet, hearing: list[Servo]) -> list[Reply]:
        """To all: only a ping is answered, in the order of the ids."""
        if packet.instruction == Instruction.PING:
            return [self._status(s, 0, self._ping(s)) for s in sorted(hearing, key=lambda s: s.identifier)]
        if packet.instruction != Instruction.READ:
            for servo in hearing:
                self._single(servo, packet)
        return []

    @staticmethod
    def _ping(servo: Servo) -> bytes:
        return servo.get("model_number").to_bytes(2, "little") + bytes([servo.get("firmware_version")])

    def _single(self, servo: Servo, packet: Packet) -> tuple[int, bytes]:
        """Error and data of an instruction to one servo."""
        values, kind = packet.parameters, packet.instruction
        if kind == Instruction.PING:
            return Error.NONE, self._ping(servo)
        if kind == Instruction.READ:
            if len(values) != 4:
                return Error.DATA_LENGTH, b""
            return servo.read(*_pair(values))
        if kind in (Instruction.WRITE, Instruction.REG_WRITE):
            if len(values) < 3:
                return Error.DATA_LENGTH, b""
            write = servo.write if kind == Instruction.WRITE else servo.register_write
            return write(int.from_bytes(values[:2], "little"), values[2:], self.now_s), b""
        if kind == Instruction.ACTION:
            return servo.action(self.now_s), b""
        if kind == Instruction.REBOOT:
            servo.reboot()
            return Error.NONE, b""
        if kind == Instruction.FACTORY_RESET:
            keep = {0xFF: set(), 0x01: {"id"}, 0x02: {"id", "baud_rate"}}.get(values[0] if values else -1)
            if keep is None:
                return Error.DATA_RANGE, b""
            servo.factory_reset(keep)
            return Error.NONE, b""
        if kind == Instruction.CLEAR:
            return (Error.NONE if values == _CLEAR_MULTI_TURN else Error.DATA_RANGE), b""
        return Error.INSTRUCTION, b""

    def _status(self, servo: Servo, error: int, data: bytes = b"") -> Reply:
        packet = encode_status(servo.identifier, error | servo.alert, data)
        return Reply(packet, servo.get("return_delay_time") * RETURN_DELAY_UNIT_S)

    def _read_in_turn(self, wanted: list[tuple[int, int, int]]) -> list[Reply]:
        """(id, address, length) each; every servo waits for the one before it, so that a missing one ends the row."""
        replies = []
        for identifier, address, length in wanted:
            servo = self._hearing.get(identifier)
            if servo is None:
                break
            replies.append(self._status(servo, *servo.read(address, length)))
        return replies

    def _read_together(self, wanted: list[tuple[int, int, int]]) -> list[Reply]:
        """One packet of all; it is never completed when a servo is missing, so that nothing of use arrives."""
        answers, delay_s = [], 0.0
        for identifier, address, length in wanted:
            servo = self._hearing.get(identifier)
            if servo is None:
                return []
            error, data = servo.read(address, length)
            answers.append((error | servo.alert, identifier, data))
            delay_s = max(delay_s, servo.get("return_delay_time") * RETURN_DELAY_UNIT_S)
        return [Reply(encode_fast_status(answers), delay_s)] if answers else []

    def _sync_read(self, packet: Packet) -> list[Reply]:
        return self._read_in_turn(_sync_wanted(packet.parameters))

    def _fast_sync_read(self, packet: Packet) -> list[Reply]:
        return self._read_together(_sync_wanted(packet.parameters))

    def _bulk_read(self, packet: Packet) -> list[Reply]:
        return self._read_in_turn(_bulk_wanted(packet.parameters))

    def _fast_bulk_read(self, packet: Packet) -> list[Reply]:
        return self._read_together(_bulk_wanted(packet.parameters))

    def _sync_write(self, packet: Packet) -> list[Reply]:
        values = packet.parameters
        if len(values) < 4:
            return []
        address, length = _pair(values)
        for start in range(4, len(values) - length, length + 1):
            servo = self._hearing.get(values[start])
            if servo is not None:
                servo.write(address, values[start + 1 : start + 1 + length], self.now_s)
        return []

    def _bulk_write(self, packet: Packet) -> list[Reply]:
        values, place = packet.parameters, 0
        while place + 5 <= len(values):
            address, length = _pair(values[place + 1 :])
            data = values[place + 5 : place + 5 + length]
            servo = self._hearing.get(values[place])
            if servo is not None and len(data) == length:
                servo.write(address, data, self.now_s)
            place += 5 + length
        return []

    # faults and what others may look at

    def fault(self, kind: str, values: Mapping[str, Any]) -> None:
        """Let a fault of packets or of a servo begin; the cable is the port's.

        Raises:
            FaultError: unknown fault, wrong values.
        """
        given = checked_fault(kind, values)
        if "rate" in given:
            self.line.set(kind, given)
            return
        servo = next((s for s in self.servos if s.identifier == given["id"]), None)
        if servo is None:
            raise ValueError(f"no servo has id {given['id']}; there are {[s.identifier for s in self.servos]}")
        self.line.counts[kind] += 1
        if kind == "silent":
            servo.silent = True
        elif kind == "reboot":
            servo.reboot()
        elif kind == "hardware_error":
            servo.raise_error(given["bit"])
        elif kind == "stale_encoder":
            servo.frozen = True
        elif kind == "voltage":
            servo.voltage_v = given["volts"]
        elif kind == "temperature":
            servo.temperature_c = given["celsius"]

    def clear_faults(self) -> None:
        """Lines and servos are in order again; hardware errors stay until a reboot, temperatures cool down."""
        self.line.clear()
        for servo in self.servos:
            servo.silent = servo.frozen = False
            servo.voltage_v = self._robot.servos.voltage_v

    def status(self) -> dict[str, Any]:
        """Servos, joints and counters, for tests and people."""
        state = self.plant.read()
        return {
            "time_s": self.now_s,
            "time_step_s": self.plant.time_step_s,
            "position_rad": state.position_rad.tolist(),
            "velocity_rad_s": state.velocity_rad_s.tolist(),
            "instructions": self.instructions,
            "instructions_broken": self.instructions_broken,
            "faults": dict(self.line.counts),
            "servos": [
                {
                    "id": servo.identifier,
                    "torque_on": servo.torque_on,
                    "goal_rad": float(d * servo.get("goal_position") * RAD_PER_TICK + o),
                    "temperature_c": servo.temperature_c,
                    "hardware_error": servo.error_bits,
                    "bus_watchdog": servo.get_watchdog(),
                    "torque_off_s": servo.torque_off_s,
                }
                for servo, d, o in zip(self.servos, self._direction, self._offset, strict=True)
            ],
        }


def _pair(values: bytes) -> tuple[int, int]:
    """Address and length, which many instructions begin with."""
    return int.from_bytes(values[:2], "little"), int.from_bytes(values[2:4], "little")


def _sync_wanted(values: bytes) -> list[tuple[int, int, int]]:
    if len(values) < 4:
        return []
    address, length = _pair(values)
    return [(identifier, address, length) for identifier in values[4:]]


def _bulk_wanted(values: bytes) -> list[tuple[int, int, int]]:
    parts = [values[i : i + 5] for i in range(0, len(values) - 4, 5)]
    return [(part[0], *_pair(part[1:])) for part in parts]


def wire_time_s(count: int, baud_rate: int) -> float:
    """Time that so many bytes take on the wire [s]."""
    return count * _BITS_PER_BYTE / baud_rate
