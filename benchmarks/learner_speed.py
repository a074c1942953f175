"""Updates per second beside Stable-Baselines3, SBX and the matrix products that an update needs, in turns.

.venv/bin/python benchmarks/learner_speed.py --json result.json

Every learner is a child process of its own that stays alive over all rounds; all but the one whose turn it is are
stopped (SIGSTOP), for waiting threads may spin. All get the same cores (affinity) and as many threads. An update is:
draw 256 transitions from a full memory of 1,000,000, step both critics, policy and temperature, move the targets; two
hidden layers of 256. What is compiled or prepared at the start is not counted. `sbx` makes one update a call, as a
robot needs it; `sbx_64` makes 64 in one compiled call.
`rosac_bfloat16` is rosac with `sac.products: bfloat16`; everything else computes in float32.

.venv/bin/python benchmarks/learner_speed.py --device cuda

does something else: it checks rosac's updates on a GPU and measures them, alone (`device_speed.py`).
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rosac_common.settings import SettingsError
from speed_subjects import SUBJECTS
from support import RESULTS, finish, parser

OWN = "rosac"
SIZES = ((21, 9), (112, 8))
PEERS = ("rosac_bfloat16", "sb3", "sbx", "sbx_64", "gemm_floor")
NEEDS_SBX = ("sbx", "sbx_64")
# Whether waiting threads of OpenMP sleep or spin: which is faster depends on what else the machine does. rosac makes
# its own choice, SBX does not use OpenMP.
WAIT_POLICIES = ("PASSIVE", "ACTIVE")
TRIES_WAIT_POLICIES = ("sb3", "gemm_floor")
INSTALL = "-m pip install -r requirements-benchmarks.txt -c constraints.txt"


class Missing(Exception):
    """A package that the subject needs is not installed."""


class Child:
    """A subject in a process of its own."""

    def __init__(
        self,
        name: str,
        sizes: tuple[int, int],
        threads: int,
        python: str = sys.executable,
        wait_policy: str | None = None,
        niceness: int = 0,
    ) -> None:
        """Start it and wait until it has made its first updates. It gets the cores that this process may use.

        Raises:
            Missing: a package is not installed.
            RuntimeError: it ended.
        """
        environment = {**os.environ, "NPROC": str(threads), "JAX_PLATFORMS": "cpu"}
        if wait_policy:
            environment["OMP_WAIT_POLICY"] = wait_policy
        if threads == 1:
            flags = os.environ.get("XLA_FLAGS", "")
            environment["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
        script = Path(__file__).with_name("speed_subjects.py")
        command = ["nice", "-n", str(niceness), python, str(script), name, *map(str, sizes), "--threads", str(threads)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.name = name
        self._process = subprocess.Popen(command, env=environment, text=True, **pipes)
        try:
            if package := self.answer().get("missing"):
                raise Missing(package)
        except BaseException:
            self.close()
            raise

    def tell(self, command: str, value: float) -> None:
        """Wake it and have it do something; `answer` waits for the result."""
        self._process.send_signal(signal.SIGCONT)
        print(command, value, file=self._process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        """What it says next. Then it is stopped, for threads that wait for their next work may take cores meanwhile.

        Raises:
            RuntimeError: it ended.
        """
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.name} ended with status {self._process.wait()}; see above")
        self._process.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def updates_per_s(self, duration_s: float) -> float:
        """Measure once."""
        self.tell("measure", duration_s)
        answer = self.answer()
        return answer["updates"] / answer["seconds"]

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()


@contextmanager
def started(name: str, sizes: tuple[int, int], options: argparse.Namespace) -> Iterator[Child]:
    """A child while it lives, with the faster wait policy where that is free."""
    python = options.sbx_python if name in NEEDS_SBX else sys.executable
    tried = name in TRIES_WAIT_POLICIES and options.threads > 1
    policies = WAIT_POLICIES if tried else (None,)
    children = [Child(name, sizes, options.threads, python, policy) for policy in policies]
    try:
        if tried:
            # The median of a few turns: one alone may meet another process's work.
            turns = [[child.updates_per_s(options.trial_s / 3) for child in children] for _ in range(3)]
            rates = [statistics.median(column) for column in zip(*turns, strict=True)]
            best = rates.index(max(rates))
            print(f"{name}: OMP_WAIT_POLICY={policies[best]} of " + ", ".join(map("{:.1f}/s".format, rates)))
            children.append(children.pop(best))
            for child in children[:-1]:
                child.close()
        yield children[-1]
    finally:
        for child in children:
            child.close()


def compare(sizes: tuple[int, int], options: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Updates per second of every subject in every round, and the time of a sample."""
    with ExitStack() as stack:
        children = []
        for name in SUBJECTS:
            try:
                children.append(stack.enter_context(started(name, sizes, options)))
            except Missing as missing:
                python = options.sbx_python if name in NEEDS_SBX else sys.executable
                print(f"{name} is left out, '{missing}' is not installed: {python} {INSTALL}", file=sys.stderr)
        rates: dict[str, list[float]] = {name: [] for name in SUBJECTS}
        for turn in range(options.rounds):
            # Each comes after each other one, so that none always meets the caches of the same predecessor.
            order = children[turn % len(children) :] + children[: turn % len(children)]
            for child in order:
                rates[child.name].append(child.updates_per_s(options.duration_s))
            shown = ", ".join(f"{name} {values[-1]:.1f}" for name, values in rates.items() if values)
            print(f"{sizes} round {turn + 1}/{options.rounds}: {shown}", flush=True)
        own = next(child for child in children if child.name == OWN)
        own.tell("sample", options.samples)
        return rates, own.answer()


def figures(rates: dict[str, list[float]], sampling: dict[str, float], suffix: str) -> dict[str, float | None]:
    """Medians, spreads and ratios (the median over the rounds of the ratio within a round)."""
    found: dict[str, float | None] = {}
    for name, values in rates.items():
        found[f"{name}{suffix}"] = statistics.median(values) if values else None
        found[f"{name}{suffix}_min"] = min(values, default=None)
        found[f"{name}{suffix}_max"] = max(values, default=None)
    for peer in PEERS:
        pairs = zip(rates[OWN], rates[peer], strict=False)
        ratios = [own / other for own, other in pairs]
        found[f"rosac_over_{peer}{suffix}"] = statistics.median(ratios) if ratios else None
    return found | {f"replay_sample_us_{name}{suffix}": value for name, value in sampling.items()}


def print_table(all_rates: dict[tuple[int, int], dict[str, list[float]]]) -> None:
    """Medians with the extremes, and ratios, for people."""
    for sizes, rates in all_rates.items():
        print(f"\nobservation {sizes[0]}, action {sizes[1]}: updates/s, median (min .. max) of the rounds; rosac / it")
        for name, values in rates.items():
            if not values:
                print(f"  {name:12} not installed")
                continue
            ratio = statistics.median(own / other for own, other in zip(rates[OWN], values, strict=True))
            spread = f"({min(values):.1f} .. {max(values):.1f})"
            print(f"  {name:12} {statistics.median(values):8.1f}  {spread:18}  {ratio:6.2f}")
    print()


def _plot(all_rates: dict[tuple[int, int], dict[str, list[float]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(all_rates), figsize=(9, 3.5), layout="constrained", squeeze=False)
    for axis, (sizes, rates) in zip(axes[0], all_rates.items(), strict=True):
        shown = {name: values for name, values in rates.items() if values}
        axis.bar(list(shown), [statistics.median(values) for values in shown.values()], color="C0", alpha=0.6)
        for index, values in enumerate(shown.values()):
            axis.plot([index] * len(values), values, "k.", markersize=3)
        axis.set(ylabel="updates/s", title=f"observation {sizes[0]}, action {sizes[1]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def on_gpu(options: argparse.Namespace) -> None:
    """Check and measure rosac alone on a GPU."""
    import torch
    from device_speed import measure
    from sac_learner.learning.cuda import resolve_device

    device = resolve_device(options.device)
    result = {"gpu": torch.cuda.get_device_name(device), "pytorch": torch.__version__}
    result |= {"rounds": options.rounds, "duration_s": options.duration_s}
    for sizes in SIZES:
        result |= measure(sizes, device, options.rounds, options.duration_s)
    finish(options, f"{Path(__file__).stem}_gpu", result)


def main() -> None:
    """Command line."""
    cores = sorted(os.sched_getaffinity(0))
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--threads", type=int, default=len(cores), help="cores and threads of every learner")
    options.add_argument("--device", default="cpu", help="cuda or cuda:<number>: measure rosac on that GPU instead")
    options.add_argument("--rounds", type=int, default=9, help="how often each is measured")
    options.add_argument("--duration-s", type=float, default=3.0, help="of one measurement")
    options.add_argument("--trial-s", type=float, default=3.0, help="of the choice of a wait policy")
    options.add_argument("--samples", type=int, default=20_000, help="draws from the replay memory that are timed")
    options.add_argument("--sbx-python", default=sys.executable, help="Python of the environment that holds sbx-rl")
    chosen = options.parse_args()
    if chosen.device != "cpu":
        if not chosen.device.startswith("cuda"):
            options.error(f"--device is {chosen.device!r}; it must be cpu, cuda or cuda:<number>")
        try:
            on_gpu(chosen)
        except (SettingsError, RuntimeError) as error:
            sys.exit(f"error: {error}")
        return
    if not 1 <= chosen.threads <= len(cores):
        options.error(f"--threads is {chosen.threads}; this process may use {len(cores)} cores")
    os.sched_setaffinity(0, cores[: chosen.threads])  # the children inherit it
    result: dict[str, Any] = {"threads": chosen.threads, "rounds": chosen.rounds, "duration_s": chosen.duration_s}
    load = os.getloadavg()[0]
    all_rates = {}
    for sizes in SIZES:
        all_rates[sizes], sampling = compare(sizes, chosen)
        suffix = "" if sizes == SIZES[0] else f"_{sizes[0]}_{sizes[1]}"
        result |= figures(all_rates[sizes], sampling, suffix)
    print_table(all_rates)
    if chosen.save:
        _plot(all_rates, RESULTS / "learner_speed.png")
    finish(chosen, Path(__file__).stem, result | {"load_average_before": load})


if __name__ == "__main__":
    main()
