"""The latency timer of a USB adapter: how long an FTDI chip holds answers back in the hope of more."""

from __future__ import annotations

from pathlib import Path

_DEVICES = Path("/sys/bus/usb-serial/devices")


def latency_timer_file(port: str, devices: Path = _DEVICES) -> Path:
    """Where Linux keeps the timer of a port, whether or not there is one; a link to the port will do."""
    return devices / Path(port).resolve().name / "latency_timer"


def latency_timer_ms(port: str, devices: Path = _DEVICES) -> int | None:
    """The timer [ms]. None: the port has none (no FTDI adapter, or an emulator)."""
    try:
        return int(latency_timer_file(port, devices).read_text())
    except OSError:
        return None
