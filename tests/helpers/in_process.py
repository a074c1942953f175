"""The command `rosac` in the process of the test, where what it imports is there already."""

import contextlib
import io
import sys

from sac_learner.cli import main


def rosac(*arguments, typed=""):
    """(exit code, output, errors); without `typed`, nobody is at the keyboard."""
    output, errors = io.StringIO(), io.StringIO()
    keyboard, sys.stdin = sys.stdin, io.StringIO(typed)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = main([str(argument) for argument in arguments])
    except SystemExit as end:  # argparse
        code = end.code
    finally:
        sys.stdin = keyboard
    return code, output.getvalue(), errors.getvalue()
