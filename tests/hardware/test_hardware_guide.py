"""docs/hardware.md shows what the tools print: every command of its consoles is run on emulated servos and compared."""

import contextlib
import difflib
import re
import shutil
from pathlib import Path

import pytest
from helpers.bus_tools import ROBOTS, assembled_hand, one_new_servo
from helpers.in_process import rosac
from robot_bridge.emulator import EmulatorProcess
from robot_bridge.emulator.faults import parse_fault
from robot_bridge.robot import load_robot

REPOSITORY = Path(__file__).parents[2]
CONSOLE = re.compile(r"^<!-- shown with: (.*?) -->\n```console\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


def consoles(text):
    """(robot, {option: value}, [(command, shown output)]) of each console of the page."""
    for match in CONSOLE.finditer(text):
        robot, *options = match[1].split("; ")
        parts = re.split(r"^\$ (.*)\n", match[2], flags=re.MULTILINE)[1:]
        yield robot, dict(option.split(": ") for option in options), list(zip(parts[::2], parts[1::2], strict=True))


class Bench:
    """The robots of the page, each started when it is first spoken of, in a directory with the files of the page."""

    def __init__(self, directory):
        self._directory = directory
        self._emulators = {}
        (directory / "config" / "robots").mkdir(parents=True)
        for path in ROBOTS.glob("*.yaml"):
            shutil.copy(path, directory / "config" / "robots")

    def emulator(self, robot):
        if robot not in self._emulators:
            make = {
                "a new servo": lambda: EmulatorProcess(one_new_servo(), baud_rate=57_600),
                "the hand": lambda: EmulatorProcess(assembled_hand()),
                "the legs": lambda: EmulatorProcess(load_robot(ROBOTS / "legs.yaml")),
            }
            self._emulators[robot] = make[robot]()
        return self._emulators[robot]

    def run(self, robot, command, typed):
        """What it prints, with the port and the directory of the page."""
        device = re.search(r"/dev/ttyUSB\d", command)
        port = self.emulator(robot).port
        command = re.sub(r"/dev/ttyUSB\d", port, command)
        program, *arguments = command.split()
        if program == "cp":
            shutil.copy(*(self._directory / name for name in arguments))
            return ""
        with contextlib.chdir(self._directory):
            code, said, errors = rosac(*arguments, typed=typed)
        assert (code in (0, 1), errors) == (True, ""), (command, code, said, errors)
        said = said.replace(f"{self._directory}/", "")
        return said.replace(port, device[0]) if device else said

    def close(self):
        for emulator in self._emulators.values():
            emulator.close()


@pytest.fixture(scope="module")
def page_and_output(tmp_path_factory):
    """[(command, shown, printed)] of the whole page, in its order."""
    bench = Bench(tmp_path_factory.mktemp("guide"))
    result = []
    try:
        for robot, options, commands in consoles((REPOSITORY / "docs" / "hardware.md").read_text()):
            if "fault" in options:
                kind, values = parse_fault(options["fault"])
                bench.emulator(robot).fault(kind, **values)
            typed = "".join({"Enter": "\n"}.get(word, f"{word}\n") for word in options.get("typed", "").split(", "))
            for command, shown in commands:
                result.append((command, shown, bench.run(robot, command, typed if "calibrate" in command else "")))
    finally:
        bench.close()
    return result


def comparable(text):
    """Without what differs from run to run: digits, how wide columns are, and advice about this computer's speed."""
    lines = [re.sub(r"\d+", "0", line).split() for line in text.splitlines() if not line.startswith("- ")]
    return [" ".join(words) for words in lines if words]


def test_the_page_shows_what_the_tools_print(page_and_output):
    assert len(page_and_output) >= 10
    for command, shown, printed in page_and_output:
        difference = "\n".join(difflib.unified_diff(comparable(shown), comparable(printed), "page", "printed", n=0))
        assert not difference, f"$ {command}\n{difference}\n\nPut this into docs/hardware.md:\n{printed}"


def test_every_tool_is_on_the_page(page_and_output):
    shown = {command.split()[2] for command, _, _ in page_and_output if command.startswith("rosac bus ")}
    assert shown == {"scan", "check", "rate", "calibrate", "reboot", "set-id", "set-baud"}
