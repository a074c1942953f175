"""docs/safety.md shows the table of causes as the code has it."""

from pathlib import Path

from robot_bridge.causes import RULES

PAGE = Path(__file__).parents[3] / "docs" / "safety.md"


def test_the_page_shows_every_cause_with_its_reaction_and_limit():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `") and line.count("|") == 5]
    expected = [
        f"| `{cause}` | {rule.reaction.value} | {'none' if rule.limit == '-' else f'`{rule.limit}`'} | {rule.why} |"
        for cause, rule in RULES.items()
    ]
    assert rows == expected
