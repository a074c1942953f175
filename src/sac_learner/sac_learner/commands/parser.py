"""The command lines of `rosac`. Imports nothing else: somebody who stops a robot must not wait."""

from __future__ import annotations

import argparse
from typing import Any


class Parser(argparse.ArgumentParser):
    """Takes options by their whole name only; so do its subcommands.

    A shortened one would become another option, or none, when one with the same beginning is added.
    """

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **keywords})
