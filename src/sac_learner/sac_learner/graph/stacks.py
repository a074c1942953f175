"""The stacks: one description of each graph, from which both the launch file and the `rosac` command start it.

A stack names the robot, the task and the nodes; its arguments are `name:=value` strings. :func:`resolve` turns them
into the complete, checked parameters of every node.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from robot_bridge.dynamixel.settings import EMULATOR
from robot_bridge.settings import BridgeSettings
from robot_bridge.simulation.terrain import TERRAINS
from rosac_common.priority import BRIDGE_PRIORITY, LOCKSTEP_PRIORITY, REALTIME_PRIORITY
from rosac_common.settings import SettingsError, from_mapping, leaves, load_parameter_file, to_mapping
from valve_task.installed import robot_parameters, task_parameters
from valve_task.settings import TaskNodeSettings
from valve_task.tasks import make_task, tasks_of

from sac_learner.graph import seeds
from sac_learner.graph.dds import dds_environment
from sac_learner.graph.modes import mode_names, mode_parameters
from sac_learner.settings import ActorSettings, LearnerNodeSettings

# As rcl wants it; empty: none.
_NAMESPACE = re.compile(r"/?([A-Za-z_]\w*(/[A-Za-z_]\w*)*/?)?", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Argument:
    """One launch argument: `name:=value`."""

    name: str
    default: str
    doc: str
    choices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class NodeSpec:
    """One process of the graph."""

    name: str
    package: str
    executable: str
    settings: type


NODES = (
    NodeSpec("bridge", "robot_bridge", "bridge", BridgeSettings),
    NodeSpec("task", "valve_task", "task", TaskNodeSettings),
    NodeSpec("actor", "sac_learner", "actor", ActorSettings),
    NodeSpec("learner", "sac_learner", "learner", LearnerNodeSettings),
)


@dataclasses.dataclass(frozen=True)
class Option:
    """A launch argument that one stack has and others have not: it sets one parameter of one node."""

    argument: Argument
    node: str
    parameter: str


@dataclasses.dataclass(frozen=True)
class Stack:
    """A robot, a task and the graph that learns it."""

    name: str
    description: str
    tasks: tuple[str, ...]
    default_task: str
    default_steps: int
    options: tuple[Option, ...] = ()
    hardware_settings: Mapping[str, object] = dataclasses.field(
        default_factory=dict
    )  # of the task, with motors that wear

    def arguments(self) -> tuple[Argument, ...]:
        """All launch arguments with their defaults."""
        return (
            Argument("steps", str(self.default_steps), "control steps to train for; 0 = until stopped"),
            Argument("seed", "0", "seed of everything random in the run"),
            Argument("run", "", "name of the run; empty = made from stack and time, or with resume the newest"),
            Argument("runs", "runs", "directory that holds the runs"),
            Argument("task", self.default_task, "the task to learn (docs/tasks.md)", self.tasks),
            Argument(
                "backend",
                "mujoco",
                "what moves: mujoco, a simulation; dynamixel, the servos on a port",
                ("mujoco", "dynamixel"),
            ),
            Argument("port", "", "backend dynamixel: device of the USB adapter; emulator: servos that are not there"),
            Argument(
                "time_base",
                "auto",
                "lockstep: simulation as fast as the graph goes; realtime: the steady clock; auto: realtime on a port",
                ("auto", "lockstep", "realtime"),
            ),
            Argument("mode", "efficient", "learner settings: a file of config/learner (docs/sac.md)", mode_names()),
            Argument("resume", "false", "true: continue the run where it stopped", ("true", "false")),
            Argument("params", "", "parameter file of your own, laid over all others"),
            Argument("namespace", "", "namespace of all nodes, so that a second robot can run beside the first"),
            Argument(
                "discovery",
                "localhost",
                "who can see and command the robot: this machine only, or the whole network",
                ("localhost", "subnet"),
            ),
            *(option.argument for option in self.options),
        )


STACKS = {
    stack.name: stack
    for stack in (
        Stack(
            name="dclaw_valve",
            description="9-DOF D'Claw hand turns a valve until its coloured lobe points right",
            tasks=tasks_of("dclaw"),
            default_task="DClawTurn",
            default_steps=10_000,
        ),
        Stack(
            name="minitaur_walk",
            description="Minitaur, a quadruped with eight direct-drive motors, learns to walk",
            tasks=tasks_of("minitaur"),
            default_task="MinitaurWalk",
            default_steps=20_000,
            options=(
                Option(
                    Argument("terrain", "flat", "ground that the simulation puts before the robot", TERRAINS),
                    "bridge",
                    "simulation.minitaur.terrain",
                ),
            ),
            hardware_settings={"task.walk.smoothing_episodes": 50},  # arXiv 1812.11103
        ),
    )
}


class ArgumentError(ValueError):
    """An unknown stack, argument or value; the message lists the valid ones."""


def find_stack(name: str) -> Stack:
    """The stack of that name."""
    if name not in STACKS:
        raise ArgumentError(f"unknown stack '{name}'; {suggestion(name, STACKS)}")
    return STACKS[name]


def parse_arguments(stack: Stack, given: Iterable[str]) -> dict[str, str]:
    """`name:=value` strings as a mapping of what was given.

    Raises:
        ArgumentError: malformed, unknown or repeated argument, or a value that it does not allow.
    """
    known = {argument.name: argument for argument in stack.arguments()}
    values: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition(":=")
        if not separator:
            raise ArgumentError(f"'{text}' is not of the form name:=value; arguments: {', '.join(known)}")
        if name not in known:
            raise ArgumentError(f"unknown argument '{name}' of stack {stack.name}; {suggestion(name, known)}")
        if name in values:
            raise ArgumentError(f"argument '{name}' is given twice")
        _check_value(known[name], value)
        values[name] = value
    return values


def complete_arguments(stack: Stack, given: Mapping[str, str]) -> dict[str, str]:
    """What was given, completed with the defaults and checked."""
    for argument in stack.arguments():
        _check_value(argument, given.get(argument.name, argument.default))
    return {argument.name: given.get(argument.name, argument.default) for argument in stack.arguments()}


def _check_value(argument: Argument, value: str) -> None:
    if argument.choices and value not in argument.choices:
        raise ArgumentError(f"{argument.name}:={value}: must be one of {', '.join(argument.choices)}")
    if argument.name in ("steps", "seed") and not value.isdecimal():
        raise ArgumentError(f"{argument.name}:={value}: must be a whole number, 0 or more")
    if argument.name == "namespace" and not _NAMESPACE.fullmatch(value):
        raise ArgumentError(f"namespace:={value}: names have letters, digits and _, no digit first; / is between two")


@dataclasses.dataclass(frozen=True)
class Graph:
    """A graph ready to start: the parameters of every node, by node name, all checked."""

    stack: Stack
    arguments: Mapping[str, str]
    parameters: Mapping[str, Any]

    @property
    def nodes(self) -> tuple[NodeSpec, ...]:
        return tuple(node for node in NODES if node.name in self.parameters)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of the nodes: nobody on the network can command the robot unless asked otherwise."""
        return dds_environment(self.arguments["discovery"])

    def in_session(self, session: int) -> Graph:
        """The same graph with the random numbers of the run's 1st, 2nd, ... session."""
        return dataclasses.replace(self, parameters=seeds.in_session(self.parameters, session))

    def in_evaluation(self) -> Graph:
        """The same graph with random numbers that no session of the run draws."""
        return dataclasses.replace(self, parameters=seeds.in_evaluation(self.parameters))

    def parameter_file(self) -> dict[str, Any]:
        """All parameters as one standard ROS 2 parameter file. Empty lists are left out: rcl cannot read them."""
        return {
            f"/**/{name}": {"ros__parameters": {k: v for k, v in to_mapping(settings).items() if v != []}}
            for name, settings in self.parameters.items()
        }


def on_hardware(arguments: Mapping[str, str]) -> bool:
    """Whether there is a port, so that there is one robot only, with motors that wear and can hurt."""
    return arguments["backend"] == "dynamixel" and arguments["port"] != EMULATOR


def resolve(stack: Stack, arguments: Mapping[str, str], run: str, run_directory: Path) -> Graph:
    """Parameters of every node from the files of the task, the arguments and the user's own file.

    Raises:
        SettingsError: a file is missing or holds an unknown name or a bad value, or the user's own another task.
    """
    robot = robot_parameters(arguments["task"])
    mode = mode_parameters(arguments["mode"])
    options = {option.node: {} for option in stack.options}
    for option in stack.options:
        options[option.node][option.parameter] = arguments[option.argument.name]
    own = _own_parameters(Path(arguments["params"])) if arguments["params"] else {}
    _check_task_names(own, arguments)
    seed_of = seeds.first_seeds(int(arguments["seed"]), [node.name for node in NODES])
    hardware = on_hardware(arguments)
    time_base = arguments["time_base"]
    if time_base == "auto":
        time_base = "realtime" if hardware else "lockstep"
    realtime = time_base == "realtime"
    priority = {"realtime_priority": REALTIME_PRIORITY if realtime else LOCKSTEP_PRIORITY}

    task_values = {
        **robot,
        **task_parameters(arguments["task"]),
        **(stack.hardware_settings if hardware else {}),
        "time_base": time_base,
        "seed": seed_of["task"],
        **priority,
        **own.get("task", {}),
    }
    task_settings = from_mapping(TaskNodeSettings, task_values, "task")
    made = make_task(task_settings.task, task_settings.robot)
    bridge_values = {
        **robot,
        "backend": arguments["backend"],
        "bus.port": arguments["port"],
        "time_base": time_base,
        "control_period_s": made.control_period_s,
        "auto_arm": not hardware,  # a person arms what can hurt
        "seed": seed_of["bridge"],
        "realtime_priority": BRIDGE_PRIORITY if realtime else LOCKSTEP_PRIORITY,
        **options.get("bridge", {}),
        **own.get("bridge", {}),
    }
    sizes = {"observation_size": made.observation_size, "action_size": made.action_size}
    learner_values = {
        **mode,
        **sizes,
        **dict(zip(("observation_symmetries", "action_symmetries"), made.symmetries, strict=True)),
        **{f"relabelling.{name}": value for name, value in made.relabelling.items()},
        "run": run,
        "run_directory": str(run_directory),
        "task_name": arguments["task"],
        "total_steps": int(arguments["steps"]),
        "seed": seed_of["learner"],
        **own.get("learner", {}),
    }
    actor_values = {**sizes, "seed": seed_of["actor"], **priority, **own.get("actor", {})}
    parameters = {
        "bridge": from_mapping(BridgeSettings, bridge_values, "bridge"),
        "task": task_settings,
        "actor": from_mapping(ActorSettings, actor_values, "actor"),
        "learner": from_mapping(LearnerNodeSettings, learner_values, "learner"),
    }
    return Graph(stack, arguments, parameters)


def _own_parameters(path: Path) -> dict[str, dict[str, Any]]:
    """The user's file, by node name. Keys under '/**' go to every node that has such a setting."""
    known = {node.name: {leaf.name for leaf in leaves(node.settings)} for node in NODES}
    result: dict[str, dict[str, Any]] = {name: {} for name in known}
    for pattern, values in load_parameter_file(path).items():
        node = pattern.removeprefix("/**/").removeprefix("/")
        if node in known:
            result[node].update(values)
            continue
        if pattern != "/**":
            raise SettingsError(f"{path}: unknown node '{pattern}'; nodes: {', '.join(known)}, or /** for all")
        for key, value in values.items():
            takers = [name for name, names in known.items() if key in names]
            if not takers:
                raise SettingsError(f"{path}: no node has a setting '{key}'")
            for name in takers:
                result[name].setdefault(key, value)
    return result


def _check_task_names(own: Mapping[str, Mapping[str, Any]], arguments: Mapping[str, str]) -> None:
    """Else a run would be labelled with one task, and its replay log made for that, while it learns another."""
    task = arguments["task"]
    for node, name in (("task", "task.name"), ("learner", "task_name")):
        if (given := own.get(node, {}).get(name, task)) != task:
            raise SettingsError(
                f"{arguments['params']}: {name} is {given!r}, but the run is one of task:={task}: give task:={given} "
                "instead, or remove that line"
            )


def suggestion(name: str, known: Iterable[str]) -> str:
    """What somebody who wrote that name may have meant, and what there is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return (f"did you mean '{close[0]}'? " if close else "") + "valid: " + ", ".join(known)
