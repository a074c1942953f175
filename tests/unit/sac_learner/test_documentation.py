"""The table of settings in docs/sac.md says what the code does."""

import re
from pathlib import Path

import yaml
from rosac_common.settings import leaves, load_parameter_file
from sac_learner.settings import LearnerNodeSettings

ROOT = Path(__file__).parents[3]
DEFAULTS = {leaf.name: leaf.default for leaf in leaves(LearnerNodeSettings)}


def test_defaults_in_the_documentation_are_those_of_the_code():
    rows = dict(
        re.findall(r"^\| `((?:sac|pacing)\.\w+)` \| (.+?) \|", (ROOT / "docs/sac.md").read_text(), re.MULTILINE)
    )
    assert rows == {name: str(DEFAULTS[name]) for name in rows}
    assert set(rows) == {name for name in DEFAULTS if name.startswith(("sac.", "pacing."))}


def test_mode_sac_is_what_the_defaults_are():
    values = load_parameter_file(ROOT / "config/learner/sac.yaml")["/**"]
    assert values.pop("sac.gradients") == "compiled"  # the same but for rounding
    assert values == {name: DEFAULTS[name] for name in values}


def test_the_section_on_mode_efficient_tells_each_difference_from_mode_sac_as_it_is():
    section = (ROOT / "docs/sac.md").read_text().split("### Mode efficient\n")[1].split("\n## ")[0]
    said = {}
    for cell in re.findall(r"^\| (.+?) \|", section, re.MULTILINE):
        for code in re.findall(r"`(.+?)`", cell):
            name, _, value = code.partition(": ")
            said[name] = yaml.safe_load(value or "true")  # a name alone: it is switched on
    efficient, paper = (
        load_parameter_file(ROOT / f"config/learner/{mode}.yaml")["/**"] for mode in ("efficient", "sac")
    )
    differing = {name: value for name, value in efficient.items() if {**DEFAULTS, **paper}[name] != value}
    assert said == {name.removeprefix("sac."): value for name, value in differing.items()}


def test_every_mode_has_only_known_settings():
    paths = sorted((ROOT / "config/learner").glob("*.yaml"))
    assert {"sac", "sac_fixed_temperature"} <= {path.stem for path in paths}
    for path in paths:
        assert set(load_parameter_file(path)["/**"]) <= set(DEFAULTS)


def test_every_number_names_its_source():
    for leaf in leaves(LearnerNodeSettings):
        if leaf.type in (int, float) and leaf.name != "total_steps":
            assert "Source: " in leaf.doc, leaf.name
