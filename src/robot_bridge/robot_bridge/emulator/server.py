"""The emulator's process: lets time pass, moves bytes between the port and the bus, and takes orders over a socket.

Orders are lines of JSON on a Unix socket: {"do": "advance", "duration_s": 0.1}, {"do": "fault", "kind": "lost",
"rate": 0.01}, {"do": "status"}, {"do": "readings"}, {"do": "randomise", "seed": 0}; for a robot that moves about
{"do": "body"} and {"do": "put_back"}. Each is answered by one line: {"ok": true, ...} or {"ok": false, "error": "..."}.
"""

from __future__ import annotations

import dataclasses
import json
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robot_bridge.emulator.bus import EmulatedBus
from robot_bridge.emulator.faults import FaultError, checked_fault
from robot_bridge.emulator.packets import UNANSWERED, InstructionStream, wire_time_s
from robot_bridge.emulator.port import EmulatedPort
from robot_bridge.emulator.script import Planned

# Real time: how often the servos look at the clock when nobody asks them anything.
_IDLE_S = 0.005
# A packet whose rest does not come within this time was cut short.
_PARTIAL_S = 0.02
# When the machine did not let the emulator run for longer than this, the rest is left out instead of made up for: real
# servos do not stall, and their watchdogs must not trip because an emulator did. Longer than an answer at 57,600 baud.
_LONGEST_CATCH_UP_S = 0.05
# Sleeping is exact to about this; the rest of a wait is spent looking at the clock.
_SLEEP_MARGIN_S = 0.0003


class EmulatorServer:
    """Args:
    bus: the servos.
    port: the pseudo-terminal, not plugged yet.
    control: path of the socket.
    lockstep: time passes only by the order advance, and nothing takes time on the wire.
    script: faults to come, sorted by time.
    steady_clocks: in lockstep, the servos' own clocks go on all the same.
    """

    def __init__(
        self,
        bus: EmulatedBus,
        port: EmulatedPort,
        control: Path,
        lockstep: bool,
        script: Sequence[Planned] = (),
        clock: Callable[[], float] = time.monotonic,
        *,
        steady_clocks: bool = False,
    ) -> None:
        self._bus, self._port, self._lockstep, self._clock = bus, port, lockstep, clock
        self._steady_clocks = steady_clocks
        self._script = list(script)
        self._stream = InstructionStream()
        self._heard_s = self._line_free_s = 0.0
        self._connections: dict[int, tuple[socket.socket, bytearray]] = {}
        self._answers: deque[tuple[float, bytes]] = deque()  # on their way: when their last byte arrives, all bytes
        port.plug()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(control))
        self._listener.listen()
        self._start_s = self._origin_s = clock()
        self._orders: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "advance": self._do_advance,
            "fault": self._do_fault,
            "status": self._do_status,
            "randomise": self._do_randomise,
            "body": self._do_body,
            "put_back": self._do_put_back,
            "readings": self._do_readings,
        }

    def run(self, keep_going: Callable[[], bool]) -> None:
        """Serve until told otherwise.

        Raises:
            FaultError: a servo of the script has another id by now.
        """
        while keep_going():
            self.step(_IDLE_S if not self._lockstep else 0.1)

    def step(self, timeout_s: float) -> None:
        """Wait for something to do, no longer than `timeout_s`, and do it."""
        listener = self._listener.fileno()
        sources = [listener, *self._connections, *([self._port.fileno()] if self._port.plugged else [])]
        if self._answers:
            timeout_s = min(timeout_s, max(0.0, self._answers[0][0] - self._clock() - _SLEEP_MARGIN_S))
        ready, _, _ = select.select(sources, [], [], timeout_s)
        self._send_answers()
        now_s = self._clock()
        self._follow_clock(now_s)
        self._follow_script(now_s)
        for source in ready:
            if self._port.plugged and source == self._port.fileno():
                self._serve_port()
            elif source == listener:
                connection, _ = self._listener.accept()
                self._connections[connection.fileno()] = (connection, bytearray())
            elif source in self._connections:
                self._serve_control(source)
        if self._stream.pending and now_s - self._heard_s > _PARTIAL_S:
            self._stream.drop_partial()

    def close(self) -> None:
        """Port and socket go."""
        self._port.unplug()
        for connection, _ in self._connections.values():
            connection.close()
        self._listener.close()

    def _follow_clock(self, now_s: float) -> None:
        if self._lockstep:
            if self._steady_clocks:
                self._bus.drives.left_out_s = now_s - self._start_s - self._bus.drives.now_s
            return
        behind_s = now_s - self._origin_s - self._bus.drives.now_s
        if behind_s > _LONGEST_CATCH_UP_S:
            self._origin_s += behind_s - _LONGEST_CATCH_UP_S
            self._bus.drives.left_out_s += behind_s - _LONGEST_CATCH_UP_S
        self._bus.drives.advance(now_s - self._origin_s)

    def _follow_script(self, now_s: float) -> None:
        passed_s = self._bus.drives.now_s if self._lockstep else now_s - self._start_s
        while self._script and passed_s >= self._script[0][0] - 1e-9:
            at_s, kind, values = self._script.pop(0)
            try:
                self._fault(kind, values)
            except FaultError as error:
                raise FaultError(f"the script's fault '{kind}' at {at_s:g} s: {error}") from error

    # the port

    def _serve_port(self) -> None:
        baud_rate, data = self._port.baud_rate, self._port.read()
        # What was heard after the last look at the clock must not be answered with what was before.
        now_s = self._heard_s = self._clock()
        if not baud_rate:  # none that a servo knows
            return
        self._follow_clock(now_s)
        line = self._bus.line
        for packet in self._stream.feed(data):
            due_s = max(now_s, self._line_free_s) + wire_time_s(packet.wire_bytes, baud_rate)
            self._line_free_s = due_s
            befalls = line.instruction(packet.instruction not in UNANSWERED)
            if befalls == "lost":
                continue
            if befalls == "corrupt":
                packet = packet._replace(intact=False)
            heard_s = self._bus.drives.now_s if self._lockstep else due_s - self._origin_s
            sent = bytearray()
            for reply in self._bus.handle(packet, baud_rate, heard_s):
                pieces, late_s = line.status(reply.packet)
                due_s += reply.delay_s + late_s + wire_time_s(len(reply.packet), baud_rate)
                sent += b"".join(pieces)
            self._line_free_s = due_s
            if sent:
                self._answers.append((due_s, bytes(sent)))
        self._send_answers()

    def _send_answers(self) -> None:
        """Those whose time has come, or comes before sleeping could end: then it is waited for at the clock."""
        while self._answers and (self._lockstep or self._answers[0][0] - self._clock() <= _SLEEP_MARGIN_S):
            due_s, answer = self._answers.popleft()
            while not self._lockstep and self._clock() < due_s:
                pass
            self._port.write(answer)

    # orders

    def _serve_control(self, source: int) -> None:
        connection, buffer = self._connections[source]
        data = connection.recv(65_536)
        if not data:
            connection.close()
            del self._connections[source]
            return
        buffer += data
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            connection.sendall(json.dumps(self._answer(line)).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        """Carry out one order; whatever is wrong with it is the answer."""
        try:
            order = json.loads(line)
            kind = order.pop("do")
            if kind not in self._orders:
                raise ValueError(f"unknown order '{kind}'; known: {', '.join(self._orders)}")
            return {"ok": True, **self._orders[kind](order)}
        except Exception as error:  # told to whoever gave the order
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}

    def _do_advance(self, order: dict[str, Any]) -> dict[str, Any]:
        if not self._lockstep:
            raise ValueError("the emulator runs in real time; start it with --lockstep to advance it")
        # In real time a bridge would have read the servos all the while.
        drives = self._bus.drives
        drives.advance(drives.now_s + float(order["duration_s"]), fed=True)
        return {"time_s": drives.now_s}

    def _do_fault(self, order: dict[str, Any]) -> dict[str, Any]:
        self._fault(order.pop("kind"), order)
        return {}

    def _fault(self, kind: str, values: Mapping[str, Any]) -> None:
        checked_fault(kind, values)
        if kind == "unplug":
            self._bus.line.counts["unplug"] += 1
            self._port.unplug()
            self._stream.drop_partial()
            self._answers.clear()
            return
        if kind in ("replug", "clear"):
            self._port.plug()
        if kind == "clear":  # late answers come now
            self._answers = deque((0.0, answer) for _, answer in self._answers)
            self._line_free_s = 0.0
        if kind != "replug":
            self._bus.fault(kind, values)

    def _do_status(self, order: dict[str, Any]) -> dict[str, Any]:
        status = self._bus.status()
        # On the clock that every process of this machine shares.
        for servo in status["servos"]:
            for name in ("torque_off_s", "watchdog_tripped_s"):
                if servo[name] is not None:
                    servo[name] += self._origin_s
        own = {"noise_bytes": self._stream.noise_bytes, "left_out_s": self._bus.drives.left_out_s}
        own |= {"started_s": self._start_s, "clock_s": self._clock()}
        return {**status, **own}

    def _do_readings(self, order: dict[str, Any]) -> dict[str, Any]:
        # On the clock that every process of this machine shares.
        readings = self._bus.drives.take_readings()
        return {"readings": [(self._start_s + at_s, shown_rad, held_rad) for at_s, shown_rad, held_rad in readings]}

    def _do_randomise(self, order: dict[str, Any]) -> dict[str, Any]:
        self._bus.drives.randomise(int(order["seed"]))
        return {}

    def _do_body(self, order: dict[str, Any]) -> dict[str, Any]:
        values = dataclasses.asdict(self._bus.drives.body())
        return {"body": {name: np.asarray(value).tolist() for name, value in values.items()}}

    def _do_put_back(self, order: dict[str, Any]) -> dict[str, Any]:
        self._bus.drives.put_back()
        return {}
