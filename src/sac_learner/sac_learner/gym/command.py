"""The command `rosac gym`: trains on a Gymnasium environment, without ROS."""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rosac_common.folders import folder_problem
from rosac_common.settings import SettingsError, from_mapping, leaves

from sac_learner.commands.display import Display, RemainingTime
from sac_learner.commands.json_file import JsonFileError, json_path, write_json
from sac_learner.graph.modes import mode_names, mode_parameters
from sac_learner.gym.settings import GymSettings

if TYPE_CHECKING:
    from sac_learner.gym.training import GymTraining

# Settings that have an option of their own: option's destination -> setting.
_OPTIONS = {
    "env_id": "env_id",
    "mode": "mode",
    "steps": "steps",
    "seed": "seed",
    "eval_interval": "evaluation_interval_steps",
    "eval_episodes": "evaluation_episodes",
    "max_episode_steps": "max_episode_steps",
    "threads": "threads",
}
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds between two looks at what is shown.
_DISPLAY_PERIOD_S = 0.25
DESCRIPTION = """Trains on a Gymnasium environment with Box spaces of observations and actions, in this process
and without ROS, and evaluates the deterministic policy on a second environment. docs/gym.md says more."""


class RefusedError(ValueError):
    """The command cannot be carried out as it was given; nothing was made or changed."""


def add_options(command: argparse.ArgumentParser) -> None:
    """The command line of `rosac gym`."""
    command.description = DESCRIPTION
    command.add_argument("env_id", metavar="ENV_ID", help="id of the environment, such as Pendulum-v1, or MODULE:ID")
    command.add_argument("--mode", default="sac", choices=mode_names(), help="learner settings (default sac)")
    command.add_argument("--steps", type=int, required=True, help="control steps of the whole training")
    command.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    command.add_argument("--json", type=json_path, metavar="FILE", help="write the evaluations to this file")
    command.add_argument(
        "--eval-interval", type=int, metavar="N", help="steps between evaluations (default: a twentieth of --steps)"
    )
    command.add_argument("--eval-episodes", type=int, metavar="N", help="episodes of an evaluation (default 10)")
    command.add_argument("--directory", type=Path, help="keep transitions, checkpoints and the policy here")
    command.add_argument(
        "--resume", action="store_true", help="go on with the run in --directory, or begin it if there is none"
    )
    command.add_argument("--max-episode-steps", type=int, metavar="N", help="time limit (default: the environment's)")
    command.add_argument("--threads", type=int, help="threads of an update (default: one a core, at most 4)")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting of the mode, such as sac.discount=0.97; docs/sac.md lists them",
    )


def settings_of(options: argparse.Namespace) -> GymSettings:
    """The mode's settings, laid over by --set and by the options.

    Raises:
        SettingsError: an unknown name or a bad value.
    """
    given = {name: getattr(options, option) for option, name in _OPTIONS.items()}
    values = {**mode_parameters(options.mode), **_assignments(options.set)}
    # None is what an option has that was not given; 0 would mean the default instead of being refused.
    for option in ("eval_interval", "max_episode_steps"):
        if getattr(options, option) == 0:
            raise SettingsError(f"--{option.replace('_', '-')} is 0; it must be at least 1")
    return from_mapping(
        GymSettings, {**values, **{name: value for name, value in given.items() if value is not None}}, "rosac gym"
    )


def _assignments(texts: Iterable[str]) -> dict[str, Any]:
    """`name=value` strings as settings; the values are JSON, or else plain words."""
    known = [leaf.name for leaf in leaves(GymSettings) if leaf.name not in _OPTIONS.values()]
    values: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise SettingsError(f"--set {text}: expected NAME=VALUE, such as sac.discount=0.97")
        if name in _OPTIONS.values():
            raise SettingsError(f"--set {text}: '{name}' has an option of its own; --set takes {', '.join(known)}")
        if name in values:
            raise SettingsError(f"--set {text}: '{name}' is set twice")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def run(options: argparse.Namespace, console: Console) -> int:
    """Train and report; returns the exit code.

    Raises:
        SettingsError, RefusedError: bad input; nothing was made.
        RuntimeError, OSError: the training cannot go on; what was checkpointed stays.
    """
    settings = settings_of(options)
    _check_directory(options)
    with _Interruption() as interruption:
        try:
            training = _made(settings, options)
            interruption.starting = False
        except (KeyboardInterrupt, Exception):  # what is interrupted may make another error of it
            if not interruption.signal_name:
                raise
            console.print(f"stopped by {interruption.signal_name} while starting", highlight=False)
            return 130
        from sac_learner.atomic_file import StorageError

        try:
            return _trained(training, options, console, interruption)
        except StorageError as error:
            remedy = "then the same command with --resume goes on"
            raise StorageError(error.errno, f"{error}; {remedy}") from error


def _trained(training: GymTraining, options: argparse.Namespace, console: Console, interruption: _Interruption) -> int:
    """The training from its start to its report; returns the exit code."""
    settings = training.settings
    try:
        with Display(f"{settings.env_id} {settings.mode}", console, time.monotonic()) as display:
            _train(training, display, interruption)
        if interruption.signal_name:
            training.save()
            _say_how_to_resume(options, console, interruption.signal_name)
            return 130
        if options.json:
            _write_result(options, training.result())
    finally:
        training.close()
    return 0


def _made(settings: GymSettings, options: argparse.Namespace) -> GymTraining:
    # Gymnasium and PyTorch take seconds to load: after everything that can be refused without them.
    from sac_learner.atomic_file import DamagedFileError
    from sac_learner.gym.environment import GymEnvironmentError
    from sac_learner.gym.storage import GymRunError
    from sac_learner.gym.training import GymTraining
    from sac_learner.learning.checkpoint import CheckpointError
    from sac_learner.learning.replay import ReplayMemoryError
    from sac_learner.learning.replay_log import ReplayLogError

    refusals = (GymEnvironmentError, GymRunError, CheckpointError, DamagedFileError, ReplayLogError, ReplayMemoryError)
    try:
        return GymTraining(settings, options.directory, resume=options.resume)
    except refusals as error:
        raise RefusedError(str(error)) from error


def _check_directory(options: argparse.Namespace) -> None:
    if options.resume and options.directory is None:
        raise RefusedError("--resume needs --directory: the run to go on with")
    if options.directory is not None and (problem := folder_problem(options.directory)):
        raise RefusedError(f"--directory {options.directory} cannot be written: {problem}; choose another one")


class _Interruption:
    """Ctrl-C and SIGTERM end the training after the present step, its start at once; so does a second one always."""

    def __init__(self) -> None:
        self.starting = True
        self.signal_name = ""

    def __enter__(self) -> _Interruption:
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        if self.starting:
            raise KeyboardInterrupt


def _train(training: GymTraining, display: Display, interruption: _Interruption) -> None:
    for note in training.notes:
        display.note(note)
    remaining, shown_s, evaluated = RemainingTime(), 0.0, len(training.evaluations)
    for evaluation in training.evaluations:
        display.note(_line(evaluation))
    while not training.finished and not interruption.signal_name:
        training.step()
        for evaluation in training.evaluations[evaluated:]:
            display.note(_line(evaluation))
        evaluated = len(training.evaluations)
        now_s = time.monotonic()
        if now_s - shown_s >= _DISPLAY_PERIOD_S:
            shown_s = now_s
            display.show(_rows(training, remaining, now_s), now_s)


def _line(evaluation: dict[str, Any]) -> str:
    """One evaluation for people."""
    success = f", success {100 * evaluation['success_rate']:.0f}%" if "success_rate" in evaluation else ""
    return f"evaluation at {evaluation['steps']} steps: mean return {evaluation['return_mean']:.1f}{success}"


def _rows(training: GymTraining, remaining: RemainingTime, now_s: float) -> dict[str, str]:
    """What the display shows, by name."""
    total = training.settings.steps
    rows = {
        "phase": "exploring" if training.exploring else "training",
        "steps": f"{training.steps}/{total}",
        "updates": str(training.updates),
    }
    if recent := training.recent:
        rows["return"] = f"{sum(value for value, _ in recent) / len(recent):.1f}, mean of last {len(recent)}"
        judged = [success for _, success in recent if success is not None]
        if judged:
            rows["success"] = f"{100 * sum(judged) / len(judged):.0f}% of last {len(judged)}"
    if "temperature" in training.metrics:
        rows["temperature"] = f"{float(training.metrics['temperature']):.3f}"
    rows["ETA"] = "-" if not training.updates else remaining.text(training.steps, total, now_s)
    return rows


def _write_result(options: argparse.Namespace, result: dict[str, Any]) -> None:
    try:
        write_json(options.json, result)
    except JsonFileError as error:
        kept = "what was printed above is all that is kept: --directory keeps a training"
        if options.directory:
            kept = "the training is kept: the same command with --resume and another --json writes it at once"
        raise JsonFileError(f"{error}. {kept}") from error


def _say_how_to_resume(options: argparse.Namespace, console: Console, signal_name: str) -> None:
    hint = "nothing was kept: give --directory to be able to go on"
    if options.directory:
        hint = "the same command with --resume goes on"
    console.print(f"stopped by {signal_name}; {hint}", highlight=False, markup=False)
