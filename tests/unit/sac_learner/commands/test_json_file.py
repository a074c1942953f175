"""Where a result can be written is found out before the work, the same by every command that has the option."""

import argparse
import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from helpers import in_process
from rosac_common.folders import folder_problem
from sac_learner.commands.json_file import JsonFileError, json_path, write_json

_NOBODY = 65534


@pytest.fixture
def place(monkeypatch):
    """A directory with things in it that may be written or not, as somebody who is not root: root may do anything."""
    made = Path(tempfile.mkdtemp())
    for name in ("open", "closed", "hidden"):
        (made / name).mkdir()
        for kind in ("writable", "readable"):
            (made / name / kind).touch()
    (made / "open" / "link").symlink_to(made / "open" / "later")
    (made / "open" / "astray").symlink_to(made / "closed" / "later")
    root = os.geteuid() == 0
    for path in [made, *made.rglob("*")]:
        if root:
            os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod({"readable": 0o444, "closed": 0o555, "hidden": 0o000}.get(path.name, 0o755))
    monkeypatch.chdir(made)
    with contextlib.ExitStack() as afterwards:
        if root:
            os.seteuid(_NOBODY)
            afterwards.callback(os.seteuid, 0)
        yield made
    for name in ("closed", "hidden"):
        (made / name).chmod(0o755)
    monkeypatch.undo()
    shutil.rmtree(made)


@pytest.mark.parametrize(
    "name",
    ["new", "open/new", "new/er/new", "open/writable", "closed/writable", "open/link", "/dev/null", "/dev/full"],
)
def test_what_can_be_written_is_taken(name, place):
    path = json_path(name)
    assert path == Path(name)
    if name == "/dev/full":
        with pytest.raises(JsonFileError, match="cannot write /dev/full: No space left on device; make room"):
            write_json(path, {"a": 1})
        return
    write_json(path, {"a": 1})
    if name != "/dev/null":
        assert json.loads(path.read_text()) == {"a": 1}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".", "it is a directory"),
        ("open", "it is a directory"),
        ("open/readable", "no right to write into it"),
        ("closed/new", "no right to write into .*closed"),
        ("closed/new/er/new", "no right to write into .*closed"),
        ("open/astray", "no right to write into .*closed"),
        ("hidden/writable", "Permission denied"),
        ("open/writable/new", ".*open/writable is no directory"),
        ("x" * 300, "File name too long"),
        ("x" * 300 + "/new", "File name too long"),
    ],
)
def test_what_cannot_be_written_is_refused(name, expected, place):
    message = f"^{name} cannot be written: {expected}; choose another file"
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        json_path(name)
    with pytest.raises(JsonFileError, match=f"cannot write {name}: "):
        write_json(Path(name), {})


def test_a_folder_is_judged_by_its_nearest_one(place):
    assert folder_problem(Path("new/er")) == folder_problem(Path("open")) == ""
    assert "no right" in folder_problem(Path("closed/new"))
    assert "is no directory" in folder_problem(Path("open/writable"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_not_is_not_written(value, tmp_path):
    with pytest.raises(JsonFileError, match=r"cannot write .*out.json: Out of range float values"):
        write_json(tmp_path / "out.json", {"value": [value]})
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("gym", "Pendulum-v1", "--steps", "5"),
        ("eval", "no-run"),
        *(("bus", tool, "--port", "/dev/none") for tool in ("scan", "check", "rate", "calibrate", "reboot")),
    ],
    ids=" ".join,
)
def test_every_command_refuses_at_once(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, complained = in_process.rosac(*command, "--json", ".")
    assert code == 2
    assert "argument --json: . cannot be written: it is a directory" in complained
