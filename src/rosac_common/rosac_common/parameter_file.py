"""Parameter files as ROS 2 reads them. No ROS here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

# What stays without quotes: can be nothing but a text to rcl's parser, which tries truth values and numbers first.
_PLAIN = re.compile(r"[A-Za-z_/][\w/.*-]*")
# Truth values of YAML 1.1, of which PyYAML takes y and n for texts, and numbers of strtod (rcl_yaml_param_parser).
_NOT_PLAIN = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "infinity", "nan"})


class _Dumper(yaml.SafeDumper):
    """Quotes what ROS 2 would not read as a text."""


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _NOT_PLAIN
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def parameter_text(content: Mapping[str, Any]) -> str:
    """A parameter file, in the order of the mapping: node pattern -> {"ros__parameters": name -> value}."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False)
