"""Arguments and parameters of the stacks: what is refused, and what every node gets."""

from pathlib import Path

import pytest
from robot_bridge.settings import BridgeSettings
from rosac_common.settings import SettingsError, from_mapping
from sac_learner.graph.dds import dds_environment
from sac_learner.graph.stacks import (
    STACKS,
    ArgumentError,
    Stack,
    complete_arguments,
    find_stack,
    parse_arguments,
    resolve,
)
from valve_task.env import RobotTaskEnv
from valve_task.tasks import make_task

STACK = STACKS["dclaw_valve"]


def graph(tmp_path: Path, **given: str):  # noqa: ANN201
    return resolve(STACK, complete_arguments(STACK, given), "r", tmp_path / "r")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["step:=3"], "unknown argument 'step'.*did you mean 'steps'"),
        (["steps=3"], "not of the form name:=value"),
        (["steps:=many"], "whole number"),
        (["steps:=-1"], "whole number"),
        (["mode:=ppo"], "must be one of efficient, sac"),
        (["time_base:=fast"], "must be one of auto, lockstep, realtime"),
        (["backend:=gazebo"], "must be one of mujoco"),
        (["namespace:=a b"], "namespace:=a b: names have letters"),
        (["namespace:=robots/2"], "no digit first"),
        (["task:=Dance"], "must be one of DClawTurn"),
        (["seed:=1", "seed:=2"], "given twice"),
    ],
)
def test_bad_arguments_are_refused_with_the_valid_ones(given: list[str], expected: str) -> None:
    with pytest.raises(ArgumentError, match=expected):
        parse_arguments(STACK, given)


def test_servos_that_the_robot_has_not_are_refused_before_anything_starts(tmp_path: Path) -> None:
    stack = STACKS["minitaur_walk"]
    given = {"backend": "dynamixel", "port": "emulator"}
    with pytest.raises(SettingsError, match="robot 'minitaur' has no block robot.servos.*params:=FILE"):
        resolve(stack, complete_arguments(stack, given), "r", tmp_path / "r")


def test_unknown_stack_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ArgumentError, match=r"did you mean 'dclaw_valve'.*valid: dclaw_valve"):
        find_stack("dclaw_valv")


def test_every_node_gets_checked_parameters(tmp_path: Path) -> None:
    made = graph(tmp_path, steps="123", seed="5", time_base="realtime")
    assert [node.name for node in made.nodes] == ["bridge", "task", "actor", "learner"]
    assert made.parameters["learner"].total_steps == 123
    assert made.parameters["learner"].observation_size == 21
    assert made.parameters["bridge"].control_period_s == pytest.approx(0.1)
    assert made.parameters["bridge"].time_base == made.parameters["task"].time_base == "realtime"
    assert len({made.parameters[node.name].seed for node in made.nodes}) == 4


@pytest.mark.parametrize("stack", STACKS.values(), ids=lambda stack: stack.name)
def test_an_environment_has_the_settings_of_its_stack(tmp_path: Path, stack: Stack) -> None:
    for name in stack.tasks:
        node = resolve(stack, complete_arguments(stack, {"task": name}), "r", tmp_path / "r").parameters["task"]
        environment = RobotTaskEnv(name)
        assert environment.task.settings == node.task
        assert environment.task.variant == make_task(node.task, node.robot).variant


def test_parameter_file_gives_the_same_settings_back(tmp_path: Path) -> None:
    made = graph(tmp_path)
    values = made.parameter_file()["/**/bridge"]["ros__parameters"]
    assert from_mapping(BridgeSettings, values) == made.parameters["bridge"]


def test_own_parameters_are_laid_over(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("/**/learner: {ros__parameters: {sac: {discount: 0.9}}}\n/**: {ros__parameters: {seed: 3}}\n")
    made = graph(tmp_path, params=str(own))
    assert made.parameters["learner"].sac.discount == 0.9
    assert {made.parameters[node.name].seed for node in made.nodes} == {3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/**/learner: {ros__parameters: {sac: {discuont: 0.9}}}", "did you mean 'sac.discount'"),
        ("/**/learner: {ros__parameters: {sac: {discount: 1.5}}}", r"'sac.discount' is 1.5; it must be in"),
        ("/**/lerner: {ros__parameters: {seed: 1}}", "unknown node '/\\*\\*/lerner'"),
        ("/**: {ros__parameters: {nonsense: 1}}", "no node has a setting 'nonsense'"),
    ],
)
def test_bad_own_parameters_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    with pytest.raises(SettingsError, match=expected):
        graph(tmp_path, params=str(own))


TURN = "/**: {ros__parameters: {task: {name: DClawTurn}}}"


def test_a_file_that_names_the_task_that_is_run_is_taken(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(TURN)
    assert graph(tmp_path, params=str(own)).parameters["task"].task.name == "DClawTurn"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (TURN, "task.name"),
        ("/**/task: {ros__parameters: {task.name: DClawTurn}}", "task.name"),
        ("/**/learner: {ros__parameters: {task_name: DClawTurn}}", "task_name"),
    ],
)
def test_a_run_is_not_labelled_with_a_task_that_it_does_not_learn(tmp_path: Path, text: str, name: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    expected = (
        f"own.yaml: {name} is 'DClawTurn', but the run is one of task:=DClawScrewFixed: give task:=DClawTurn instead, "
        "or remove that line"
    )
    with pytest.raises(SettingsError, match=expected):
        graph(tmp_path, task="DClawScrewFixed", params=str(own))


def test_discovery_stays_on_this_machine_unless_asked(tmp_path: Path) -> None:
    assert graph(tmp_path).environment == dds_environment("localhost")
    assert graph(tmp_path, discovery="subnet").environment == dds_environment("subnet")


def test_an_option_of_one_stack_sets_its_parameter_and_no_other_stack_has_it(tmp_path: Path) -> None:
    walk = STACKS["minitaur_walk"]
    made = resolve(walk, complete_arguments(walk, {"terrain": "stairs"}), "r", tmp_path / "r")
    assert made.parameters["bridge"].simulation.minitaur.terrain == "stairs"
    assert made.parameters["task"].task.name == "MinitaurWalk"
    assert made.parameters["learner"].observation_size == 112
    assert made.parameters["bridge"].control_period_s == pytest.approx(0.02)
    with pytest.raises(ArgumentError, match="must be one of flat"):
        parse_arguments(walk, ["terrain:=mud"])
    with pytest.raises(ArgumentError, match="unknown argument 'terrain'"):
        parse_arguments(STACK, ["terrain:=flat"])


def test_the_learner_is_told_of_the_targets_that_the_task_could_have_had(tmp_path: Path) -> None:
    learner = graph(tmp_path).parameters["learner"]
    assert learner.relabelling.angle_places == [9, 10, 20]
    assert learner.relabelling.turns_rad == pytest.approx([0.0, 2.0944, 4.1888], abs=1e-4)
    assert graph(tmp_path, task="DClawPoseFixed").parameters["learner"].relabelling.angle_places == []
