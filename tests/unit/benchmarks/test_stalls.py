"""How long the machine stands still: a program that was paused has woken up late."""

import os
import signal
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def test_a_program_that_stood_still_has_woken_up_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from stalls import Stalls

    try:
        with Stalls() as stalls:
            os.kill(stalls.pid, signal.SIGSTOP)
            time.sleep(0.3)
            os.kill(stalls.pid, signal.SIGCONT)
    except RuntimeError as error:
        assert "no real-time scheduling" in str(error)
        return
    assert min(stalls.late_s) >= 0.0
    assert max(stalls.late_s) > 0.25
