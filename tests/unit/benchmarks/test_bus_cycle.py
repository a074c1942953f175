"""The bus benchmark: nine servos of the hand's robot file, whatever lists that file has."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.mark.parametrize("fast", [False, True])
def test_cycles_of_nine_servos_are_measured(monkeypatch, fast):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bus_cycle

    measured = bus_cycle.measure(1_000_000, fast, True, 5)
    assert len(bus_cycle.nine_servos(1_000_000).all_joint_names) == 9
    assert measured["cycles_per_s"] > 0
    assert measured["failed_reads"] == 0
