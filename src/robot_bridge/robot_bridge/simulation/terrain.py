"""Ground that a legged robot walks on, as MJCF geoms of class "ground". The robot starts at the origin, facing +x, on
flat ground at height 0; what differs begins in front of it. Lengths in m.
"""

from __future__ import annotations

import math

import numpy as np

TERRAINS = ("flat", "slope", "slope_down", "blocks", "stairs")

# arXiv 1812.05905 shows slope, wooden blocks and stairs and gives no figures: all of these are our own. The slope is
# what can be walked at half the friction that a foot has; a block and a stair are 10 and 15% of the leg's length.
FLAT_START = 0.6
SLOPE_RAD = math.radians(10.0)
BLOCK_SIZE, BLOCK_HEIGHT, BLOCK_FIELD = (0.08, 0.24), 0.025, (1.5, 2.0)
STAIR_DEPTH, STAIR_HEIGHT, STAIRS = 0.30, 0.035, 8
_WIDTH, _LENGTH, _THICK = 4.0, 20.0, 0.5


def ground_mjcf(terrain: str, seed: int) -> str:
    """The geoms of a terrain.

    Args:
        terrain: one of TERRAINS.
        seed: places the blocks.
    """
    if terrain == "flat":
        return _plane()
    if terrain == "slope":
        return _start_box() + _slope(SLOPE_RAD)
    if terrain == "slope_down":
        return _start_box() + _slope(-SLOPE_RAD)
    if terrain == "stairs":
        return _start_box() + _stairs()
    if terrain == "blocks":
        return _plane() + _blocks(np.random.default_rng(seed))
    raise ValueError(f"unknown terrain '{terrain}': choose one of {', '.join(TERRAINS)}")


def _plane() -> str:
    return '<geom name="ground" class="ground" type="plane" size="0 0 0.1"/>'


def _box(name: str, low: tuple[float, float, float], high: tuple[float, float, float]) -> str:
    size = " ".join(f"{(b - a) / 2:.6g}" for a, b in zip(low, high, strict=True))
    centre = " ".join(f"{(a + b) / 2:.6g}" for a, b in zip(low, high, strict=True))
    return f'<geom name="{name}" class="ground" type="box" size="{size}" pos="{centre}"/>'


def _start_box() -> str:
    return _box("ground", (-_LENGTH, -_WIDTH, -_THICK), (FLAT_START, _WIDTH, 0.0))


def _slope(angle_rad: float) -> str:
    """A plate whose upper edge meets the end of the flat start."""
    half, thick = _LENGTH / 2, _THICK / 2
    x = FLAT_START + half * math.cos(angle_rad) + thick * math.sin(angle_rad)
    z = half * math.sin(angle_rad) - thick * math.cos(angle_rad)
    return (
        f'<geom name="slope" class="ground" type="box" size="{half} {_WIDTH} {thick}" pos="{x:.6g} 0 {z:.6g}" '
        f'euler="0 {-angle_rad:.6g} 0"/>'
    )


def _stairs() -> str:
    steps = [
        _box(
            f"stair{i}",
            (FLAT_START + i * STAIR_DEPTH, -_WIDTH, -STAIR_HEIGHT * (i + 1) - _THICK),
            (FLAT_START + (i + 1) * STAIR_DEPTH if i + 1 < STAIRS else _LENGTH, _WIDTH, -STAIR_HEIGHT * (i + 1)),
        )
        for i in range(STAIRS)
    ]
    return "".join(steps)


def _blocks(rng: np.random.Generator) -> str:
    """Blocks of random length, width and height, turned anyhow, one in each cell of a grid in front of the robot."""
    blocks = []
    cell = BLOCK_SIZE[1] + 0.06
    for i, x in enumerate(np.arange(FLAT_START + cell / 2, FLAT_START + BLOCK_FIELD[0], cell)):
        for j, y in enumerate(np.arange(-BLOCK_FIELD[1] / 2 + cell / 2, BLOCK_FIELD[1] / 2, cell)):
            length, width = rng.uniform(*BLOCK_SIZE, 2)
            height = rng.uniform(0.4, 1.0) * BLOCK_HEIGHT
            dx, dy = rng.uniform(-0.03, 0.03, 2)
            blocks.append(
                f'<geom name="block{i}_{j}" class="ground" type="box" pos="{x + dx:.5g} {y + dy:.5g} 0" '
                f'size="{length / 2:.5g} {width / 2:.5g} {height:.5g}" euler="0 0 {rng.uniform(0, math.pi):.5g}"/>'
            )
    return "".join(blocks)
