"""Parameters of instructions to several servos (e-manual, Protocol 2.0: Sync and Bulk Read and Write)."""

from __future__ import annotations


def pair(values: bytes) -> tuple[int, int]:
    """Address and length, which many instructions begin with."""
    return int.from_bytes(values[:2], "little"), int.from_bytes(values[2:4], "little")


def sync_wanted(values: bytes) -> list[tuple[int, int, int]]:
    """(id, address, length) each that a sync read asks for."""
    if len(values) < 4:
        return []
    address, length = pair(values)
    return [(identifier, address, length) for identifier in values[4:]]


def bulk_wanted(values: bytes) -> list[tuple[int, int, int]]:
    """(id, address, length) each that a bulk read asks for."""
    parts = [values[i : i + 5] for i in range(0, len(values) - 4, 5)]
    return [(part[0], *pair(part[1:])) for part in parts]


def sync_data(values: bytes) -> list[tuple[int, int, bytes]]:
    """(id, address, data) each that a sync write holds."""
    if len(values) < 4:
        return []
    address, length = pair(values)
    starts = range(4, len(values) - length, length + 1)
    return [(values[start], address, values[start + 1 : start + 1 + length]) for start in starts]


def bulk_data(values: bytes) -> list[tuple[int, int, bytes]]:
    """(id, address, data) each that a bulk write holds; one that is cut short is left out."""
    wanted, place = [], 0
    while place + 5 <= len(values):
        address, length = pair(values[place + 1 :])
        data = values[place + 5 : place + 5 + length]
        if len(data) == length:
            wanted.append((values[place], address, data))
        place += 5 + length
    return wanted
