"""Real time, the learner saturating the machine: latency from observation to command, missed periods, lost transitions.

.venv/bin/python benchmarks/latency.py --json result.json
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen first
import numpy as np  # noqa: E402
from listener import Listener  # noqa: E402
from sac_interfaces.msg import Transition  # noqa: E402
from sac_learner.learning.replay_log import Kind, ReplayLog  # noqa: E402
from sac_learner.runs.run_directory import Run  # noqa: E402
from sac_learner.settings import LearnerNodeSettings  # noqa: E402
from stalls import Stalls  # noqa: E402
from support import (  # noqa: E402
    RESULTS,
    SATURATING_LEARNER,
    add_stack,
    finish,
    make_run,
    parser,
    result_name,
    running,
    wait_until,
    workspace,
)

from rosac_common import qos  # noqa: E402


class Witness(Listener):
    """Subscribes to the replay beside the learner and keeps what the figures need."""

    def __init__(self) -> None:
        super().__init__("witness")
        self.latencies_s: list[float] = []
        self.node.create_subscription(Transition, "replay", self._take, qos.REPLAY)
        self.begin()

    def _take(self, message: Transition) -> None:
        self.latencies_s.append(message.action_latency_s)


def lost_and_duplicated(run: Run, settings: LearnerNodeSettings) -> tuple[int, int]:
    """Gaps and repetitions in the sequence numbers of the replay log: what the learner has stored in the end."""
    sizes = {"observation_size": settings.observation_size, "action_size": settings.action_size}
    log = ReplayLog(run.files.replay, task_name=settings.task_name, **sizes, sync_period_s=1.0)
    lost = duplicated = 0
    for session in {segment.session_id for segment in log.segments}:
        records = np.concatenate([segment.records for segment in log.segments if segment.session_id == session])
        numbers = records["sequence"][records["kind"] <= Kind.REPAIRED]
        unique = np.unique(numbers)
        lost += int(unique[-1]) + 1 - unique.size
        duplicated += numbers.size - unique.size
    return lost, duplicated


def measure(stack: str, rate_hz: float, duration_s: float) -> tuple[dict[str, object], list[float]]:
    """Run the graph in real time and look at every transition."""
    parameters = {
        "learner": SATURATING_LEARNER,
        "task": {"task.control_period_s": 1.0 / rate_hz},
    }
    with workspace() as directory:
        run, graph = make_run(directory, {"time_base": "realtime", "steps": "0"}, parameters, stack)
        witness = Witness()
        try:
            with running(run, graph) as (supervisor, monitor):
                wait_until(
                    lambda: monitor.status is not None and monitor.status.updates >= 200 and monitor.episode_count >= 1,
                    supervisor,
                    monitor,
                )
                first, episodes = len(witness.latencies_s), monitor.episode_count
                missed = -monitor.missed_periods
                with Stalls() as stalls:
                    start = time.monotonic()
                    while time.monotonic() - start < duration_s:
                        monitor.spin(0.5)
                        supervisor.check(time.monotonic())
                latencies = witness.latencies_s[first:]
                missed += monitor.missed_periods
                updates_per_s = monitor.status.updates_per_s
        finally:
            witness.close()
        lost, duplicated = lost_and_duplicated(run, graph.parameters["learner"])
    milliseconds, late_ms = 1e3 * np.array(latencies), 1e3 * np.array(stalls.late_s)
    result = {
        "duration_s": duration_s,
        "transitions": len(latencies),
        "episodes": monitor.episode_count - episodes,
        "latency_p50_ms": float(np.percentile(milliseconds, 50)),
        "latency_p99_ms": float(np.percentile(milliseconds, 99)),
        "latency_max_ms": float(milliseconds.max()),
        "missed_periods": missed,
        "machine_stalled_max_ms": float(late_ms.max()),
        "machine_stalled_for_half_a_period": int((late_ms > 500.0 / rate_hz).sum()),
        "transitions_lost": lost,
        "transitions_duplicated": duplicated,
        "learner_updates_per_s": float(updates_per_s),
    }
    return result, latencies


def _plot(latencies_s: list[float], path: Path, title: str) -> None:
    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axis.hist(1e3 * np.array(latencies_s), bins=100, log=True)
    axis.set(xlabel="observation to command [ms]", ylabel="control steps", title=title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Command line."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument(
        "--rates-hz", type=float, nargs="+", default=[10.0, 50.0], help="control rates, one after another"
    )
    options.add_argument("--durations-s", type=float, nargs="+", default=[600.0, 120.0], help="time to measure at each")
    add_stack(options)
    chosen = options.parse_args()
    name = result_name(__file__, chosen.stack)
    result: dict[str, object] = {}
    for rate_hz, duration_s in zip(chosen.rates_hz, chosen.durations_s, strict=True):
        figures, latencies = measure(chosen.stack, rate_hz, duration_s)
        result |= {f"{rate_hz:g}hz_{name}": value for name, value in figures.items()}
        if chosen.save:
            _plot(latencies, RESULTS / f"{name}_{rate_hz:g}hz.png", f"{rate_hz:g} Hz, learner saturating the machine")
    finish(chosen, name, result)


if __name__ == "__main__":
    main()
