"""`rosac emulate` as people use it: started, asked, given a fault, ended with Ctrl-C."""

import os
import re
import signal
import subprocess
import sys

import dynamixel_sdk
import pytest
from helpers import in_process
from helpers.graph import children
from helpers.patience import until


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "sac_learner.cli", "emulate", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(process, text):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"'{text}' never came:\n{''.join(lines)}")


def ask(process, line, until):
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return "".join(read_until(process, until))


def test_it_serves_a_port_obeys_what_is_typed_and_ends_with_ctrl_c(tmp_path):
    link = tmp_path / "port"
    process = start("dclaw", "--port-link", link, "--baud-rate", 57600)
    try:
        said = "".join(read_until(process, "Type a fault"))
        assert f"10 servos of dclaw on {link} at 57600 baud" in said
        assert f"rosac train dclaw_valve backend:=dynamixel port:={link}" in said
        port = dynamixel_sdk.PortHandler(str(link))
        assert port.openPort() and port.setBaudRate(57_600)
        handler = dynamixel_sdk.PacketHandler(2.0)
        until(lambda: handler.ping(port, 20)[1] == dynamixel_sdk.COMM_SUCCESS, "servo 20 answers")
        assert "silent: done" in ask(process, "silent id=20", "silent")
        assert handler.ping(port, 20)[1] == dynamixel_sdk.COMM_RX_TIMEOUT
        port.closePort()
        assert "it must be in 0 .. 1" in ask(process, "lost rate=2", "lost")
        assert "unplug" in ask(process, "help", "clear")
        assert "temperature: done" in ask(process, "stale_encoder id=10\ntemperature id=11 celsius=40", "temperature")
        status = ask(process, "status", "instructions")
        assert "faults: silent 1" in status
        assert all(head in status for head in ("at [rad]", "goal [rad]", "[C]", "[V]", "watchdog"))
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
        assert not link.is_symlink()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {at_s: 3, fault: silent, id: 99}", "faults.yaml: entry 1, .*: no servo has id 99; there are \\[10, 11"),
        ("- {at_s: x, fault: clear}", "faults.yaml: entry 1, .*: at_s is 'x', it must be a finite number"),
        ("- {at_s: 3", "faults.yaml is not valid YAML"),
    ],
)
def test_a_wrong_script_is_refused_before_anything_starts(tmp_path, text, message):
    script = tmp_path / "faults.yaml"
    script.write_text(text)
    code, said, complained = in_process.rosac("emulate", "dclaw", "--script", script)
    assert (code, said) == (2, "")
    assert re.search(message, complained)
    assert "Traceback" not in complained


def test_a_seed_below_0_is_refused():
    code, _, complained = in_process.rosac("emulate", "dclaw", "--seed", "-1")
    assert code == 2
    assert "--seed: -1: must be a whole number, at least 0" in complained


def test_an_emulator_that_ends_by_itself_is_told_with_its_last_words(tmp_path):
    process = start("dclaw", "--port-link", tmp_path / "port")
    try:
        read_until(process, "Type a fault")
        ((pid, _),) = children(process.pid)
        os.kill(pid, signal.SIGKILL)
        read_until(process, "the emulator has ended: (exit code -9)")
        assert process.wait() == 1
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("robot", "message"), [("nobody", "or one of: "), ("nowhere.yaml", "no robot file nowhere.yaml")]
)
def test_an_unknown_robot_is_refused(robot, message):
    process = start(robot)
    said, _ = process.communicate()
    assert process.returncode == 2
    assert message in said
