"""Numbers on command lines: what argparse says of a bad one by itself names neither the limit nor what to give."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def whole_number(minimum: int) -> Callable[[str], int]:
    """`type=` of an option that takes a whole number from `minimum` on."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{text}: must be a whole number, at least {minimum}")
        return value

    return convert


def number_above_0(text: str) -> float:
    """`type=` of an option that takes a duration."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: must be a finite number above 0")
    return value
