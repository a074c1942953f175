"""Files that the documentation names are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = ("benchmarks", "config", "docs", "launch", "ros2_ws/src", "scripts", "src", "tests")
FILES = {f"/{path.relative_to(ROOT)}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")}
FILES |= {f"/{path.name}" for path in ROOT.iterdir()}
# Of other projects (bullet3, ROBEL), and of a run or of what a reader writes.
ELSEWHERE = {"minitaur_extended_env.py", "dclaw/scripted_reset.py", "config.yaml", "params.yaml"}


def named_files(page: Path) -> set[str]:
    """What stands in backticks outside blocks of code and looks like a file of ours: no spaces, no place-holders."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([\w./-]+\.(?:py|yaml|md))`", text)) - ELSEWHERE


def missing(names: set[str]) -> set[str]:
    return {name for name in names if not any(path.endswith(f"/{name}") for path in FILES)}


def test_a_path_is_looked_for_from_its_end():
    assert "/src/sac_learner/sac_learner/graph/stacks.py" in FILES
    assert missing({"sac_learner/graph/stacks.py", "stacks.py", "sac_learner/stacks.py"}) == {"sac_learner/stacks.py"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_the_page_names_is_there(page):
    assert missing(named_files(page)) == set()


def test_there_is_something_to_look_for():
    assert sum(len(named_files(page)) for page in PAGES) > 20
