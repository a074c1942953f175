"""Run directories: made whole, taken up again, refused when they do not fit."""

import datetime
import json
from pathlib import Path

import pytest
from rosac_common.settings import SettingsError, load_parameter_file
from sac_learner.graph.stacks import STACKS
from sac_learner.runs.run_directory import RunError, find_run, list_runs, prepare

STACK = STACKS["dclaw_valve"]
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)


def make(tmp_path: Path, **given: str):  # noqa: ANN201
    return prepare(STACK, {"runs": str(tmp_path), **given}, NOW)[0]


def test_a_new_run_holds_its_resolved_config(tmp_path: Path) -> None:
    run = make(tmp_path)
    assert run.name == "dclaw_valve-20260102-030405"
    assert set(load_parameter_file(run.files.config)) == {"/**/bridge", "/**/task", "/**/actor", "/**/learner"}
    assert [found.name for found in list_runs(tmp_path)] == [run.name]


def test_an_existing_run_is_refused_with_the_remedy(tmp_path: Path) -> None:
    make(tmp_path, run="a")
    with pytest.raises(RunError, match="exists.*resume:=true"):
        make(tmp_path, run="a")


def test_resume_takes_the_arguments_of_the_run(tmp_path: Path) -> None:
    make(tmp_path, run="a", steps="500", seed="7", mode="sac_fixed_temperature")
    run = make(tmp_path, run="a", resume="true", steps="900", mode="sac_fixed_temperature")
    assert (run.arguments["steps"], run.arguments["seed"]) == ("900", "7")


def test_resume_without_a_name_takes_the_newest(tmp_path: Path) -> None:
    make(tmp_path, run="only")
    assert make(tmp_path, resume="true").name == "only"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"task": "DClawScrewFixed"}, "has task:=DClawTurn, not DClawScrewFixed"),
        ({"mode": "sac_fixed_temperature"}, "has mode:=efficient, not sac_fixed_temperature"),
    ],
)
def test_resume_as_something_else_is_refused(tmp_path: Path, given: dict, expected: str) -> None:
    make(tmp_path, run="a")
    with pytest.raises(RunError, match=expected):
        make(tmp_path, run="a", resume="true", **given)


def test_unknown_run_is_refused_with_those_there(tmp_path: Path) -> None:
    make(tmp_path, run="a")
    with pytest.raises(RunError, match="no run 'b'.*runs there: a"):
        find_run("b", tmp_path)
    with pytest.raises(RunError, match="nothing to resume"):
        make(tmp_path / "empty", resume="true")


def test_incomplete_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    with pytest.raises(RunError, match="incomplete"):
        find_run("half", tmp_path)
    (tmp_path / "half" / "run.json").write_text('{"format": 1, "sta')
    with pytest.raises(RunError, match="incomplete"):
        find_run("half", tmp_path)


def test_run_of_another_format_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path, run="a")
    document = json.loads((run.files.document).read_text())
    (run.files.document).write_text(json.dumps(document | {"format": 99}))
    with pytest.raises(RunError, match="format 99"):
        find_run("a", tmp_path)


@pytest.mark.parametrize("name", ["../x", ".hidden", "a/b"])
def test_a_run_name_is_one_directory_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="one directory name"):
        make(tmp_path, run=name)


def test_bad_parameters_leave_nothing_behind(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("/**/learner: {ros__parameters: {sac: {discount: 2.0}}}")
    with pytest.raises(SettingsError):
        make(tmp_path / "runs", run="a", params=str(own))
    assert not (tmp_path / "runs").exists()
