"""A training run from start to report, and a graph alone."""

from __future__ import annotations

import datetime
import shlex
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from rich.console import Console
from sac_interfaces.msg import LearnerStatus

from sac_learner.commands.alone import check_that_it_is_alone
from sac_learner.commands.monitor import Monitor
from sac_learner.commands.operator_console import OperatorConsole
from sac_learner.commands.progress import Progress
from sac_learner.commands.robot_link import RobotLink
from sac_learner.graph.stacks import Graph, Stack
from sac_learner.graph.supervisor import Supervisor
from sac_learner.runs.preparing import prepare
from sac_learner.runs.run_directory import Run


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


def train(stack: Stack, given: Mapping[str, str], episodes: int, console: Console) -> int:
    """Train, evaluate over so many episodes and report; returns the exit code. Ctrl-C leaves a run that resume:=true
    continues."""
    note = _printer(console)
    run, graph = prepare(stack, given, datetime.datetime.now(), note, check_that_it_is_alone)
    note(f"run {run.path}; TensorBoard: tensorboard --logdir {shlex.quote(str(run.files.metrics))}")
    signals = _signals()
    try:
        _learn(run, graph, console, signals)
        from sac_learner.commands.report import report  # a second of imports, which the robot need not wait for

        report(run, episodes, console)
    except (Interrupted, RuntimeError):
        if not signals:
            raise
        command = ["rosac", "train", stack.name, f"runs:={run.path.parent}", f"run:={run.name}", "resume:=true"]
        note(f"stopped by {signals[0]}; continue with: {shlex.join(command)}")
        return 130
    return 0


def _learn(run: Run, graph: Graph, console: Console, signals: Sequence[str]) -> None:
    """The graph with its progress display, until the learner has finished.

    Raises:
        Interrupted: one of `signals` has come.
        RuntimeError: a node refused to start; or learning failed, in lockstep.
    """
    # There the simulation waits for the learner, and for ever. In real time the robot goes on with its last policy and
    # what it does is still stored; whether that is worth anything is for the person who is with it to say.
    ends_with_learner = graph.parameters["bridge"].lockstep
    with Monitor(graph.arguments["namespace"], graph.arguments["discovery"]) as monitor:
        progress = Progress(f"{run.stack} {run.name}", monitor, console, time.monotonic())
        supervisor = Supervisor(graph, run.files.config, run.files.logs, progress.note)
        try:
            supervisor.start()
            with progress, OperatorConsole(monitor, progress.note) as operator:
                while monitor.status is None or monitor.status.phase != LearnerStatus.PHASE_FINISHED:
                    _go_on(signals)
                    monitor.spin(0.2)
                    supervisor.check(time.monotonic())
                    operator.update(time.monotonic())
                    progress.update(time.monotonic())
                    if ends_with_learner and monitor.learner_failure:
                        raise RuntimeError(f"learning has failed: {monitor.learner_failure}")
        finally:
            supervisor.stop()


def up(stack: Stack, given: Mapping[str, str], console: Console) -> int:
    """The graph alone until Ctrl-C; what its nodes complain of and what the robot waits for is printed."""
    note = _printer(console)
    run, graph = prepare(stack, given, datetime.datetime.now(), note, check_that_it_is_alone)
    note(f"run {run.path}; node output in {run.files.logs}; Ctrl-C ends it")
    signals = _signals()
    supervisor = Supervisor(graph, run.files.config, run.files.logs, note)
    try:
        with RobotLink(graph.arguments["namespace"], graph.arguments["discovery"]) as link:
            try:
                supervisor.start()
                with OperatorConsole(link, note) as operator:
                    while True:
                        _go_on(signals)
                        link.spin(0.2)
                        supervisor.check(time.monotonic())
                        operator.update(time.monotonic())
            finally:
                supervisor.stop()  # before anything else: a robot may be moving
    except (Interrupted, RuntimeError):
        if not signals:
            raise
        return 0


def _go_on(signals: Sequence[str]) -> None:
    """
    Raises:
        Interrupted: one of them has come, and was lost on its way.
    """
    if signals:
        raise Interrupted(signals[0])


def _printer(console: Console) -> Callable[[str], None]:
    """Prints a line as it is: paths and names may look like markup, and commands are copied whole."""

    def note(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    return note


def _signals() -> list[str]:
    """Ctrl-C and SIGTERM become `Interrupted` once; a second one while stopping changes nothing.

    Returns:
        A list that holds the signal's name when it has come. `Interrupted` may be lost on its way: when it comes while
        rclpy converts an argument, which raises a RuntimeError of its own instead, and in a `__del__`, which Python
        only complains of.
    """
    caught: list[str] = []

    def handler(number: int, _: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        caught.append(signal.Signals(number).name)
        raise Interrupted(caught[0])

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)
    return caught
