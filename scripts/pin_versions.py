#!/usr/bin/env python3
"""Writes constraints.txt from the environments of both distributions: pin_versions.py .venv .venv-kilted

To move to newer versions: make the two environments without constraints, install requirements-benchmarks.txt in both,
run the tests in both, then this.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
HEADER = """\
# Every version, for `make setup`. A line that ends in "# jazzy" or "# kilted" counts for that distribution only.
# Made by scripts/pin_versions.py from two environments that passed the tests.
"""
NOT_PINNED = ("pip", "wheel")
ONLY_CUDA = ("nvidia-", "cuda-", "triton")  # wanted by torch's CUDA build alone: kept as they are where not installed


def installed(venv: Path) -> dict[str, str]:
    """Maps the normalised names of the packages that pip installed to their versions."""
    versions = {}
    for path in venv.glob("lib/python3*/site-packages/*.dist-info/METADATA"):
        text = path.read_text(errors="replace")
        name, version = (re.search(rf"^{field}: (\S+)", text, re.M)[1] for field in ("Name", "Version"))
        versions[re.sub(r"[-_.]+", "-", name).lower()] = version.partition("+")[0]
    return versions


def check_benchmarks(versions: dict[str, str], venv: str) -> None:
    """Stops where the peers of the benchmarks are missing: `make setup` leaves them out; their pins would be lost."""
    wanted = (ROOT / "requirements-benchmarks.txt").read_text().splitlines()
    if missing := [name for name in wanted if not name.startswith("#") and name not in versions]:
        command = f"{venv}/bin/python -m pip install -r requirements-benchmarks.txt"
        raise SystemExit(f"pin_versions: {venv} lacks {', '.join(missing)}: {command}")


def main() -> None:
    jazzy, kilted = (installed(Path(argument)) for argument in sys.argv[1:3])
    for versions, venv in zip((jazzy, kilted), sys.argv[1:3], strict=True):
        check_benchmarks(versions, venv)
    kept = dict(line.split("==") for line in CONSTRAINTS.read_text().split() if line.startswith(ONLY_CUDA))
    lines = []
    for name in sorted({*kept, *jazzy, *kilted} - {*NOT_PINNED}):
        versions = [jazzy.get(name), kilted.get(name)]
        if versions == [None, None]:
            lines.append(f"{name}=={kept[name]}")
        elif versions[0] == versions[1]:
            lines.append(f"{name}=={versions[0]}")
        else:
            pairs = zip(versions, ("jazzy", "kilted"), strict=True)
            lines += [f"{name}=={version}  # {distribution}" for version, distribution in pairs if version]
    CONSTRAINTS.write_text(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
