"""Run directories: made whole, taken up again, refused when they do not fit."""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.learning import make_transition
from rosac_common.settings import SettingsError, load_parameter_file
from sac_learner.atomic_file import read_tensors, tensor_bytes
from sac_learner.graph.stacks import STACKS
from sac_learner.learning.trainer import Trainer
from sac_learner.runs.preparing import prepare
from sac_learner.runs.run_directory import Run, RunError, find_run, list_runs, unreadable_runs

STACK = STACKS["dclaw_valve"]
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)
# Of bridge, task, actor and learner in the first session of seed:=5.
FIRST_SEEDS_OF_5 = [16823399, 2940995229, 2290007392, 1039507385]


def make(tmp_path: Path, notes: list[str] | None = None, **given: str) -> Run:
    notes = [] if notes is None else notes
    return prepare(STACK, {"runs": str(tmp_path), **given}, NOW, notes.append)[0]


def own_file(path: Path, **learner: object) -> str:
    path.write_text(yaml.safe_dump({"/**/learner": {"ros__parameters": learner}}))
    return str(path)


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file() and path.stat().st_size}


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


def seeds(run: Run) -> dict[str, int]:
    return {name: block["seed"] for name, block in load_parameter_file(run.files.config).items()}


def test_every_session_draws_numbers_of_its_own_and_the_learner_goes_on(tmp_path: Path) -> None:
    """Else a resumed run would explore as it did before, and in simulation store the same transitions again."""
    notes: list[str] = []
    sessions = [seeds(make(tmp_path, notes, run="a", seed="5"))]
    sessions += [seeds(make(tmp_path, notes, run="a", resume="true")) for _ in range(2)]
    # What the first session has drawn since there are runs.
    assert sessions[0] == dict(zip(sessions[0], FIRST_SEEDS_OF_5, strict=True))
    for node in ("bridge", "task", "actor"):
        assert len({drawn[f"/**/{node}"] for drawn in sessions}) == 3, node
    assert {drawn["/**/learner"] for drawn in sessions} == {FIRST_SEEDS_OF_5[-1]}
    assert notes == [], "new seeds are no change of settings"

    (tmp_path / "again").mkdir()
    again = [seeds(make(tmp_path / "again", run="a", seed="5", resume=resume)) for resume in ("false", "true", "true")]
    assert again == sessions
    run = find_run("a", tmp_path)
    assert run.sessions == 3
    assert run.resolve({}).parameters["task"].seed == FIRST_SEEDS_OF_5[1], "an evaluation depends on the sessions"


def test_another_seed_is_told_as_it_is(tmp_path: Path) -> None:
    notes: list[str] = []
    before = seeds(make(tmp_path, run="a"))
    after = seeds(make(tmp_path, notes, run="a", resume="true", seed="1"))
    for node in ("bridge", "task", "actor", "learner"):
        name = f"/**/{node}"
        assert f"{node} seed was {before[name]} and is {after[name]}" in notes[0]


def test_a_run_of_an_older_version_has_had_one_session(tmp_path: Path) -> None:
    run = make(tmp_path, run="a")
    document = json.loads(run.files.document.read_text())
    del document["sessions"]
    run.files.document.write_text(json.dumps(document))
    first = seeds(run)
    run = make(tmp_path, run="a", resume="true")
    assert run.sessions == 2
    assert seeds(run)["/**/task"] != first["/**/task"]


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


def test_a_directory_that_is_no_run_is_not_taken_for_one(tmp_path: Path) -> None:
    make(tmp_path, run="a")
    (tmp_path / "other").mkdir()
    for name in ("other", ".", "", str(tmp_path)):
        with pytest.raises(RunError, match="no run .*; runs there: a") as caught:
            find_run(name, tmp_path)
        assert "remove" not in str(caught.value)


def damage(run: Run, how: str) -> None:
    document = json.loads(run.files.document.read_text())
    if how == "torn":
        run.files.document.write_text('{"format": 1, "sta')
    elif how == "gone":
        run.files.document.unlink()
    elif how == "no task":
        del document["arguments"]["task"]
        run.files.document.write_text(json.dumps(document))
    elif how == "bad sessions":
        run.files.document.write_text(json.dumps(document | {"sessions": 0}))
    elif how == "bad value":
        document["arguments"]["steps"] = "many"
        run.files.document.write_text(json.dumps(document))
    else:
        run.files.document.write_text(json.dumps(document | {"stack": "arm"}))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("torn", "incomplete"),
        ("gone", "incomplete"),
        ("no task", "does not say its task"),
        ("bad value", "steps:=many"),
        ("bad sessions", "sessions is 0, it must be a whole number from 1"),
        ("unknown stack", "is of stack 'arm'"),
    ],
)
def test_a_run_that_cannot_be_read_hides_no_other_and_keeps_its_data(tmp_path: Path, how: str, expected: str) -> None:
    damage(make(tmp_path, run="bad"), how)
    make(tmp_path, run="good")
    with pytest.raises(RunError, match=expected):
        find_run("bad", tmp_path)
    assert [run.name for run in list_runs(tmp_path)] == ["good"]
    if how != "unknown stack":
        assert "remove it" in unreadable_runs(tmp_path)["bad"]
    (tmp_path / "bad" / "replay").mkdir()
    assert "remove" not in unreadable_runs(tmp_path)["bad"]
    notes: list[str] = []
    assert make(tmp_path, notes, resume="true").name == "good"
    assert "'bad' is passed over" in notes[0]
    assert expected in notes[0]


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


@pytest.mark.parametrize(
    ("runs", "name", "expected"),
    [
        ("file", "a", "file/a cannot be made: .*file is no directory"),
        ("file/deeper", "a", "file/deeper/a cannot be made: .*file is no directory"),
        ("/proc/x", "a", "/proc/x/a cannot be made: "),  # which not even root can be told beforehand
        (".", "x" * 300, "cannot be made: File name too long"),
    ],
)
def test_runs_that_cannot_be_made_are_refused_with_the_remedy(
    tmp_path: Path, runs: str, name: str, expected: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=f"{expected}.*; choose another runs:=DIRECTORY or run:=NAME"):
        make(tmp_path / runs, run=name)


def test_bad_parameters_leave_nothing_behind(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("/**/learner: {ros__parameters: {sac: {discount: 2.0}}}")
    with pytest.raises(SettingsError):
        make(tmp_path / "runs", run="a", params=str(own))
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Run]:
    """A run whose learner is at work."""
    run = make(tmp_path, run="a")
    with run.files.lock():
        yield run


def test_a_run_in_use_is_left_as_it_is(tmp_path: Path, live: Run) -> None:
    before = content(live.path)
    own = own_file(tmp_path / "own.yaml", **{"sac.learning_rate": 1e-4})
    with pytest.raises(RunError, match="another learner is using"):
        make(tmp_path, run="a", resume="true", namespace="second", params=own, steps="7")
    assert content(live.path) == before


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"sac.hidden_sizes": [32, 32]}, "learner sac.hidden_sizes was .* and is .32, 32."),
        ({"observation_size": 4}, "learner observation_size was 21 and is 4"),
        ({"sac.discount": 2.0}, "discount"),
    ],
)
def test_a_refused_resume_leaves_the_run_as_it_is(tmp_path: Path, params: dict, expected: str) -> None:
    run = make(tmp_path, run="a")
    for path in (run.files.replay / "000000.replay", run.files.checkpoints / "checkpoint_1.safetensors"):
        path.parent.mkdir()
        path.touch()
    before = content(run.path)
    with pytest.raises((RunError, SettingsError), match=expected):
        make(tmp_path, run="a", resume="true", params=own_file(tmp_path / "own.yaml", **params))
    assert content(run.path) == before


# What no limit of a setting tells.
LEARNER_REFUSES = [
    ({"device": "cuda:99"}, "'device' is 'cuda:99', found .* or set device: cpu"),
    ({"relabelling.turns_rad": [1.0]}, "it must hold 0: the target as it was"),
    ({"action_symmetries": [1, 2, 3]}, "symmetries of the action hold 3 numbers, no multiple of its size 9"),
]


@pytest.mark.parametrize(("params", "expected"), LEARNER_REFUSES)
def test_what_only_the_learner_can_refuse_changes_and_leaves_nothing(
    tmp_path: Path, params: dict, expected: str
) -> None:
    own = own_file(tmp_path / "own.yaml", **params)
    with pytest.raises(RunError, match=expected):
        make(tmp_path / "runs", run="a", params=own)
    assert not (tmp_path / "runs").exists()
    run = make(tmp_path / "runs", run="a")
    before = content(run.path)
    with pytest.raises(RunError, match=expected):
        make(tmp_path / "runs", run="a", resume="true", params=own)
    assert content(run.path) == before
    make(tmp_path / "runs", run="a", resume="true")


def test_a_robot_that_needs_a_parameter_file_gets_its_run(tmp_path: Path) -> None:
    servos = Path(__file__).parents[4] / "config/robots/minitaur_servos.yaml"
    given = {"runs": str(tmp_path), "run": "a", "backend": "dynamixel", "port": "emulator", "params": str(servos)}
    run, _ = prepare(STACKS["minitaur_walk"], given, NOW, print)
    assert run.files.document.exists()


def test_a_checkpoint_of_another_kind_of_device_is_refused_before_the_run_is_changed(tmp_path: Path) -> None:
    small = {"sac.gradients": "derived", "sac.hidden_sizes": [8, 8], "sac.batch_size": 8}
    run = make(tmp_path, run="a", params=own_file(tmp_path / "own.yaml", **small))
    trainer = Trainer(run.resolve({}).parameters["learner"])
    trainer.close()
    larger = own_file(tmp_path / "own.yaml", **small, **{"sac.replay_capacity": 20})
    run = make(tmp_path, run="a", resume="true", params=larger)
    (path,) = trainer.checkpoints.paths()
    tensors, metadata = read_tensors(path)
    tensors["noise_generator"] = tensors["noise_generator"][:16]  # as on a GPU
    path.write_bytes(tensor_bytes(tensors, metadata))
    before = content(run.path)
    with pytest.raises(RunError, match="made on another kind of device"):
        make(tmp_path, run="a", resume="true", params=own_file(tmp_path / "own.yaml", **small))
    assert content(run.path) == before


def test_a_failed_learner_names_remedies_that_are_not_refused(tmp_path: Path) -> None:
    """Not another learning rate on top of its checkpoints, which the message once asked for."""
    small = {"sac.gradients": "plain", "sac.hidden_sizes": [8, 8], "sac.batch_size": 8}
    small |= {"sac.initial_random_steps": 8, "sac.min_pool_steps": 8}
    run = make(tmp_path, run="a", mode="sac", params=own_file(tmp_path / "own.yaml", **small))
    trainer = Trainer(run.resolve({}).parameters["learner"])
    for number in range(12):
        zeros = {name: np.zeros(21, dtype=np.float32) for name in ("observation", "next_observation")}
        zeros |= {name: np.zeros(9, dtype=np.float32) for name in ("requested_action", "executed_action")}
        trainer.offer(make_transition(number, **zeros))
        while trainer.step():
            pass
    updates = trainer.pacer.updates
    trainer.save()
    trainer.metrics["critic_loss"] = float("nan")
    trainer.check()
    trainer.close()
    assert f"move {run.files.checkpoints} away" in trainer.failure
    assert "start a new run with a lower sac.learning_rate or sac.reward_scale" in trainer.failure

    lower = own_file(tmp_path / "lower.yaml", **small, **{"sac.learning_rate": 1e-5})
    with pytest.raises(RunError, match="made with other settings: learner sac.learning_rate was .*start a new run"):
        make(tmp_path, run="a", mode="sac", resume="true", params=lower)
    make(tmp_path, run="b", mode="sac", params=lower)
    run.files.checkpoints.rename(tmp_path / "away")
    run = make(tmp_path, run="a", mode="sac", resume="true", params=lower)
    again = Trainer(run.resolve({}).parameters["learner"])
    while again.step():
        pass
    assert (again.learner.settings.learning_rate, again.pacer.taken, again.pacer.updates) == (1e-5, 12, updates)
    again.close()


def refuse(graph: object) -> None:
    raise RunError("another graph")


def test_another_graph_in_the_namespace_leaves_the_run_as_it_is(tmp_path: Path) -> None:
    run = make(tmp_path, run="a")
    before = content(run.path)
    with pytest.raises(RunError, match="another graph"):
        prepare(STACK, {"runs": str(tmp_path), "run": "a", "resume": "true", "steps": "7"}, NOW, print, refuse)
    assert content(run.path) == before


def learning_rate(run: Run, **changes: str) -> float:
    return run.resolve(changes).parameters["learner"].sac.learning_rate


def test_a_run_keeps_to_what_its_parameter_file_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of the file, and from any directory; a new content only when it is given again; all told."""
    monkeypatch.chdir(tmp_path)
    rate, notes = "learner sac.learning_rate was", []
    own_file(Path("mine.yaml"), **{"sac.learning_rate": 1e-4})
    run = make(tmp_path, run="a", params="mine.yaml")
    own_file(Path("mine.yaml"), **{"sac.learning_rate": 2e-4})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert learning_rate(find_run("a", tmp_path)) == 1e-4
    assert learning_rate(make(tmp_path, notes, run="a", resume="true")) == 1e-4
    assert len(notes) == 1
    assert f"mine.yaml has changed: {rate} 0.0001 and is 0.0002; the run keeps to" in notes[0]

    notes.clear()
    run = make(tmp_path, notes, run="a", resume="true", params=str(tmp_path / "mine.yaml"))
    assert learning_rate(run) == learning_rate(find_run("a", tmp_path)) == 2e-4
    assert notes == [f"run 'a' goes on with other settings: {rate} 0.0001 and is 0.0002"]

    (tmp_path / "mine.yaml").unlink()
    notes.clear()
    assert learning_rate(make(tmp_path, notes, run="a", resume="true")) == 2e-4
    assert "cannot read the parameter file" in notes[0]
    assert "keeps to what the file held" in notes[0]
    assert learning_rate(make(tmp_path, run="a", resume="true", params="")) == 1e-3
    assert not run.files.params.exists()


def test_a_lost_copy_of_the_parameter_file_is_not_made_up_for(tmp_path: Path) -> None:
    run = make(tmp_path, run="a", params=own_file(tmp_path / "mine.yaml", **{"sac.learning_rate": 1e-4}))
    run.files.params.unlink()
    with pytest.raises(RunError, match="has lost .*params.yaml.*give params:=FILE again"):
        make(tmp_path, run="a", resume="true")
    make(tmp_path, run="a", resume="true", params=str(tmp_path / "mine.yaml"))
    assert run.files.params.exists()


def test_a_run_that_is_too_short_to_learn_says_so(tmp_path: Path) -> None:
    notes: list[str] = []
    make(tmp_path, notes, run="long", steps="1001")
    make(tmp_path, notes, run="endless", steps="0")
    assert notes == []
    make(tmp_path, notes, run="short", steps="1000")
    assert "nothing will be learned: updates begin after 1000 steps (sac.initial_random_steps 1000" in notes[0]
    assert "1000 steps are asked for; raise steps:=1000, or lower" in notes[0]
    notes.clear()
    make(tmp_path, notes, run="short", resume="true")
    assert len(notes) == 1
    make(tmp_path, notes, run="short", resume="true", steps="1001")
    assert len(notes) == 2
    assert "goes on with other settings: learner total_steps" in notes[1]


def test_a_lost_config_is_told_and_made_anew(tmp_path: Path) -> None:
    run, notes = make(tmp_path, run="a"), []
    run.files.config.unlink()
    make(tmp_path, notes, run="a", resume="true")
    assert "config.yaml is made anew" in notes[0]
    assert run.files.config.exists()
