"""What a tool has to say about a bus: how bad it is, whom it is about, what is wrong, and what to do."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable


class Severity(enum.StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # the robot cannot be used, or must not be
    WARNING = "warning"  # it can, but slowly, weakly, or not for long
    NOTE = "note"  # nothing to do


class RefusedError(RuntimeError):
    """What was asked for would do harm, or makes no sense; nothing has been changed. The message names the remedy."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    severity: Severity
    who: str  # servo, port or computer
    what: str
    value: str
    limit: str  # what it should be
    remedy: str  # the command or setting that mends it
    identifier: int | None = None  # of the servo

    @property
    def is_problem(self) -> bool:
        """Whether something has to be done."""
        return self.severity is not Severity.NOTE

    def __str__(self) -> str:
        return f"{self.severity.upper()} {self.who}: {self.what}: {self.value}; should be {self.limit}"


def grouped(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for all servos of which the same is to be said."""
    groups: dict[Finding, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(dataclasses.replace(finding, who="", identifier=None), []).append(finding)
    result = []
    for common, members in groups.items():
        ids = [str(member.identifier) for member in members]
        result.append(members[0] if len(members) == 1 else dataclasses.replace(common, who=f"servos {', '.join(ids)}"))
    return result


@dataclasses.dataclass(frozen=True)
class Commands:
    """Writes commands that can be copied.

    Args:
        options: what every one of them needs to reach the bus, such as "--port /dev/ttyUSB0 --robot dclaw".
    """

    options: str

    def __call__(self, name: str, rest: str = "") -> str:
        return f"`rosac bus {name} {self.options}{f' {rest}' if rest else ''}`"
