"""Results as JSON, for people and scripts."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from rosac_common.folders import folder_problem, is_allowed


class JsonFileError(OSError):
    """A result cannot be written. The message names path, cause and remedy."""


def json_path(text: str) -> Path:
    """Value of an option `--json`: a file that can be written, or its folders be made, as found out before the work.

    Raises:
        ArgumentTypeError: it cannot.
    """
    try:
        problem = _problem(Path(text))
    except OSError as error:
        problem = str(error.strerror)
    if problem:
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {problem}; choose another file, or mend that")
    return Path(text)


def write_json(path: Path, document: Any) -> None:
    """Write it, with the folders; not by a rename, so that the path may be a device such as /dev/stdout.

    Raises:
        JsonFileError: it cannot be written, or holds a number that JSON has not: NaN or infinite.
    """
    try:
        text = json.dumps(document, indent=2, allow_nan=False)
    except ValueError as error:
        raise JsonFileError(f"cannot write {path}: {error}") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise JsonFileError(
            f"cannot write {path}: {error.strerror}; make room and allow writing there, or choose another file"
        ) from error


def _problem(path: Path) -> str:
    """Why a file cannot be written; empty when it can. Where it exists, its folder does not matter."""
    if path.is_dir():
        return "it is a directory"
    if path.exists():
        return "" if is_allowed(path, os.W_OK) else "no right to write into it"
    # A link that leads nowhere yet is made where it leads to.
    return folder_problem(Path(os.path.realpath(path)).parent)
