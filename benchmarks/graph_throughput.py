"""Control steps per second through all nodes in lockstep, without and with the learner, beside the parts alone.

.venv/bin/python benchmarks/graph_throughput.py --json result.json

The learner has mode sac and makes one update a step, in the graph and alone: `ratio` is what the graph leaves of it.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import valve_task.env  # noqa: F401 - registers the environments
import yaml
from sac_learner.commands.evaluation import evaluation_graph
from sac_learner.graph.stacks import STACKS, Graph
from sac_learner.runs.run_directory import Run
from support import add_stack, finish, make_run, parser, result_name, running, wait_until, workspace

# As sac.initial_random_steps, but short: the benchmark is about the lasting state.
WARM_UP_STEPS = 400
LEARNER = {
    "pacing.updates_per_step": 1.0,
    "sac.initial_random_steps": WARM_UP_STEPS,
    "sac.min_pool_steps": WARM_UP_STEPS,
}


def environment_alone(stack: str, steps: int) -> float:
    """Control steps per second of the same task in one process: the ceiling without any messages."""
    environment = gymnasium.make(f"rosac/{STACKS[stack].default_task}-v0")
    environment.reset(seed=0)
    environment.action_space.seed(0)
    actions = [environment.action_space.sample() for _ in range(80)]
    start = time.perf_counter()
    for index in range(steps):
        *_, terminated, truncated, _ = environment.step(actions[index % 80])
        if terminated or truncated:
            environment.reset()
    return steps / (time.perf_counter() - start)


def graph_without_learner(stack: str, duration_s: float) -> tuple[float, float]:
    """(policy steps, control periods with those of the resets) per second of bridge, task and actor."""
    with workspace() as directory:
        run, graph = make_run(
            directory, {}, {"learner": {"sac.initial_random_steps": 0, "sac.min_pool_steps": 1}}, stack
        )
        with running(run, graph) as (supervisor, monitor):
            wait_until(lambda: run.files.untrained_policy.exists(), supervisor, monitor)
        graph = dataclasses.replace(
            evaluation_graph(run, run.files.untrained_policy, {"namespace": ""}), arguments=graph.arguments
        )
        run.files.config.write_text(yaml.safe_dump(graph.parameter_file()), encoding="utf-8")
        period_s = graph.parameters["bridge"].control_period_s
        with running(run, graph) as (supervisor, monitor):
            wait_until(lambda: monitor.episode_count >= 3, supervisor, monitor)
            start, steps, robot_s = time.perf_counter(), monitor.steps, monitor.robot_time_s
            while time.perf_counter() - start < duration_s:
                monitor.spin(0.1)
            elapsed = time.perf_counter() - start
            return (monitor.steps - steps) / elapsed, (monitor.robot_time_s - robot_s) / period_s / elapsed


def _run_of_learner(directory: Path, stack: str) -> tuple[Run, Graph]:
    """A run whose learner is compared with itself alone. Not in the default mode, whose updates also turn, mirror and
    relabel what they sample: the bare loop has no task that says how."""
    return make_run(directory, {"mode": "sac", "steps": "0"}, {"learner": LEARNER}, stack)


def graph_with_learner(stack: str, updates: int) -> float:
    """Updates per second of the learner at one update a step, over the last `updates`."""
    with workspace() as directory:
        run, graph = _run_of_learner(directory, stack)
        with running(run, graph) as (supervisor, monitor):
            wait_until(lambda: monitor.status is not None and monitor.status.updates >= 200, supervisor, monitor)
            start, first = time.perf_counter(), monitor.status.updates
            wait_until(lambda: monitor.status.updates >= first + updates, supervisor, monitor)
            return (monitor.status.updates - first) / (time.perf_counter() - start)


def learner_alone(stack: str, updates: int) -> float:
    """Updates per second of the bare update loop with sampling, in a process of its own, set as in the graph."""
    command = [sys.executable, __file__, "--stack", stack, "--learner-alone", str(updates)]
    output = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(output.stdout.split()[-1])


def _learner_loop(stack: str, updates: int) -> float:
    import torch
    from sac_learner.learning.replay import ReplayBuffer
    from sac_learner.sac.learner import SacLearner

    with workspace() as directory:
        settings = _run_of_learner(directory, stack)[1].parameters["learner"]
    torch.set_num_threads(settings.thread_count)
    os.nice(settings.niceness)
    size, action_size = settings.observation_size, settings.action_size
    learner = SacLearner(settings.sac, size, action_size, seed=0)
    rng = np.random.default_rng(0)
    buffer = ReplayBuffer(settings.sac.replay_capacity, size, action_size)
    buffer.extend(rng.standard_normal((10_000, buffer.row_size(size, action_size)), dtype=np.float32))
    for _ in range(50):
        learner.update(buffer.sample(settings.sac.batch_size, rng))
    start = time.perf_counter()
    for _ in range(updates):
        learner.update(buffer.sample(settings.sac.batch_size, rng))
    return updates / (time.perf_counter() - start)


def main() -> None:
    """Command line."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--duration-s", type=float, default=30.0, help="how long to measure the graph without learner")
    options.add_argument("--updates", type=int, default=3000, help="updates to measure the learner over")
    options.add_argument(
        "--learner-alone", type=int, metavar="N", help="only the bare update loop, printed as a number"
    )
    add_stack(options)
    chosen = options.parse_args()
    if chosen.learner_alone:
        print(_learner_loop(chosen.stack, chosen.learner_alone))
        return
    policy_steps, periods = graph_without_learner(chosen.stack, chosen.duration_s)
    alone = learner_alone(chosen.stack, chosen.updates)
    together = graph_with_learner(chosen.stack, chosen.updates)
    result = {
        "environment_alone_steps_per_s": environment_alone(chosen.stack, 4000),
        "graph_steps_per_s": policy_steps,
        "graph_control_periods_per_s": periods,
        "learner_alone_updates_per_s": alone,
        "learner_in_graph_updates_per_s": together,
        "ratio": together / alone,
    }
    finish(chosen, result_name(__file__, chosen.stack), result)


if __name__ == "__main__":
    main()
