"""Both robots with servos, and a pseudo-terminal at whose other end a test plays the servos."""

import contextlib
import os
import pty
import select
import threading
import tty
from collections.abc import Callable
from pathlib import Path

import pytest
from robot_bridge.dynamixel.bus import DynamixelBus
from robot_bridge.emulator.packets import InstructionStream, Packet
from robot_bridge.robot import load_robot

ROBOTS = Path(__file__).parents[4] / "config" / "robots"


class PlayedServos:
    """The servos' end of a pseudo-terminal: what comes in is answered by `answer(packet)`, in a thread of its own."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.port = os.ttyname(self.slave)
        self.answer: Callable[[Packet], bytes] = lambda packet: b""
        self.heard: list[Packet] = []
        self.answered = 0
        self.heard_bytes = b""
        self._stream = InstructionStream()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        while not self._ended.is_set():
            ready, _, _ = select.select([self.master], [], [], 0.05)
            if not ready:
                continue
            data = os.read(self.master, 65_536)
            self.heard_bytes += data
            for packet in self._stream.feed(data):
                self.heard.append(packet)
                with contextlib.suppress(BlockingIOError):  # what nobody reads is lost, as on a wire
                    os.write(self.master, self.answer(packet))
                self.answered += 1

    def close(self) -> None:
        """Pull the cable. May be called twice."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def played():
    servos = PlayedServos()
    yield servos
    servos.close()


@pytest.fixture
def bus(played):
    """A bus to the played servos, open; patient, because the machine may stand still while an answer is on its way."""
    made = DynamixelBus(played.port, 1_000_000, reply_timeout_s=2.0)
    made.open()
    yield made
    made.close()


@pytest.fixture
def hasty(bus, monkeypatch):
    """The same bus, for answers that are missing on purpose."""
    monkeypatch.setattr(bus._port, "reply_timeout_s", 0.3)
    return bus


@pytest.fixture(scope="session", params=["dclaw", "legs"])
def servo_robot(request):
    """A hand, and legs: nothing in the driver knows which."""
    return load_robot(ROBOTS / f"{request.param}.yaml")
