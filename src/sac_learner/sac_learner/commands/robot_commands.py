"""`rosac stop`, `reset`, `arm`, `done` and `safety`: the operator's commands, without the ros2 command line.

Imports little: somebody who stops a robot must not wait for what training needs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rosac_common.arguments import number_above_0

from sac_learner.commands.parser import Parser

if TYPE_CHECKING:
    from sac_learner.commands.robot_link import RobotLink

# A bridge is found within 1 s on a quiet machine (docs/safety.md); a reset that reboots servos takes 2 s.
_TIMEOUT_S = 10.0
# How often a stop is repeated until the bridge has confirmed it.
_REPEAT_S = 0.1
# The bridge reports once a second.
_SILENCE_S = 5.0
# What the task asks for, if anything, arrives about when the safety state does.
_REQUEST_S = 1.0
_SERVICES = {"reset": "safety/reset", "arm": "safety/arm", "done": "operator/done"}
_SUPPLY = "If the robot moves, use the switch in its supply."


class _FailedError(Exception):
    """What was wanted has not happened."""


def add_options(commands: argparse._SubParsersAction) -> None:
    """Add the operator's commands to those of `rosac`."""

    def add(name: str, function: Callable[[RobotLink, argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--namespace", default="", help="of the robot's nodes, as namespace:= of its stack")
        command.add_argument(
            "--discovery",
            default="localhost",
            choices=("localhost", "subnet"),
            help="subnet: the robot runs on another machine, with discovery:=subnet (default localhost)",
        )
        command.add_argument(
            "--timeout-s",
            type=number_above_0,
            default=_TIMEOUT_S,
            metavar="S",
            help=f"give up when nothing was heard for so long (default {_TIMEOUT_S:g})",
        )
        command.set_defaults(act=function, command=name)
        return command

    command = add("stop", _stop, "stop the robot: torque off, latched until release, reset and arm")
    command.add_argument("--release", action="store_true", help="take the stop back; the robot stays stopped")
    add("reset", _ask, "end a stop whose causes have cleared; the robot is disarmed then and does not move")
    add("arm", _ask, "torque on, the robot moves: keep your hands off it")
    add("done", _ask, "say that you have done what the task asked for")
    command = add("safety", _safety, "show whether the robot is armed, what stops it, and what to do next")
    command.add_argument("--watch", action="store_true", help="go on, and show every change until Ctrl-C")


COMMANDS = ("stop", "reset", "arm", "done", "safety")


def main(arguments: list[str]) -> int:
    """Run one of COMMANDS; returns the exit code: 0 done, 1 not done, 2 refused, 130 interrupted."""
    parser = Parser(prog="rosac")
    add_options(parser.add_subparsers(required=True))
    options = parser.parse_args(arguments)
    from rclpy.exceptions import InvalidNamespaceException

    from sac_learner.commands.robot_link import RobotLink

    try:
        services = [_SERVICES[options.command]] if options.command in _SERVICES else []
        with RobotLink(options.namespace, options.discovery, services=services) as link:
            options.act(link, options)
    except InvalidNamespaceException as error:
        print(f"rosac {options.command}: --namespace {options.namespace}: {error}", file=sys.stderr)
        return 2
    except (_FailedError, TimeoutError) as error:
        print(f"rosac {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _stop(link: RobotLink, options: argparse.Namespace) -> None:
    """Publish again and again until the bridge says so: what it said before does not count."""
    from sac_learner.commands.operator_text import pressed

    if not link.spin_until(lambda: link.is_heard, options.timeout_s):
        raise _FailedError(f"{_nobody(link, options)} {_SUPPLY}")
    wanted, before = not options.release, link.safety_count
    end_s = time.monotonic() + options.timeout_s
    while time.monotonic() < end_s:
        link.press(wanted)
        if link.spin_until(lambda: link.safety_count > before and pressed(link.safety) is wanted, _REPEAT_S):
            return _show(link)
    raise _FailedError(
        f"the bridge did not confirm it within {options.timeout_s:g} s. {_SUPPLY} Look at the log of the bridge."
    )


def _ask(link: RobotLink, options: argparse.Namespace) -> None:
    """Have the service of the command do it, and print its answer."""
    service = _SERVICES[options.command]
    answer = link.call(service, options.timeout_s)
    if answer is None:
        raise _FailedError(_nobody(link, options, service))
    if not answer.success:
        raise _FailedError(f"refused: {answer.message}\n`rosac safety` shows what to do next")
    print(answer.message)


def _safety(link: RobotLink, options: argparse.Namespace) -> None:
    if not link.spin_until(lambda: link.safety is not None, options.timeout_s):
        raise _FailedError(_nobody(link, options, "safety/state"))
    if link.has_task:
        link.spin_until(lambda: link.request_count > 0, _REQUEST_S)
    _show(link)
    shown = _text(link)
    while options.watch:
        link.spin(_REPEAT_S)
        if time.monotonic() - link.safety_s > _SILENCE_S:
            raise _FailedError(f"the bridge has been silent for {_SILENCE_S:g} s. {_SUPPLY} Look at its log.")
        if _text(link) != shown:
            shown = _text(link)
            _show(link)


def _show(link: RobotLink) -> None:
    print(_text(link), flush=True)


def _text(link: RobotLink) -> str:
    from sac_learner.commands.operator_text import describe, next_step

    lines = describe(link.safety)
    if link.request:
        lines.append(f"the task asks: {link.request}")
    if todo := next_step(link.safety, link.request, link.namespace):
        lines.append(f"next: {todo}")
    return "\n".join(lines)


def _nobody(link: RobotLink, options: argparse.Namespace, service: str = "safety/stop") -> str:
    """That nobody is there, and where it was looked."""
    who = "task" if service.startswith("operator") else "bridge"
    where = f"namespace '/{link.namespace}', ROS_DOMAIN_ID {os.environ.get('ROS_DOMAIN_ID', '0')}"
    others = ", ".join(link.robots())
    return (
        f"no {who} answers within {options.timeout_s:g} s: nobody offers {service} in {where}, "
        f"discovery {options.discovery}. Is the graph up, with the same --namespace, --discovery and ROS_DOMAIN_ID?"
        + (f" There are robots in other namespaces: {others}." if others else "")
    )
