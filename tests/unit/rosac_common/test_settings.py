"""Settings: defaults, checks, messages, YAML files."""

import dataclasses
from pathlib import Path

import pytest
from rosac_common.settings import (
    SettingsError,
    from_mapping,
    leaves,
    load_parameter_file,
    setting,
    to_mapping,
)


@dataclasses.dataclass(frozen=True)
class Inner:
    rate_hz: float = setting(10.0, "a rate", minimum=0.1, maximum=100.0)
    names: list[str] = setting(["a", "b"], "names")


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    count: int = setting(3, "a number", minimum=1)
    mode: str = setting("slow", "a mode", choices=("slow", "fast"))
    on: bool = setting(True, "a switch")
    gains: list[float] = setting([1.0], "gains", minimum=0.0)


def test_round_trip_keeps_every_value() -> None:
    made = from_mapping(Outer, {"inner": {"rate_hz": 5, "names": ["x"]}, "count": 7, "mode": "fast", "gains": [1, 2.5]})
    assert made.inner.rate_hz == 5.0 and isinstance(made.inner.rate_hz, float)
    assert from_mapping(Outer, to_mapping(made)) == made
    assert to_mapping(made)["inner.names"] == ["x"]


def test_leaves_document_nested_settings() -> None:
    names = {leaf.name: leaf for leaf in leaves(Outer)}
    assert list(names) == ["inner.rate_hz", "inner.names", "count", "mode", "on", "gains"]
    assert str(names["inner.rate_hz"].limits) == "0.1 .. 100"
    assert names["gains"].default == [1.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"inner.rate_hz": 0.0}, "'inner.rate_hz' is 0.0; it must be in 0.1 .. 100"),
        ({"inner.rate_hz": float("nan")}, "NaN"),
        ({"count": 0}, "'count' is 0; it must be in 1 .. inf"),
        ({"count": 2.5}, "'count' must be of type int, not 2.5"),
        ({"count": True}, "'count' must be of type int, not True"),
        ({"on": 1}, "'on' must be of type bool, not 1"),
        ({"mode": "quick"}, "one of slow, fast"),
        ({"gains": [1.0, -1.0]}, "'gains' is -1.0"),
        ({"gains": 3.0}, "'gains' must be a list"),
        ({"cuont": 3}, "did you mean 'count'?"),
        ({"inner.rate": 3.0}, "did you mean 'inner.rate_hz'?"),
    ],
)
def test_bad_values_are_refused_by_name(values: dict, expected: str) -> None:
    with pytest.raises(SettingsError) as error:
        from_mapping(Outer, values, "somewhere.yaml")
    assert expected in str(error.value)
    assert "somewhere.yaml" in str(error.value)


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(SettingsError, match=r"'count'.*'mode'"):
        from_mapping(Outer, {"count": 0, "mode": "x"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/**: {ros__parameters: {a: 1, a: 2}}", "given twice"),
        ("/**: {parameters: {a: 1}}", "ros__parameters"),
        ("/**: [1", "not valid YAML"),
        ("", "is empty"),
    ],
)
def test_bad_parameter_files_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=expected):
        load_parameter_file(path)


def test_missing_parameter_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: No such file"):
        load_parameter_file(tmp_path / "nowhere.yaml")


def test_parameter_file_is_flattened(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("/**/bridge:\n  ros__parameters:\n    robot:\n      name: dclaw\n      ids: [1, 2]\n")
    assert load_parameter_file(path) == {"/**/bridge": {"robot.name": "dclaw", "robot.ids": [1, 2]}}
