"""Control steps per second through all nodes in lockstep, without and with the learner, beside the parts alone.

    .venv/bin/python benchmarks/graph_throughput.py --json result.json
"""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
from support import finish, make_run, parser, running, workspace
from sac_learner.evaluation import evaluation_graph
from sac_learner.sac.learner import SacLearner
from sac_learner.settings import LearnerNodeSettings
from sac_learner.monitor import Monitor
from sac_learner.stacks import Graph


def physics_alone(steps: int) -> float:
    """Control steps per second of the simulation in this process."""
    import gymnasium
    import valve_task  # noqa: F401 - registers the environments

    environment = gymnasium.make("rosac/DClawTurn-v0").unwrapped
    environment.reset(seed=0)
    action = environment.action_space.sample()
    start = time.perf_counter()
    for index in range(steps):
        if index % 80 == 79:
            environment.reset()
        environment.step(action)
    return steps / (time.perf_counter() - start)


def graph_without_learner(duration_s: float) -> tuple[float, float]:
    """(policy steps per second, control periods per second with those of the resets) over `duration_s`."""
    with workspace() as directory:
        run, graph = make_run(directory, {}, {})
        policy = export_untrained(graph, directory / "policy.safetensors")
        graph = evaluation_graph(run, policy, {"namespace": ""})
        import yaml

        run.config.write_text(yaml.safe_dump(graph.parameter_file()))
        period_s = graph.parameters["bridge"].control_period_s
        with running(run, graph) as (_, monitor):
            wait_for_episodes(monitor, 5)
            start, first = time.perf_counter(), monitor.episode_count
            steps, periods = 0, 0.0
            known = first
            while time.perf_counter() - start < duration_s:
                monitor.spin(0.1)
                for episode in list(monitor.episodes)[-(monitor.episode_count - known) or len(monitor.episodes) :]:
                    steps += episode.steps
                    periods += (episode.duration_s + episode.reset_duration_s) / period_s
                known = monitor.episode_count
            elapsed = time.perf_counter() - start
    return steps / elapsed, periods / elapsed


def export_untrained(graph: Graph, path: Path) -> Path:
    """A policy that was never updated, as the learner would export it."""
    raise NotImplementedError
