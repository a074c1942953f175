"""Makes a run directory, or takes one up again: refused before anything is written, and no change without a word."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from rosac_common.folders import folder_problem
from rosac_common.parameter_file import parameter_text
from rosac_common.settings import SettingsError, load_parameter_file, to_mapping

from sac_learner.atomic_file import write_atomic
from sac_learner.graph.stacks import Graph, Stack, complete_arguments, resolve
from sac_learner.runs.learner_check import refusal
from sac_learner.runs.run_directory import (
    FORMAT,
    WHAT_IT_IS,
    Run,
    RunError,
    find_run,
    list_runs,
    unreadable_runs,
)
from sac_learner.runs.run_files import RunLockedError
from sac_learner.sac.settings import FREE_ON_RESUME, SacSettings

_SIZES = ("task_name", "observation_size", "action_size")  # settings that the replay log is made for
# Settings, and beginnings of names, of which only the learner knows whether it can have them.
_LEARNERS_OWN = (
    "device",
    "observation_size",
    "action_size",
    "observation_symmetries",
    "action_symmetries",
    "relabelling.",
    "sac.replay_capacity",
)

Parameters = dict[str, dict[str, Any]]  # of a parameter file: node pattern -> flat parameters


def prepare(
    stack: Stack,
    given: Mapping[str, str],
    now: datetime.datetime,
    note: Callable[[str], None],
    check: Callable[[Graph], None] = lambda graph: None,
) -> tuple[Run, Graph]:
    """Make a new run or, with resume:=true, take up an existing one; both ready to start.

    Args:
        stack: what to run.
        given: the arguments given; the others are the defaults, or on resume those of the run.
        now: for the name of a new run.
        note: called with one line: what changes in a run that is taken up, what has been passed over, and that
            nothing will be learned.
        check: raises what is against this graph, before anything is written.

    Raises:
        RunError: the run exists or cannot be made (new), or is missing, unreadable, in use, or of another stack, task,
            mode or other settings of SAC (resume); or its learner would refuse to start.
        SettingsError: a parameter is unknown or out of range.
        StorageError: the files of the run cannot be written.
        All but the last leave everything as it was.
    """
    if given.get("params"):
        given = {**given, "params": str(Path(given["params"]).absolute())}  # a run may be taken up from anywhere
    if given.get("resume") == "true":
        return _resumed(stack, given, note, check)
    arguments = complete_arguments(stack, given)
    name = arguments["run"] or f"{stack.name}-{now:%Y%m%d-%H%M%S}"
    _check_name(name)
    path = Path(arguments["runs"]) / name
    if problem := folder_problem(path):
        raise _cannot_be_made(path, problem)
    if path.exists():
        raise RunError(f"{path} exists: continue it with run:={name} resume:=true, or choose another run:=NAME")
    run = Run(path, stack.name, arguments | {"run": name})
    graph = resolve(stack, arguments, name, path)
    check(graph)
    _check_that_it_can_start(_without_own_file(stack, run), graph)
    _tell_if_nothing_is_learned(graph, note)
    try:
        path.mkdir(parents=True)
    except OSError as error:  # where rights alone do not tell
        raise _cannot_be_made(path, str(error.strerror)) from error
    _write(run, graph, new_params=True)
    return run, graph


def _cannot_be_made(path: Path, problem: str) -> RunError:
    return RunError(f"{path} cannot be made: {problem}; choose another runs:=DIRECTORY or run:=NAME")


def _resumed(
    stack: Stack, given: Mapping[str, str], note: Callable[[str], None], check: Callable[[Graph], None]
) -> tuple[Run, Graph]:
    """An existing run, taken up: refused before anything is written, or changed and every change told."""
    found = _found(stack, given, note)
    arguments = complete_arguments(stack, {**found.arguments, **given, "run": found.name})
    try:
        lock = found.files.lock()
    except RunLockedError as error:  # its nodes read config.yaml again when they are restarted
        raise RunError(f"{error}") from error
    with lock:
        first = found.resolve({**given, "run": found.name})
        graph = first.in_session(found.sessions + 1)
        check(graph)
        before, after = _stored_parameters(found, note), _as_read(graph)
        _check_that_it_can_go_on(found, before, after)
        _check_that_it_can_start(before, graph)
        if "params" not in given and arguments["params"]:
            _compare_with_file(found, arguments["params"], given, _as_read(first), note)
        known = _with_new_seeds(before, _as_read(first.in_session(found.sessions)), after)
        if before and (changed := _differences(known, after)):
            note(f"run '{found.name}' goes on with other settings: {changed}")
        _tell_if_nothing_is_learned(graph, note)
        run = dataclasses.replace(found, arguments=arguments, sessions=found.sessions + 1)
        _write(run, graph, new_params="params" in given)
    return run, graph


def _found(stack: Stack, given: Mapping[str, str], note: Callable[[str], None]) -> Run:
    """The run that is to be taken up: the one asked for, or the newest."""
    runs = Path(complete_arguments(stack, given)["runs"])
    if given.get("run"):
        found = find_run(given["run"], runs)
    else:
        for name, reason in unreadable_runs(runs).items():
            note(f"run '{name}' is passed over: {reason}")
        found = _newest(stack, runs)
    if found.stack != stack.name:
        raise RunError(f"run '{found.name}' belongs to stack {found.stack}, not {stack.name}")
    for name in WHAT_IT_IS:
        if given.get(name, found.arguments[name]) != found.arguments[name]:
            raise RunError(
                f"run '{found.name}' has {name}:={found.arguments[name]}, not {given[name]}: "
                f"resume it with {name}:={found.arguments[name]}, or start a new run"
            )
    return found


def _stored_parameters(run: Run, note: Callable[[str], None]) -> Parameters:
    """What the run's nodes were last started with; nothing when that is lost."""
    try:
        return load_parameter_file(run.files.config)
    except SettingsError as error:
        note(f"what run '{run.name}' has been started with is not known: {error}; config.yaml is made anew")
        return {}


def _as_read(graph: Graph) -> Parameters:
    """The parameters of a graph as they come back from its parameter file."""
    content = yaml.safe_load(parameter_text(graph.parameter_file()))
    return {pattern: block["ros__parameters"] for pattern, block in content.items()}


def _with_new_seeds(before: Parameters, last: Parameters, after: Parameters) -> Parameters:
    """What the run was started with, but for the seeds that differ only because a session begins: no news to anybody.

    Args:
        before: what the run was started with.
        last: as `after`, with the seeds of the session before.
        after: what it goes on with.
    """
    drawn = [name for name in last if before.get(name, {}).get("seed") == last[name]["seed"]]
    return before | {name: before[name] | {"seed": after[name]["seed"]} for name in drawn}


def _check_that_it_can_go_on(run: Run, before: Parameters, after: Parameters) -> None:
    """The learner would refuse this, too, but only after the run had been changed."""
    fixed = list(_SIZES) if any(run.files.replay.glob("*")) else []
    if any(run.files.checkpoints.glob("*.safetensors")):
        fixed += [f"sac.{name}" for name in to_mapping(SacSettings()) if name not in FREE_ON_RESUME]
    old, new = before.get("/**/learner"), after["/**/learner"]
    if old is None:
        return
    # A setting that is newer than the run was at its default when it was made.
    old = {f"sac.{name}": value for name, value in to_mapping(SacSettings()).items()} | old
    if changed := _differences({"learner": _only(old, fixed)}, {"learner": _only(new, fixed)}):
        raise RunError(
            f"what run '{run.name}' has logged and learned was made with other settings: {changed}; resume it with the "
            "settings that it had, or start a new run"
        )


def _without_own_file(stack: Stack, run: Run) -> Parameters:
    """The parameters without the params:= file; nothing where the robot needs one."""
    try:
        return _as_read(resolve(stack, run.arguments | {"params": ""}, run.name, run.path))
    except SettingsError:
        return {}


def _check_that_it_can_start(sound: Parameters, graph: Graph) -> None:
    """Ask the learner, where its settings differ from sound ones in what nobody else can judge: it takes seconds."""
    old, new = (
        {name: value for name, value in each.get("/**/learner", {}).items() if name.startswith(_LEARNERS_OWN)}
        for each in (sound, _as_read(graph))
    )
    if old != new and (problem := refusal(graph.parameters["learner"])):
        raise RunError(f"the learner would not start, nothing was changed: {problem}")


def _tell_if_nothing_is_learned(graph: Graph, note: Callable[[str], None]) -> None:
    """As `rosac gym` does: a run to try things out is often shorter than its first, random steps."""
    learner = graph.parameters["learner"]
    sac, pace, steps = learner.sac, learner.pacing.updates_per_step, learner.total_steps
    if steps > 0 and not int(pace * max(0, steps - sac.start_steps)):
        note(
            f"nothing will be learned: updates begin after {sac.start_steps} steps (sac.initial_random_steps "
            f"{sac.initial_random_steps}, sac.min_pool_steps {sac.min_pool_steps}), {pace:g} for each, and {steps} "
            f"steps are asked for; raise steps:={steps}, or lower sac.initial_random_steps in a params:=FILE"
        )


def _only(values: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: values.get(name) for name in names}


def _compare_with_file(
    run: Run, path: str, given: Mapping[str, str], used: Parameters, note: Callable[[str], None]
) -> None:
    """Say in what the params:= file of the run is no longer what the run keeps to."""
    kept = f"the run keeps to what the file held ({run.files.params}); to take the new one, give params:={path} again"
    try:
        differing = _differences(used, _as_read(run.resolve({**given, "params": path})))
    except SettingsError as error:
        note(f"{error}; {kept}")
        return
    if differing:
        note(f"{path} has changed: {differing}; {kept}")


def _differences(before: Parameters, after: Parameters) -> str:
    """Every value that differs, by node and name; empty when none does."""
    told = []
    for pattern in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(pattern, {}), after.get(pattern, {})
        node = pattern.removeprefix("/**/")
        for name in [*old, *(name for name in new if name not in old)]:
            if old.get(name) != new.get(name):
                told.append(f"{node} {name} was {old.get(name)!r} and is {new.get(name)!r}")
    return ", ".join(told)


def _newest(stack: Stack, runs: Path) -> Run:
    matching = [run for run in list_runs(runs) if run.stack == stack.name]
    if not matching:
        raise RunError(f"nothing to resume: no run of {stack.name} in {runs}")
    return matching[-1]


def _check_name(name: str) -> None:
    if "/" in name or name.startswith(".") or not name.isprintable():
        raise RunError(f"run:={name}: a run name is one directory name; it must not hold '/' or start with '.'")


def _write(run: Run, graph: Graph, *, new_params: bool) -> None:
    """Each file whole or not at all.

    Args:
        new_params: whether the params:= file was given now.
    """
    if new_params and run.arguments["params"]:
        write_atomic(run.files.params, Path(run.arguments["params"]).read_bytes())
    elif new_params:
        run.files.params.unlink(missing_ok=True)
    write_atomic(run.files.config, parameter_text(graph.parameter_file()).encode())
    document = {"format": FORMAT, "stack": run.stack, "arguments": run.arguments, "sessions": run.sessions}
    write_atomic(run.files.document, (json.dumps(document, indent=2) + "\n").encode())
