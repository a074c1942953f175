"""`rosac bus` as people use it, on emulated servos: output, exit codes, files."""

import json
import shutil
import signal
import subprocess
import sys

import pytest
import serial
from helpers.bus_tools import HORNS, ROBOTS, assembled_hand
from helpers.in_process import rosac
from robot_bridge.dynamixel.tools import survey
from robot_bridge.dynamixel.units import Units
from robot_bridge.emulator import EmulatorProcess
from robot_bridge.robot import load_robot


@pytest.fixture
def hand():
    with EmulatorProcess(assembled_hand()) as emulator:
        yield emulator


@pytest.fixture
def robot_file(tmp_path):
    return shutil.copy(ROBOTS / "dclaw.yaml", tmp_path / "mine.yaml")


def bus(tool, emulator, *arguments, **options):
    return rosac("bus", tool, "--port", emulator.port, *arguments, **options)


def test_check_fix_and_the_exit_codes(hand, tmp_path):
    code, said, _ = bus("check", hand, "--json", tmp_path / "check.json")
    assert code == 1
    assert "10 of 10 servos read; problems: 6, notes: 1" in said
    found = json.loads((tmp_path / "check.json").read_text())
    assert len(found["servos"]) == 10
    assert found["servos"][9]["joint"] == "valve"
    assert {finding["severity"] for finding in found["findings"]} == {"warning", "note"}
    assert "return delay time" in {finding["what"] for finding in found["findings"]}
    code, said, _ = bus("check", hand, "--fix")
    assert code == 0
    assert "problems: 0, notes: 0" in said


def test_fix_leaves_a_servo_with_a_hardware_error_and_sets_up_the_others(hand):
    hand.fault("hardware_error", id=20, bit=5)
    code, said, _ = bus("check", hand, "--fix")
    assert code == 1
    assert "9 servos set up" in said
    assert "ERROR servo 20 (finger2_top): hardware error: overload" in said
    assert bus("reboot", hand)[0] == 0
    code, said, _ = bus("check", hand, "--fix")
    assert (code, "10 servos set up" in said) == (0, True)


def test_a_hot_servo_whose_error_comes_back_is_a_problem(hand):
    hand.fault("voltage", id=20, volts=5.0)
    code, said, _ = bus("reboot", hand, "--id", "20")
    assert code == 1
    assert "the hardware error of servo 20 came back at once" in said


def test_scan(hand, tmp_path):
    code, said, _ = bus("scan", hand, "--json", tmp_path / "scan.json")
    assert code == 0
    assert "50  valve" in said
    found = json.loads((tmp_path / "scan.json").read_text())["servos"]
    assert [servo["id"] for servo in found] == [10, 11, 12, 20, 21, 22, 30, 31, 32, 50]
    assert found[0]["registers"]["present_position"] == 1024 + HORNS[0]
    code, said, _ = bus("scan", hand, "--baud-rate", "115200")
    assert code == 1
    assert "no servo answers at 115200 baud" in said
    assert f"rosac bus scan --port {hand.port} --robot dclaw --baud-rate 115200 --all-baud-rates" in said


def test_rate(hand, tmp_path):
    bus("check", hand, "--fix")
    _, said, _ = bus("rate", hand, "--cycles", "50", "--json", tmp_path / "rate.json")  # the code is the machine's
    assert "latency timer of the adapter: none" in said
    found = json.loads((tmp_path / "rate.json").read_text())
    assert [rate["fast"] for rate in found["rates"]] == [False, True]
    for rate in found["rates"]:
        # At 1 Mbaud a byte takes 10 us: 24 ask ten servos, 64 are the goals, and the answers are ten of 31 or, in a
        # fast read, 8 and ten times 24.
        assert rate["parts"]["wire_s"] == pytest.approx(3.36e-3 if rate["fast"] else 3.98e-3)
        assert rate["hz"] < 1.0 / rate["parts"]["wire_s"]


def test_calibrate_finds_how_the_horns_are_mounted(hand, robot_file, tmp_path):
    before = robot_file.read_text()
    code, said, _ = bus("calibrate", hand, "--robot", robot_file, typed="\ny\n")
    assert code == 0
    robot = load_robot(robot_file)
    ticks = Units(robot).ticks([0.0] * 10)
    assert ticks.tolist() == [*(1024 * (1 + bool(i % 3)) + HORNS[i] for i in range(9)), 2048]
    (backup,) = tmp_path.glob("mine.yaml.*.bak")
    assert backup.read_text() == before
    assert before.count("#") == robot_file.read_text().count("#")
    code, said, _ = bus("calibrate", hand, "--robot", robot_file, "--yes")
    assert (code, "mine.yaml stays as it is" in said) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "message"),
    [
        (["--yes", "--dry-run"], "", 0, "nothing was written into"),
        ([], "\nn\n", 2, "nothing was written"),
        ([], "", 2, "give --yes once the robot stands in its pose"),
        (["--yes", "--pose", "2.5"], "", 2, "turn the horn"),
        (["--yes", "thumb"], "", 2, "there is no joint 'thumb'"),
    ],
)
def test_calibrate_without_a_yes_writes_nothing(hand, robot_file, tmp_path, arguments, typed, code, message):
    before = robot_file.read_text()
    found, said, errors = bus("calibrate", hand, "--robot", robot_file, *arguments, typed=typed)
    assert found == code
    assert message in said + errors
    assert robot_file.read_text() == before
    assert list(tmp_path.iterdir()) == [robot_file]


def test_servos_to_another_baud_rate_and_back_as_check_says(hand, monkeypatch):
    monkeypatch.setattr(survey, "RATES", (57_600, 1_000_000, 3_000_000))
    code, said, _ = bus("set-baud", hand, "--id", "10", "--id", "50", "--new-baud-rate", "3000000")
    assert code == 0
    assert said.count("answers at 3000000 baud now") == 2
    assert "the robot file says 1000000" in said
    code, said, _ = bus("check", hand)
    assert code == 1
    command = f"rosac bus set-baud --port {hand.port} --robot dclaw --baud-rate 3000000 --new-baud-rate 1000000"
    assert "ERROR servos 10, 50: baud rate: 3000000; should be 1000000" in said
    assert command in said
    assert rosac(*command.split()[1:])[0] == 0
    assert bus("check", hand, "--fix")[0] == 0


def test_what_is_refused(hand):
    for tool, arguments, code, message in (
        ("set-id", ["--id", "10", "--new-id", "11"], 2, "another servo already has id 11"),
        ("set-baud", ["--new-baud-rate", "4500000"], 2, "4500000 baud is not possible"),
        ("set-baud", ["--baud-rate", "57600", "--new-baud-rate", "1000000"], 2, "none of the robot's servos answers"),
        ("reboot", ["--id", "99"], 2, "servo 99 does not answer at 1000000 baud"),
        ("check", ["--robot", "nobody"], 2, "there is no robot file"),
    ):
        found, _, errors = bus(tool, hand, *arguments)
        assert (found, message in errors) == (code, True), (tool, found, errors)
    assert bus("reboot", hand) == (0, "no servo has a hardware error; --id restarts one all the same\n", "")


def test_a_port_that_is_not_there_is_in_use_or_is_no_port(hand, tmp_path):
    code, _, errors = rosac("bus", "scan", "--port", tmp_path / "ttyUSB0")
    assert (code, "there is no such device" in errors) == (1, True)
    code, _, errors = rosac("bus", "scan", "--port", "emulator")
    assert (code, "start `rosac emulate` in another terminal" in errors) == (2, True)
    with serial.Serial(hand.port, 1_000_000, exclusive=True):
        code, _, errors = bus("scan", hand)
    assert (code, "another process has it open (a bridge, or `rosac bus`)" in errors) == (1, True)


def test_a_cable_that_is_pulled_is_said(hand):
    hand.unplug()
    code, _, errors = bus("scan", hand)
    assert (code, "there is no such device" in errors) == (1, True)


def test_as_a_process(hand):
    command = [sys.executable, "-m", "sac_learner.cli", "bus", "check", "--port", hand.port]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (1, "")
    assert "10 of 10 servos read" in result.stdout


def test_ctrl_c_at_the_question_writes_nothing(hand, robot_file):
    before = robot_file.read_text()
    command = [sys.executable, "-u", "-m", "sac_learner.cli", "bus", "calibrate", "--port", hand.port]
    process = subprocess.Popen(
        [*command, "--robot", str(robot_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if "press Enter" in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (130, "")
    assert robot_file.read_text() == before
