"""A stack as a launch description for `ros2 launch`. Needs the `launch` and `launch_ros` of a ROS installation."""

from __future__ import annotations

import datetime

from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from sac_learner.commands.alone import check_that_it_is_alone
from sac_learner.graph.stacks import Stack, find_stack, parse_arguments, suggestion
from sac_learner.graph.supervisor import REFUSED, RESPAWN_DELAY_S
from sac_learner.runs.preparing import prepare

# No robot moves on without the launch that is to stop it: the kernel interrupts the nodes when it dies, see setpriv(1).
_END_WITH_LAUNCH = "setpriv --pdeathsig INT"


def describe(name: str) -> LaunchDescription:
    """The launch description of a stack: its arguments, then its nodes in a run directory made at launch."""
    stack = find_stack(name)
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.doc,
            choices=list(argument.choices) or None,
        )
        for argument in stack.arguments()
    ]
    given: set[str] = set()  # names; where nothing was given, on resume the run's own value holds, not the default
    return LaunchDescription(
        [
            OpaqueFunction(function=_note_what_was_given, args=[given]),
            *declared,
            OpaqueFunction(function=_nodes, args=[stack, given]),
        ]
    )


def _note_what_was_given(context: LaunchContext, given: set[str]) -> None:
    """Before the arguments are declared: afterwards a default looks like what somebody has asked for."""
    given.clear()  # a description may be included twice
    given.update(context.launch_configurations)


def _nodes(context: LaunchContext, stack: Stack, names: set[str]) -> list[LaunchDescriptionEntity]:
    given = [
        f"{argument.name}:={LaunchConfiguration(argument.name).perform(context)}"
        for argument in stack.arguments()
        if argument.name in names
    ]
    # `ros2 launch` takes any argument and says nothing; one that includes this launch file may have others of its own.
    known = [argument.name for argument in stack.arguments()]
    ignored = [
        LogInfo(msg=f"WARNING: '{name}' is no argument of {stack.name} and has no effect; {suggestion(name, known)}")
        for name in sorted(set(context.launch_configurations) - set(known))
    ]
    notes: list[str] = []
    arguments, now = parse_arguments(stack, given), datetime.datetime.now()
    run, graph = prepare(stack, arguments, now, notes.append, check_that_it_is_alone)
    variables = [SetEnvironmentVariable(name, value) for name, value in graph.environment.items()]
    nodes = [
        Node(
            package=node.package,
            executable=node.executable,
            name=node.name,
            namespace=graph.arguments["namespace"] or None,
            parameters=[str(run.files.config.resolve())],
            output="screen",
            prefix=_END_WITH_LAUNCH,
            exec_name=node.executable,
            respawn=True,
            respawn_delay=RESPAWN_DELAY_S,
            on_exit=_end_if_refused,
        )
        for node in graph.nodes
    ]
    return [*ignored, *(LogInfo(msg=line) for line in notes), *variables, *nodes]


def _end_if_refused(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    if event.returncode != REFUSED:
        return []
    return [
        Shutdown(reason=f"{event.process_name} refused to start: see its last words; starting it again cannot help")
    ]
