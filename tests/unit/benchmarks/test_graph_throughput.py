"""The throughput of the graph: the learner in it and the learner alone are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


class Made(Exception):
    """The run is made; nothing of it is started."""


@pytest.fixture
def throughput(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):  # the benchmark sets its own
        monkeypatch.setenv(name, "")
    import graph_throughput

    return graph_throughput


@pytest.mark.parametrize("stack", ["dclaw_valve", "minitaur_walk"])
def test_the_learner_in_the_graph_is_the_one_alone(throughput, monkeypatch, stack):
    graphs = []
    make_run = throughput.make_run

    def recorded(*arguments):
        graphs.append(make_run(*arguments)[1])
        raise Made

    monkeypatch.setattr(throughput, "make_run", recorded)
    for measure in (throughput.graph_with_learner, throughput._learner_loop):
        with pytest.raises(Made):
            measure(stack, 1)
    in_graph, alone = (graph.parameters["learner"] for graph in graphs)
    assert (in_graph.sac, in_graph.pacing, in_graph.threads) == (alone.sac, alone.pacing, alone.threads)
    assert in_graph.pacing.updates_per_step == 1.0, "as docs/sac.md and the results say"
    # What the bare loop has not.
    assert not in_graph.sac.symmetry_augmentation
    assert not in_graph.sac.target_relabelling
