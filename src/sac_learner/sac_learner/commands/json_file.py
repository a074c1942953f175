"""Results as JSON, for people and scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, document: Any) -> None:
    """Write it; not by a rename, so that the path may be a device such as /dev/stdout."""
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
