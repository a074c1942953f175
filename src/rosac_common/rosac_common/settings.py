"""Settings: one dataclass is the default values, the documentation, the check and the ROS parameter declaration.

A settings class is a frozen dataclass whose fields are made with :func:`setting`, or are settings classes themselves
(nested blocks, joined by a dot in ROS parameter names). No ROS here; `rosac_common.parameters` declares them on a node.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")


class SettingsError(ValueError):
    """A setting is unknown, of the wrong type or out of range. The message names value, limit and remedy."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Allowed values of one setting: numbers in [minimum, maximum], or one of `choices`."""

    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        if self.minimum is None and self.maximum is None:
            return "any"
        low = "-inf" if self.minimum is None else f"{self.minimum:g}"
        high = "inf" if self.maximum is None else f"{self.maximum:g}"
        return f"{low} .. {high}"


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One setting as documentation: dotted name, type, default, sentence and limits."""

    name: str
    type: Any
    default: Any
    doc: str
    limits: Limits


def setting(
    default: Any,
    doc: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[Any] = (),
) -> Any:
    """A field of a settings class.

    Args:
        default: value when nothing else is given; lists are copied per instance.
        doc: one sentence with the unit and the source of the default.
        minimum, maximum: inclusive limits of a number, or of every element of a list of numbers.
        choices: allowed values.
    """
    metadata = {"doc": doc, "limits": Limits(minimum, maximum, tuple(choices))}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def leaves(cls: type, prefix: str = "") -> Iterator[Leaf]:
    """All settings of a class, nested blocks flattened to dotted names."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        name, kind = prefix + field.name, hints[field.name]
        if dataclasses.is_dataclass(kind):
            yield from leaves(kind, name + ".")
            continue
        has_factory = field.default_factory is not dataclasses.MISSING
        default = field.default_factory() if has_factory else field.default
        yield Leaf(name, kind, default, field.metadata["doc"], field.metadata["limits"])


def from_mapping(cls: type[T], mapping: Mapping[str, Any], where: str = "") -> T:
    """Make settings from a mapping, nested or with dotted names; missing names keep their defaults.

    Args:
        cls: the settings class.
        mapping: values by name.
        where: where the values come from (a file name), for messages.

    Raises:
        SettingsError: listing every unknown name, wrong type and value out of range.
    """
    flat = flatten(mapping)
    known = {leaf.name: leaf for leaf in leaves(cls)}
    problems, values = [], {}
    for name, value in flat.items():
        if name not in known:
            problems.append(_unknown(name, known))
            continue
        try:
            values[name] = _converted(known[name], value)
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError(f"{where or cls.__name__}: " + "; ".join(problems))
    try:
        return _build(cls, values, "")
    except SettingsError as error:  # from a class that checks its fields against each other
        raise SettingsError(f"{where or cls.__name__}: {error}") from error


def to_mapping(settings: Any) -> dict[str, Any]:
    """Settings as a flat mapping with dotted names: the inverse of :func:`from_mapping`."""
    return flatten(dataclasses.asdict(settings))


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def load_parameter_file(path: Path) -> dict[str, dict[str, Any]]:
    """Read a standard ROS 2 parameter file: node pattern -> flat parameters.

    Raises:
        SettingsError: file missing, not YAML, a key twice, or not `NODE: {ros__parameters: {...}}`.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot read the parameter file {path}: {error.strerror}") from error
    try:
        content = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} is empty; expected NODE: {{ros__parameters: ...}}")
    result = {}
    for node, block in content.items():
        if not isinstance(block, dict) or set(block) != {"ros__parameters"}:
            raise SettingsError(f"{path}: under '{node}' exactly the key ros__parameters is expected, found {block!r}")
        result[node] = flatten(block["ros__parameters"] or {})
    return result


def load_block(path: Path) -> dict[str, Any]:
    """The parameters of a file that is for every node: dotted name -> value.

    Raises:
        SettingsError: as :func:`load_parameter_file`, or the file has other node patterns than '/**'.
    """
    blocks = load_parameter_file(path)
    if list(blocks) != ["/**"]:
        raise SettingsError(f"{path}: expected exactly the node pattern '/**', found {', '.join(blocks)}")
    return blocks["/**"]


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (YAML would silently keep the last)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _unknown(name: str, known: Mapping[str, Leaf]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(known)
    return f"unknown setting '{name}'; {hint}"


def _build(cls: type[T], values: Mapping[str, Any], prefix: str) -> T:
    hints = typing.get_type_hints(cls)
    arguments = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = prefix + field.name
        if dataclasses.is_dataclass(hints[field.name]):
            arguments[field.name] = _build(hints[field.name], values, name + ".")
        elif name in values:
            arguments[field.name] = values[name]
    return cls(**arguments)


def _converted(leaf: Leaf, value: Any) -> Any:
    """`value` in the type of the setting, checked against its limits."""
    if typing.get_origin(leaf.type) is list:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise SettingsError(f"'{leaf.name}' must be a list, not {value!r}")
        (kind,) = typing.get_args(leaf.type)
        converted = [_scalar(leaf.name, kind, element) for element in value]
        elements = converted
    else:
        converted = _scalar(leaf.name, leaf.type, value)
        elements = [converted]
    for element in elements:
        _check(leaf, element)
    return converted


def _scalar(name: str, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.UnionType):
        raise TypeError(f"setting '{name}': unions are not ROS parameters")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
        raise SettingsError(f"'{name}' must be of type {kind.__name__}, not {value!r}")
    return value


def _check(leaf: Leaf, value: Any) -> None:
    limits = leaf.limits
    if limits.choices and value not in limits.choices:
        raise SettingsError(f"'{leaf.name}' is {value!r}; it must be {limits}")
    if isinstance(value, float) and math.isnan(value):
        raise SettingsError(f"'{leaf.name}' is NaN; it must be a number in {limits}")
    low = limits.minimum is not None and value < limits.minimum
    high = limits.maximum is not None and value > limits.maximum
    if low or high:
        raise SettingsError(f"'{leaf.name}' is {value!r}; it must be in {limits}")
