"""Settings of the bus that do not belong to the robot but to the computer it hangs on."""

from __future__ import annotations

import dataclasses

from rosac_common.settings import setting

EMULATOR = "emulator"


@dataclasses.dataclass(frozen=True)
class BusSettings:
    """The block `bus`."""

    port: str = setting("", "device of the USB adapter, such as /dev/ttyUSB0; emulator: servos that are not there")
    reply_timeout_s: float = setting(
        0.02,
        "how much longer than its time on the wire an answer may take [s]; an FTDI adapter with its default latency "
        "timer holds answers back for 16 ms",
        minimum=0.001,
        maximum=1.0,
    )
    read_retries: int = setting(
        1,
        "a failed read of all joints is tried again so often before it counts as failed (ROBEL: 1); a failed fast read "
        "is followed by a plain one in any case",
        minimum=0,
    )
    fast_read: bool = setting(True, "read all servos with one answer (fast sync read) where their firmware allows it")
    fast_read_failures: int = setting(
        10, "fast reads that fail in a row before they are given up (dynamixel_hardware_interface: 10)", minimum=1
    )
