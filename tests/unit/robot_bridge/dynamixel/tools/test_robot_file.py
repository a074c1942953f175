"""Offsets in a robot file: only the numbers change."""

import dataclasses
from pathlib import Path

import pytest
from robot_bridge.dynamixel.tools.calibration import rewrite
from robot_bridge.dynamixel.tools.findings import RefusedError
from robot_bridge.dynamixel.tools.robot_file import replace_lists
from robot_bridge.robot import load_robot

ROBOTS = Path(__file__).parents[5] / "config" / "robots"
TEXT = """# head
/**:
  ros__parameters:
    robot:
      name: x  # position_offset_rad: [9]
      position_offset_rad: [1.0,   -2.50,  # first
                            3e0]   # last
      other: {position_offset_rad: [1.0, 2.0, 3.0]}
# end"""


def test_only_changed_numbers_are_written():
    assert replace_lists(TEXT, {"robot.position_offset_rad": [1.0, -2.25, 3.0]}) == TEXT.replace("-2.50", "-2.25")
    assert replace_lists(TEXT, {"robot.position_offset_rad": [1.0, -2.5, 3.0]}) == TEXT


@pytest.mark.parametrize("name", ["dclaw", "legs"])
def test_a_real_robot_file_keeps_everything_else(name, tmp_path):
    text = (ROBOTS / f"{name}.yaml").read_text()
    robot = load_robot(ROBOTS / f"{name}.yaml")
    own = [value + 0.001 * i for i, value in enumerate(robot.position_offset_rad)]
    auxiliary = [value - 0.5 for value in robot.auxiliary_position_offset_rad]
    changed = dataclasses.replace(robot, position_offset_rad=own, auxiliary_position_offset_rad=auxiliary)
    new = rewrite(text, changed)
    path = tmp_path / "robot.yaml"
    path.write_text(new)
    assert load_robot(path) == changed
    differing = [(a, b) for a, b in zip(text.splitlines(), new.splitlines(), strict=True) if a != b]
    assert 1 <= len(differing) <= 4
    assert [line for line in new.splitlines() if "#" in line] == [line for line in text.splitlines() if "#" in line]


@pytest.mark.parametrize("pattern", ["/**:", "'/**':", "/a/bridge:"])
def test_any_node_pattern(pattern):
    text = TEXT.replace("/**:", pattern)
    assert replace_lists(text, {"robot.position_offset_rad": [1.0, 0.5, 3.0]}) == text.replace("-2.50", "0.5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("position_offset_rad: [1.0,  ", "offsets: [1.0,  "), "no list 'robot.position_offset_rad'"),
        (TEXT.replace("3e0", "3e0, 4"), "with 3 values"),
        ("x: &a [1.0, 2.0, 3.0]\n/**: {ros__parameters: {robot: {position_offset_rad: *a}}}", "of its own"),
        ("a: [1", "no YAML"),
    ],
)
def test_files_that_cannot_be_changed_are_refused(text, message):
    with pytest.raises(RefusedError, match=message):
        replace_lists(text, {"robot.position_offset_rad": [1.0, 2.0, 4.0]})
