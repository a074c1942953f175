"""docs/emulator.md says what the code does."""

import re
from pathlib import Path

from robot_bridge.emulator.faults import FAULTS
from robot_bridge.emulator.script import load_script

PAGE = (Path(__file__).parents[4] / "docs" / "emulator.md").read_text()


def test_the_table_of_faults_is_complete():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, flags=re.MULTILINE)
    assert {kind: re.findall(r"`(\w+)`", values) for kind, values in rows} == {k: [*v] for k, v in FAULTS.items()}


def test_the_script_is_one(tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "script.yaml").write_text(block)
    script = load_script(tmp_path / "script.yaml", [20])
    assert script[0] == (10.0, "lost", {"rate": 0.001})
    assert [kind for _, kind, _ in script] == ["lost", "silent", "clear", "unplug", "replug"]
