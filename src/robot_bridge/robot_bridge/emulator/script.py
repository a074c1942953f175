"""A script of faults: what goes wrong on an emulated bus, and when. All that can be checked is, before it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from rosac_common.settings import SettingsError

from robot_bridge.emulator.faults import FaultError, check_id, checked_fault, checked_number

_EXAMPLE = "{at_s: 3.0, fault: lost, rate: 0.01}"


class Planned(NamedTuple):
    """A fault to come."""

    at_s: float  # from the start of the emulator
    kind: str
    values: Mapping[str, Any]


def load_script(path: Path, ids: Sequence[int]) -> list[Planned]:
    """A script of faults, by time: a YAML list of {at_s: 3.0, fault: lost, rate: 0.01}.

    Args:
        path: its file.
        ids: of the servos that there are.

    Raises:
        SettingsError: it cannot be read, is not such a list, or an entry is wrong; names the file and the entry.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the script {path}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(entries, list):
        raise SettingsError(f"{path}: expected a list of faults, such as '- {_EXAMPLE}'")
    script = []
    for number, entry in enumerate(entries, start=1):
        try:
            script.append(_planned(entry, ids))
        except FaultError as error:
            raise SettingsError(f"{path}: entry {number}, {entry}: {error}") from error
    return sorted(script, key=lambda planned: planned.at_s)


def _planned(entry: object, ids: Sequence[int]) -> Planned:
    missing = [name for name in ("at_s", "fault") if name not in entry] if isinstance(entry, dict) else []
    if missing or not isinstance(entry, dict):
        what = f"it lacks {' and '.join(missing)}" if missing else "it is no mapping"
        raise FaultError(f"{what}; give what happens and when, such as {_EXAMPLE}")
    values = {str(name): value for name, value in entry.items()}
    at_s = checked_number("at_s", values.pop("at_s"))
    if at_s < 0.0:
        raise FaultError(f"at_s is {at_s:g}, it must be 0 or more")
    kind = str(values.pop("fault"))
    given = checked_fault(kind, values)
    if "id" in given:
        check_id(given["id"], ids)
    return Planned(at_s, kind, given)
