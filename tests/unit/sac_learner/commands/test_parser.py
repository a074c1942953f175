"""Options have one name."""

import pytest
from helpers import in_process


@pytest.mark.parametrize(
    "command",
    [
        ("gym", "Pendulumm-v1", "--steps", "5", "--see", "3"),
        ("train", "no-stack", "--episode", "3"),
        ("eval", "no-run", "--untrain"),
        ("plot", "no-run", "--runs", "no-runs", "--run", "no-runs"),
        ("list", "--run", "no-runs"),
        ("emulate", "no-robot", "--see", "3"),
        ("bus", "scan", "--port", "/dev/none", "--all"),
        ("stop", "--timeout-s", "0.1", "--rel"),
        ("safety", "--timeout-s", "0.1", "--name", "hand"),
    ],
    ids=" ".join,
)
def test_a_shortened_option_is_refused(command):
    code, _, complained = in_process.rosac(*command)
    assert code == 2
    shortened = next(word for word in reversed(command) if word.startswith("--"))
    assert f"unrecognized arguments: {shortened}" in complained
