"""The command `rosac`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rosac_common.arguments import whole_number
from rosac_common.environment import ensure_ros_environment
from rosac_common.priority import REALTIME_PRIORITY, raise_priority

from sac_learner.commands import robot_commands

# Launch arguments that make a run what it is.
_OF_THE_RUN = {"run", "runs", "steps", "mode", "resume", "seed"}
_SEED_HELP = (
    "what the starts and targets of the episodes are drawn from (default: the run's seed); never those of a training"
)
# Of an evaluation. Source: own choice; a success rate of 90% has a standard error of 4% then.
_EPISODES = 50


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 done, 1 failed, 2 refused, 130 interrupted."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        return 130


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None and arguments[:1] == ["stop"]:
        raise_priority(REALTIME_PRIORITY)  # before a busy learner, where that is allowed
    ensure_ros_environment()
    if arguments and arguments[0] in robot_commands.COMMANDS:
        return robot_commands.main(arguments)  # a stop does not wait for what the others import
    from rich.console import Console
    from rosac_common.settings import SettingsError

    from sac_learner.atomic_file import DamagedFileError
    from sac_learner.graph.stacks import ArgumentError
    from sac_learner.gym.command import RefusedError
    from sac_learner.runs.run_directory import RunError

    options = _parse(arguments)
    console = Console()
    try:
        return options.function(options, console)
    except (ArgumentError, DamagedFileError, RefusedError, RunError, SettingsError) as error:
        print(f"rosac: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, OSError) as error:
        print(f"rosac: {error}", file=sys.stderr)
        return 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Launch arguments may stand before, between and behind options; argparse takes those in one place only."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    unknown = [text for text in rest if ":=" not in text or not hasattr(options, "arguments")]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if rest:
        options.arguments += rest
    return options


def _parser() -> argparse.ArgumentParser:
    from sac_learner.commands.bus_command import add_options as add_bus_options
    from sac_learner.commands.emulate_command import add_options as add_emulate_options
    from sac_learner.commands.json_file import json_path
    from sac_learner.commands.parser import Parser
    from sac_learner.gym.command import add_options

    parser = Parser(prog="rosac", description="Real-robot reinforcement learning on ROS 2.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, text in (
        ("train", _train, "train a policy: graph, progress, final evaluation and report"),
        ("up", _up, "start the graph of a stack alone, until Ctrl-C"),
    ):
        command = commands.add_parser(
            name, help=text, description=text, epilog=_epilog(), formatter_class=argparse.RawDescriptionHelpFormatter
        )
        command.add_argument("stack", help="what to run; `rosac list` shows the stacks")
        command.add_argument("arguments", nargs="*", metavar="name:=value", help="launch arguments, as for ros2 launch")
        command.set_defaults(function=function)
        if name == "train":
            _add_episodes(command, "of each final evaluation, of the trained policy and of the untrained one")
    robot_commands.add_options(commands)
    command = commands.add_parser("eval", help="evaluate the policy of a run through the real graph")
    _add_run(command)
    command.add_argument(
        "arguments",
        nargs="*",
        metavar="name:=value",
        help="what differs from the run, such as terrain:=stairs. namespace:=NAME (namespace:= for none) is where a "
        "joystick or a safety stop is heard; by default a robot on a port has the run's, a simulated one its own",
    )
    _add_episodes(command, "how many episodes")
    command.add_argument("--json", type=json_path, metavar="FILE", help="write the result to this file")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--untrained", action="store_true", help="the policy as it was before its first update")
    which.add_argument(
        "--policy", type=Path, metavar="FILE", help="this exported policy, such as one of those in the run's policies/"
    )
    command.add_argument(
        "--noise", action="store_true", help="draw the actions as in training, instead of taking the mean action"
    )
    command.add_argument("--seed", type=int, help=_SEED_HELP)
    command.set_defaults(function=_eval)
    command = commands.add_parser("plot", help="draw the learning curves of a run into its plots/ directory")
    _add_run(command)
    command.set_defaults(function=_plot)
    command = commands.add_parser("gym", help="train on a Gymnasium environment, without ROS")
    add_options(command)
    command.set_defaults(function=_gym)
    command = commands.add_parser("emulate", help="emulate a robot's servos on a pseudo-terminal (docs/emulator.md)")
    add_emulate_options(command)
    command.set_defaults(function=_emulate)
    command = commands.add_parser("bus", help="find, check, measure and set up Dynamixel servos (docs/hardware.md)")
    add_bus_options(command)
    command.set_defaults(function=_bus)
    command = commands.add_parser("list", help="list the stacks with their arguments, and the runs")
    command.add_argument("--runs", type=Path, default=Path("runs"), help="directory that holds the runs")
    command.set_defaults(function=_list)
    return parser


def _epilog() -> str:
    """The arguments of every stack, for --help."""
    from sac_learner.graph.stacks import STACKS

    lines = []
    for stack in STACKS.values():
        lines.append(f"arguments of {stack.name} ({stack.description}):")
        for argument in stack.arguments():
            choices = f" [{' | '.join(argument.choices)}]" if argument.choices else ""
            lines.append(f"  {argument.name}:={argument.default}  {argument.doc}{choices}")
    return "\n".join(lines)


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", help="name of a run, or its path; `rosac list` shows the runs")
    command.add_argument("--runs", type=Path, default=Path("runs"), help="directory that holds the runs")


def _add_episodes(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument(
        "--episodes", type=whole_number(1), default=_EPISODES, metavar="N", help=f"{text} (default {_EPISODES})"
    )


def _train(options: argparse.Namespace, console: object) -> int:
    from sac_learner.commands.train import train
    from sac_learner.graph.stacks import find_stack, parse_arguments

    stack = find_stack(options.stack)
    return train(stack, parse_arguments(stack, options.arguments), options.episodes, console)


def _up(options: argparse.Namespace, console: object) -> int:
    from sac_learner.commands.train import up
    from sac_learner.graph.stacks import find_stack, parse_arguments

    stack = find_stack(options.stack)
    return up(stack, parse_arguments(stack, options.arguments), console)


def _eval(options: argparse.Namespace, console: object) -> int:
    from sac_learner.commands.evaluation import evaluate
    from sac_learner.commands.json_file import write_json
    from sac_learner.graph.stacks import ArgumentError, find_stack, parse_arguments
    from sac_learner.runs.run_directory import find_run

    run = find_run(options.run, options.runs)
    given = parse_arguments(find_stack(run.stack), options.arguments)
    if fixed := sorted(_OF_THE_RUN & set(given)):
        raise ArgumentError(f"{', '.join(fixed)}: an evaluation takes that from the run, or as an option")
    policy = options.policy or (run.files.untrained_policy if options.untrained else run.files.policy)
    changes = given if options.seed is None else {**given, "seed": str(options.seed)}
    result = evaluate(
        run,
        policy,
        options.episodes,
        changes,
        lambda line: print(line, file=sys.stderr),
        deterministic=not options.noise,
    )
    print(result)
    if options.json:
        write_json(options.json, result.to_json())
    return 0


def _plot(options: argparse.Namespace, console: object) -> int:
    from sac_learner.runs.plots import plot_run
    from sac_learner.runs.run_directory import find_run

    for path in plot_run(find_run(options.run, options.runs)):
        print(path)
    return 0


def _gym(options: argparse.Namespace, console: object) -> int:
    from sac_learner.gym.command import run

    return run(options, console)


def _emulate(options: argparse.Namespace, console: object) -> int:
    from sac_learner.commands.emulate_command import run

    return run(options, console)


def _bus(options: argparse.Namespace, console: object) -> int:
    from sac_learner.commands.bus_command import run

    return run(options, console)


def _list(options: argparse.Namespace, console: object) -> int:
    from sac_learner.runs.run_directory import list_runs, unreadable_runs

    print(_epilog())
    runs, unreadable = list_runs(options.runs), unreadable_runs(options.runs)
    print(f"runs in {options.runs}:" + ("" if runs or unreadable else " none"))
    for run in runs:
        state = "has a policy" if run.files.policy.exists() else "no policy yet"
        print(f"  {run.name}  {run.stack}  task:={run.arguments['task']} mode:={run.arguments['mode']}  {state}")
    for name, reason in unreadable.items():
        print(f"  {name}  unreadable: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
