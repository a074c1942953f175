"""The command `rosac` in the process of the test, where what it imports is there already."""

import contextlib
import io
import os
import sys

from sac_learner.cli import main


def rosac(*arguments, typed=""):
    """(exit code, output, errors); without `typed`, nobody is at the keyboard. What it sets for its own nodes is not
    there for those of the test."""
    output, errors, environment = io.StringIO(), io.StringIO(), dict(os.environ)
    keyboard, sys.stdin = sys.stdin, io.StringIO(typed)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = main([str(argument) for argument in arguments])
    except SystemExit as end:  # argparse
        code = end.code
    finally:
        sys.stdin = keyboard
        os.environ.clear()
        os.environ.update(environment)
    return code, output.getvalue(), errors.getvalue()
