"""docs/safety.md shows the table of causes as the code has it, and each limit is one of the robot file."""

import dataclasses
import re
from pathlib import Path

import pytest
from robot_bridge.causes import RULES
from robot_bridge.robot import RobotSettings

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "safety.md"


def test_the_page_shows_every_cause_with_its_reaction_and_limit():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `") and line.count("|") == 5]
    expected = [
        f"| `{cause}` | {rule.reaction.value} | {'none' if rule.limit == '-' else f'`{rule.limit}`'} | {rule.why} |"
        for cause, rule in RULES.items()
    ]
    assert rows == expected


def test_the_page_says_of_every_cause_what_brought_it_about_and_which_test_shows_it():
    rows = re.findall(r"^\| .* \| (`.*`) \| .* \| `(test_\w+\.py)` \|$", PAGE.read_text(), flags=re.MULTILINE)
    shown = {cause: name for causes, name in rows for cause in re.findall(r"`(\w+)`", causes)}
    assert set(shown) == set(RULES)
    for cause, name in shown.items():
        assert f'"{cause}"' in (ROOT / "tests" / "hardware" / name).read_text(), f"{name} does not name {cause}"


@pytest.mark.parametrize("cause", [cause for cause, rule in RULES.items() if rule.limit != "-"])
def test_every_limit_is_a_setting_of_the_robot_file(cause):
    blocks = {field.name: field.default_factory for field in dataclasses.fields(RobotSettings)}
    first, *others = RULES[cause].limit.split(", ")
    robot, block, name = first.split(".")
    assert robot == "robot"
    assert {name, *others} <= {field.name for field in dataclasses.fields(blocks[block])}
