"""Named values while something runs: a panel on a terminal, a line every ten seconds anywhere else."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from rich.console import Console
from rich.live import Live
from rich.table import Table

# Seconds between two lines where there is no terminal to draw on.
LINE_INTERVAL_S = 10.0
# Steps before a speed is believed.
_FIRST_STEPS = 100


class Display:
    """Draws rows of names and values on a console."""

    def __init__(self, title: str, console: Console, start_s: float) -> None:
        self._title = title
        self._console = console
        self._next_line_s = start_s
        self._live = Live(console=console, refresh_per_second=4, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def note(self, line: str) -> None:
        """Print one line above the panel."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, rows: Mapping[str, str], now_s: float) -> None:
        """Redraw the panel, or print a line when it is time."""
        if self._live:
            table = Table(title=self._title, show_header=False)
            for name, value in rows.items():
                table.add_row(name, value)
            self._live.update(table, refresh=True)
        elif now_s >= self._next_line_s:
            self._next_line_s = now_s + LINE_INTERVAL_S
            self.note("  ".join(f"{name} {value}" for name, value in rows.items()))


class RemainingTime:
    """Time left at the mean speed since the first call: from when the speed is the lasting one."""

    def __init__(self) -> None:
        self._start: tuple[int, float] | None = None

    def text(self, steps: int, total: int, now_s: float) -> str:
        """Hours, minutes and seconds until `total` steps; "-" until the speed is known."""
        if self._start is None:
            self._start = (steps, now_s)
        first, start_s = self._start
        if steps - first < _FIRST_STEPS:
            return "-"
        return duration((now_s - start_s) / (steps - first) * (total - steps))


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(datetime.timedelta(seconds=round(seconds)))
