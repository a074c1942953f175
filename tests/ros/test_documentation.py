"""Every command in the documentation works: ```bash blocks are run here, ```sh blocks say what they need instead."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rosac_common.environment import ros_environment

pytestmark = pytest.mark.ros

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
# `make test` is what runs this; `make train` is checked below and its recipe is run by the learning gate.
RUN_ELSEWHERE = ("make ",)
# The longest page takes 2 minutes on 2 cores.
LONGEST_S = 600.0


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")], ids=lambda page: page.name)
def test_commands_of_the_page_run(page: Path, tmp_path: Path) -> None:
    for name in ("config", "docs", "benchmarks"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    lines = ["set -ex"]
    for block in blocks(page, "bash"):
        lines += [line for line in block.splitlines() if not line.startswith(RUN_ELSEWHERE)]
    said = tmp_path / "output"
    with said.open("wb") as output:  # not a pipe, which what a failed command has left in the background holds open
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join(lines)],
            cwd=tmp_path,
            env=ros_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = shell.wait(LONGEST_S)
        with contextlib.suppress(ProcessLookupError):  # as a rule nothing is left
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    assert code == 0, said.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_not_run_say_what_they_need(page: Path) -> None:
    for block in blocks(page, "sh"):
        assert block.startswith("# needs "), (
            f"{page.name}: say what this block needs, or make it a bash block:\n{block}"
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_train_passes_its_variables_on() -> None:
    command = ["make", "-n", "train", "STACK=dclaw_valve", "STEPS=7", "SEED=3", "RUN=first", f"PYTHON={sys.executable}"]
    printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert re.search(r"bin/rosac train dclaw_valve steps:=7 seed:=3 run:=first", printed)
