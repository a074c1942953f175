"""Whether something can be made in a folder, as found out before the work."""

from __future__ import annotations

import os
from pathlib import Path


def is_allowed(path: Path, mode: int) -> bool:
    """Whether this process may do that (os.W_OK, ...), by its effective rights where the system tells."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def folder_problem(folder: Path) -> str:
    """Why nothing can be made in a folder, which need not exist yet; empty when it can."""
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
    except OSError as error:  # one that may not be searched, or a name that is too long
        return str(error.strerror)
    if not folder.is_dir():
        return f"{folder} is no directory"
    return "" if is_allowed(folder, os.W_OK | os.X_OK) else f"no right to write into {folder}"
