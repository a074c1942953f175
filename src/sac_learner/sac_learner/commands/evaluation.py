"""Evaluation: a finished policy, as a rule deterministic, through the real graph without a learner."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from robot_bridge.backend import ConnectionLostError
from robot_bridge.dynamixel.serial_port import SerialPort
from rosac_common.parameter_file import parameter_text
from rosac_common.settings import from_mapping, to_mapping
from sac_interfaces.msg import EpisodeSummary
from valve_task.tasks import error_unit_of, make_task

from sac_learner.atomic_file import write_atomic
from sac_learner.commands.alone import ANY_GRAPH_S, check_that_nobody_speaks
from sac_learner.commands.monitor import Monitor
from sac_learner.commands.operator_console import OperatorConsole
from sac_learner.graph.stacks import Graph, on_hardware
from sac_learner.graph.supervisor import Supervisor
from sac_learner.policy import load_policy
from sac_learner.runs.run_directory import Run, RunError
from sac_learner.runs.run_files import take_lock
from sac_learner.settings import ActorSettings

# No episode within this wall time, beyond its own length: the graph is stuck. A reset with all retries takes 40 s.
EPISODE_TIMEOUT_S = 120.0


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation; `to_json` is what `rosac eval --json` writes."""

    success_rate: float
    final_error_mean: float  # [error_unit]
    return_mean: float
    episodes: int
    final_errors: tuple[float, ...]  # [error_unit]
    error_unit: str  # rad, or m/s
    deterministic: bool = True  # False: actions were drawn, as in training

    def to_json(self) -> dict[str, object]:
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.episodes} episodes: success {100 * self.success_rate:.0f}%, mean final error "
            f"{self.final_error_mean:.3f} {self.error_unit}, mean return {self.return_mean:.0f}"
        )


def evaluate(
    run: Run,
    policy: Path,
    episodes: int,
    changes: Mapping[str, str],
    report: Callable[[str], None],
    *,
    deterministic: bool = True,
) -> Evaluation:
    """Run `episodes` episodes of the run's task with the mean action of `policy`, or with actions drawn from it.

    Args:
        run: whose stack, task and parameters are used.
        policy: an exported policy.
        episodes: how many.
        changes: arguments that differ from the run's (seed, time_base, backend, namespace).
        report: called with one line when something needs attention.
        deterministic: the mean action instead of one that is drawn, as in training.

    Raises:
        RunError: there is no such policy (yet), or another process has the run's robot or namespace.
        DamagedFileError: the policy cannot be read.
        RuntimeError: a node refused to start, or no episode ended within `episode_timeout_s`.
        StorageError: the run directory cannot be written.
    """
    _check_that_it_is_there(run, policy)
    graph = evaluation_graph(run, policy, changes, deterministic=deterministic)
    _check_that_nobody_has(graph)
    with _own_folder(run.files.evaluations) as directory:
        results = _seen(graph, directory, episodes, report)
    return dataclasses.replace(_summary(results[:episodes]), deterministic=deterministic)


@contextlib.contextmanager
def _own_folder(parent: Path) -> Iterator[Path]:
    """The first numbered folder in which no other evaluation is at work, so that there are as many as were at work at
    once. In a common one the nodes would start, and start again, with what another evaluation asked for."""
    for number in itertools.count(1):
        folder = parent / str(number)
        if (lock := take_lock(folder / ".lock")) is not None:
            with lock:
                yield folder
            return


def _seen(graph: Graph, directory: Path, episodes: int, report: Callable[[str], None]) -> list[EpisodeSummary]:
    """At least so many episodes of a graph that is started from a folder."""
    config = directory / "config.yaml"
    write_atomic(config, parameter_text(graph.parameter_file()).encode())
    results: list[EpisodeSummary] = []
    supervisor = Supervisor(graph, config, directory / "log", report)
    by_hand = not graph.parameters["bridge"].auto_arm  # then nothing is stuck while somebody is waited for
    monitor = Monitor(graph.arguments["namespace"], graph.arguments["discovery"], results.append)
    with monitor, OperatorConsole(monitor, report) as operator:
        if monitor.namespace != _own_namespace():
            # Else the other one's episodes would be counted here, too.
            check_that_nobody_speaks(monitor, ANY_GRAPH_S)
        try:
            supervisor.start()
            timeout_s, rested = episode_timeout_s(graph), False
            deadline = time.monotonic() + timeout_s
            while len(results) < episodes:
                known = len(results)
                monitor.spin(0.1)
                supervisor.check(time.monotonic())
                operator.update(time.monotonic())
                if monitor.rests and not rested:
                    report(f"The robot rests: {'; '.join(monitor.complaints.values())}")
                rested = monitor.rests
                if len(results) > known or (by_hand and operator.waits) or rested:
                    deadline = time.monotonic() + timeout_s
                if time.monotonic() > deadline:
                    missing = "; ".join(monitor.complaints.values()) or "see " + str(directory / "log")
                    raise RuntimeError(f"no episode ended within {timeout_s:g} s: {missing}")
        finally:
            supervisor.stop()
    return results


def episode_timeout_s(graph: Graph) -> float:
    """How long no episode may end before the graph counts as stuck; a robot that rests or is waited for is not."""
    settings = graph.parameters["task"]
    task = make_task(settings.task, settings.robot)
    return EPISODE_TIMEOUT_S + task.horizon_steps * task.control_period_s


def _check_that_it_is_there(run: Run, policy: Path) -> None:
    """
    Raises:
        RunError: there is no such policy.
        DamagedFileError: it cannot be read as one.
    """
    if policy.is_file():
        load_policy(policy)
    elif policy in (run.files.policy, run.files.untrained_policy):
        raise RunError(f"run '{run.name}' has no {policy.name} yet: it is written with the first checkpoint")
    else:
        kept = sorted(path.name for path in run.files.kept_policies.glob("*.safetensors"))
        raise RunError(f"there is no policy {policy}; in {run.files.kept_policies}: {', '.join(kept) or 'none'}")


def evaluation_graph(run: Run, policy: Path, changes: Mapping[str, str], *, deterministic: bool = True) -> Graph:
    """The run's graph without its learner, the actor as a rule deterministic. The seeds follow from the run's, or from
    `seed` among the changes, but are no session's: the training has not seen these starts and targets, and every policy
    of the run sees the same ones.

    If no namespace is asked for, a simulated robot has one of its own: an evaluation beside a running training must not
    command its robot. On a port there is only one robot, and its sensors' drivers, joystick and safety stop speak in
    the run's namespace.
    """
    graph = run.resolve(changes).in_evaluation()
    if "namespace" not in changes and not on_hardware(graph.arguments):
        graph = dataclasses.replace(graph, arguments={**graph.arguments, "namespace": _own_namespace()})
    own = {"deterministic": deterministic, "policy_file": str(policy.resolve())}
    actor = {**to_mapping(graph.parameters["actor"]), **own}
    task = {**to_mapping(graph.parameters["task"]), "wait_for_learner": False}
    parameters = {
        "bridge": graph.parameters["bridge"],
        "task": from_mapping(type(graph.parameters["task"]), task),
        "actor": from_mapping(ActorSettings, actor),
    }
    return dataclasses.replace(graph, parameters=parameters)


def _check_that_nobody_has(graph: Graph) -> None:
    """Else task and actor of the evaluation would command a robot that another graph moves.

    Raises:
        RunError: the port is taken, or is not there.
    """
    if not on_hardware(graph.arguments):
        return
    bridge = graph.parameters["bridge"]
    port = SerialPort(bridge.bus.port, bridge.robot.servos.baud_rate, bridge.bus.reply_timeout_s)
    try:
        port.openPort()
    except ConnectionLostError as error:
        raise RunError(f"{error}") from error
    port.closePort()


def _own_namespace() -> str:
    return f"evaluation_{os.getpid()}"


def _summary(results: list[EpisodeSummary]) -> Evaluation:
    count = len(results)
    return Evaluation(
        success_rate=sum(result.success for result in results) / count,
        final_error_mean=sum(result.final_error_rad for result in results) / count,
        return_mean=sum(result.episode_return for result in results) / count,
        episodes=count,
        final_errors=tuple(result.final_error_rad for result in results),
        error_unit=error_unit_of(results[0].task),
    )
