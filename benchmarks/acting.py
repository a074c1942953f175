"""Time in which the policy answers an observation, on one core, while the learner saturates the machine.

.venv/bin/python benchmarks/acting.py --json result.json

The learner runs as its node does (niceness, threads that look for each other a moment before they sleep) and never
waits. The actor is a process on one core: "own": the learner has all other cores; "shared": the learner has as many
threads as there are cores, on all of them, the actor's too. Each with normal scheduling and with the real-time priority
that the stacks give the actor node.
An answer is `Actor.answer`: the check of the observation, the forward pass, the noise; without messages.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from learner_speed import SIZES, Child
from rosac_common.priority import REALTIME_PRIORITY, raise_priority
from sac_learner.actor import Actor
from sac_learner.policy import PolicyWeights
from sac_learner.settings import ActorSettings, LearnerNodeSettings
from support import RESULTS, finish, parser

TARGET_US = 200.0
SCHEDULING = {"normal": 0, "fifo": REALTIME_PRIORITY}
# The learner starts a little earlier and ends a little later than the answers are measured [s].
MARGIN_S = 0.5


def answer_times_us(policy: Path, sizes: tuple[int, int], count: int, rate_hz: float, priority: int) -> np.ndarray:
    """Answer random observations at a rate; how long each answer took [count]."""
    settings = ActorSettings(observation_size=sizes[0], action_size=sizes[1], policy_file=str(policy))
    actor = Actor(settings)
    if problem := raise_priority(priority):
        print(f"without real-time priority: {problem}", file=sys.stderr)
    observations = np.random.default_rng(0).standard_normal((count, sizes[0]), dtype=np.float32)
    times = np.empty(count)
    next_s = time.perf_counter()
    for index, observation in enumerate(observations):
        next_s += 1.0 / rate_hz
        time.sleep(max(0.0, next_s - time.perf_counter()))
        start = time.perf_counter_ns()
        actor.answer(observation)
        times[index] = 1e-3 * (time.perf_counter_ns() - start)
    if actor.counters.answered != count:
        raise RuntimeError(f"{actor.counters.answered} of {count} observations were answered: {actor.problem}")
    return times


def export_policy(path: Path, sizes: tuple[int, int]) -> None:
    """A policy as it is before the first update: what an answer costs does not depend on its values."""
    from sac_learner.sac.learner import SacLearner

    weights = PolicyWeights(
        run="benchmark",
        version=1,
        transitions=0,
        updates=0,
        explore_uniformly=False,
        tensors=SacLearner(LearnerNodeSettings().sac, *sizes, seed=0).policy_tensors(),
        observation_mean=np.zeros(sizes[0], dtype=np.float32),
        observation_std=np.ones(sizes[0], dtype=np.float32),
    )
    weights.save(path, {})


@contextmanager
def on_cores(cores: list[int]) -> Iterator[None]:
    """Processes that are started here get these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure(
    policy: Path, sizes: tuple[int, int], learner_cores: list[int], actor_core: int, options: argparse.Namespace
) -> dict[str, tuple[np.ndarray, float]]:
    """For both kinds of scheduling: times of the answers, and the learner's updates per second meanwhile."""
    with on_cores(learner_cores):
        learner = Child("rosac", sizes, len(learner_cores), niceness=LearnerNodeSettings().niceness)
    found = {}
    try:
        for name, priority in SCHEDULING.items():
            arguments = map(str, ["answer", policy, *sizes, options.answers, options.rate_hz, priority])
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            with on_cores([actor_core]):
                actor = subprocess.Popen([sys.executable, __file__, *arguments], **pipes)
            actor.stdout.readline()  # imports are done
            learner.tell("measure", options.answers / options.rate_hz + 2 * MARGIN_S)
            time.sleep(MARGIN_S)
            output, _ = actor.communicate("go\n")
            if actor.returncode:
                raise RuntimeError(f"the actor ended with status {actor.returncode}; see above")
            answer = learner.answer()
            found[name] = (np.array(json.loads(output)), answer["updates"] / answer["seconds"])
    finally:
        learner.close()
    return found


def _child(arguments: list[str]) -> None:
    policy, observation_size, action_size, count, rate_hz, priority = arguments
    print("ready", flush=True)
    sys.stdin.readline()
    sizes = (int(observation_size), int(action_size))
    times = answer_times_us(Path(policy), sizes, int(count), float(rate_hz), int(priority))
    print(json.dumps(times.tolist()))


def _plot(times: dict[str, np.ndarray], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, values in times.items():
        share = 1.0 - np.arange(len(values)) / len(values)
        axis.plot(np.sort(values), share, label=name.replace("_", " "))
    axis.axvline(TARGET_US, color="k", linewidth=0.8, linestyle="--")
    axis.set(xscale="log", yscale="log", xlabel="answer [us]", ylabel="share of answers that take longer")
    axis.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def figures(name: str, times: np.ndarray, updates_per_s: float) -> dict[str, float]:
    """What is reported of one situation; also printed."""
    p50, p99 = (float(np.percentile(times, share)) for share in (50, 99))
    over = int((times > TARGET_US).sum())
    print(
        f"{name:20} p50 {p50:7.1f} us, p99 {p99:7.1f} us, max {times.max():8.1f} us, {over} of {len(times)} over "
        f"{TARGET_US:g} us; learner {updates_per_s:.1f} updates/s",
        flush=True,
    )
    found = {"p50_us": p50, "p99_us": p99, "max_us": float(times.max()), "over_target": over}
    return {f"{name}_{key}": value for key, value in (found | {"learner_updates_per_s": updates_per_s}).items()}


def main() -> None:
    """Command line."""
    if sys.argv[1:2] == ["answer"]:
        _child(sys.argv[2:])
        return
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--answers", type=int, default=20_000, help="answers in each situation")
    options.add_argument("--rate-hz", type=float, default=1000.0, help="observations per second")
    chosen = options.parse_args()
    *others, last = cores = sorted(os.sched_getaffinity(0))
    places = {"own": others, "shared": cores} if others else {"shared": cores}
    result: dict[str, object] = {"answers": chosen.answers, "rate_hz": chosen.rate_hz, "target_p99_us": TARGET_US}
    all_times = {}
    for sizes in SIZES:
        with tempfile.TemporaryDirectory(prefix="rosac-benchmark-") as directory:
            policy = Path(directory) / "policy.safetensors"
            export_policy(policy, sizes)
            for place, learner_cores in places.items():
                for scheduling, (times, updates_per_s) in measure(policy, sizes, learner_cores, last, chosen).items():
                    name = f"{sizes[0]}_{sizes[1]}_{place}_{scheduling}"
                    result |= figures(name, times, updates_per_s)
                    all_times[name] = times
    if chosen.save:
        _plot(all_times, RESULTS / "acting.png")
    finish(chosen, Path(__file__).stem, result)


if __name__ == "__main__":
    main()
