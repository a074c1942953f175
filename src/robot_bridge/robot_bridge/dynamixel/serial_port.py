"""The serial port under dynamixel-sdk: waits instead of polling, belongs to one process, and says when it is gone."""

from __future__ import annotations

import contextlib
import os
import select
import termios
import time

import serial
from dynamixel_sdk import PortHandler

from robot_bridge.backend import BackendError, ConnectionLostError

_CHUNK = 4096
# What a port that is gone answers with, depending on who notices.
_GONE = (OSError, termios.error, ValueError)


class SerialPort(PortHandler):
    """`PortHandler` as dynamixel-sdk wants it, with five changes: a read sleeps until bytes come or the time of the
    packet is over (the SDK's polls), nothing is read for longer than that however much comes in, times are steady (the
    SDK's follow the wall clock), the wait for an answer is what the caller allows (the SDK's adds 34 ms), and the port
    is exclusive.

    Args:
        path: of the device.
        baud_rate: bit/s.
        reply_timeout_s: how much longer than its time on the wire an answer may take [s].
    """

    def __init__(self, path: str, baud_rate: int, reply_timeout_s: float) -> None:
        super().__init__(path)
        self.baudrate = baud_rate
        self.reply_timeout_s = reply_timeout_s
        self._received = bytearray()
        self._looked_late = False  # whether the port was read after the time of the packet
        self.lost = ""  # why it closed, if not because it was used no more

    # dynamixel-sdk calls these by their names

    def setupPort(self, cflag_baud: int) -> bool:  # noqa: N802
        if self.is_open:
            self.closePort()
        try:
            self.ser = serial.Serial(self.port_name, self.baudrate, timeout=0, exclusive=True)
            self.ser.reset_input_buffer()
        except _GONE as error:
            raise ConnectionLostError(f"cannot open {self.port_name}: {_reason(error, self.port_name)}") from error
        self._received.clear()
        self.is_open = True
        self.tx_time_per_byte = 10_000.0 / self.baudrate
        return True

    def closePort(self) -> None:  # noqa: N802
        self.is_open = False
        self.lost = ""
        if self.ser is not None:
            with contextlib.suppress(*_GONE):  # nothing can be said to a port that is gone
                self.ser.close()

    def setBaudRate(self, baudrate: int) -> bool:  # noqa: N802
        if not super().setBaudRate(baudrate):
            raise BackendError(f"dynamixel-sdk for Python cannot set {baudrate} baud; choose a rate up to 4000000")
        return True

    def clearPort(self) -> None:  # noqa: N802
        self._received.clear()
        try:
            self.ser.reset_input_buffer()
        except _GONE as error:
            raise self._gone(error) from error

    def readPort(self, length: int) -> bytes:  # noqa: N802
        if len(self._received) < length:
            self._wait_and_read()
        data = bytes(self._received[:length])
        del self._received[:length]
        return data

    def writePort(self, packet: list[int]) -> int:  # noqa: N802
        try:
            return os.write(self.ser.fileno(), bytes(packet))
        except BlockingIOError:
            return 0  # the adapter takes no more
        except _GONE as error:
            raise self._gone(error) from error

    def setPacketTimeout(self, packet_length: int) -> None:  # noqa: N802
        self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + 1e3 * self.reply_timeout_s)

    def setPacketTimeoutMillis(self, msec: float) -> None:  # noqa: N802
        super().setPacketTimeoutMillis(msec)
        self._looked_late = False

    def getCurrentTime(self) -> float:  # noqa: N802
        return time.monotonic() * 1e3

    def _wait_and_read(self) -> None:
        left_s = 1e-3 * (self.packet_timeout - self.getTimeSinceStart())
        if left_s <= 0.0:
            # Once: what came in time while this process was not running. Not again: a bus may babble for ever.
            if self._looked_late:
                return
            left_s, self._looked_late = 0.0, True
        try:
            ready, _, _ = select.select([self.ser.fileno()], [], [], left_s)
            if not ready:
                return
            data = os.read(self.ser.fileno(), _CHUNK)
        except _GONE as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone(None)
        self._received += data

    def _gone(self, error: Exception | None) -> ConnectionLostError:
        self.is_using = False
        # At once: while somebody has the dead port open, the kernel gives the adapter another name when it comes back.
        self.closePort()
        reason = "" if error is None else f" ({error})"
        self.lost = f"{self.port_name} is gone{reason}: plug the adapter in, then call safety/reset"
        return ConnectionLostError(self.lost)


def _reason(error: Exception, path: str) -> str:
    """Why a port does not open, with what to do about it."""
    number = getattr(error, "errno", None)
    if isinstance(error, serial.SerialException) and "exclusively lock" in str(error):
        return "another process has it open (a bridge, or `rosac bus`): end that first"
    if number == 2 or not os.path.exists(path):  # noqa: PTH110 - a device that comes and goes
        return "there is no such device: plug the adapter in, or look for it with `ls /dev/ttyUSB*`"
    if number == 13:
        return "no permission: `sudo usermod -aG dialout $USER`, then log in again"
    return str(error)
