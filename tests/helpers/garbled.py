"""Answers of a bus that are not what a servo has sent."""

import random

from robot_bridge.emulator.packets import crc16, encode_fast_status, encode_status


def garbled(rng: random.Random, good: bytes) -> bytes:
    """Something else than a good answer."""
    kind = rng.randrange(10)
    data = bytearray(good)
    if kind == 0:
        return rng.randbytes(rng.randrange(80))
    if kind == 1:
        return bytes(data[: rng.randrange(len(data))])
    if kind == 2:
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(data)
    if kind == 3:
        place = rng.randrange(len(data))
        return bytes(data[:place]) + rng.randbytes(rng.randrange(1, 9)) + bytes(data[place:])
    if kind == 4:  # a header, a length and an end that mean nothing
        return b"\xff\xff\xfd\x00" + rng.randbytes(rng.randrange(3, 40))
    if kind == 5:  # intact, but of another servo
        return encode_status(rng.choice([2, 9, 252]), 0, rng.randbytes(10))
    if kind == 6:  # intact, but of another size
        return encode_status(3, 0, rng.randbytes(rng.choice([0, 1, 2, 3, 5, 9, 11, 200])))
    if kind == 7:  # intact, but an error
        return encode_status(3, rng.randrange(1, 128), rng.randbytes(rng.choice([0, 4])))
    if kind == 8:  # intact, but of other servos
        return encode_fast_status([(0, identifier, rng.randbytes(4)) for identifier in rng.choice([(4, 3), (3, 9)])])
    body = b"\xff\xff\xfd\x00\x03" + rng.randrange(12).to_bytes(2, "little") + rng.randbytes(rng.randrange(9))
    return body + crc16(body).to_bytes(2, "little")  # intact by its checksum, but no status
