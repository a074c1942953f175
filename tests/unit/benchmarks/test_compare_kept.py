"""The comparisons: which finished runs count, and what becomes of those that do not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from sac_learner.graph.modes import mode_parameters

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
VALVE, WALK = "rosac/DClawTurn-v0", "rosac/MinitaurWalk-v0"


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    torch.set_num_threads(1)


@pytest.fixture
def algorithms():
    """Those of the valve, by name; computed uncompiled, which is ready sooner and no other run."""
    import compare_valve

    found = compare_valve.VALVE.algorithms
    quick = {"sac.gradients": "derived"}
    return {
        k: dataclasses.replace(each, changes={**each.changes, **(quick if each.own else {})})
        for k, each in found.items()
    }


@pytest.fixture
def plan(tmp_path):
    import compare_kept

    return compare_kept.Plan(VALVE, tmp_path / "here", points=2, episodes=1, final_episodes=2, steps=60)


def kept(plan, algorithm, /, **changes):
    """A finished run of seed 1 with what differs, written where it belongs."""
    made = {
        "algorithm": algorithm.name,
        "seed": 1,
        "environment": plan.environment,
        "steps": [30, 60],
        "evaluation_episodes": plan.episodes,
        "final_evaluation_episodes": plan.final_episodes,
        "settings": {**mode_parameters(algorithm.mode), "sac.products": "float32", **algorithm.changes},
        **changes,
    }
    path = plan.result_path(algorithm, 1)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(made))
    return made


def test_a_published_run_is_not_computed_again(plan, algorithms, tmp_path):
    import compare_kept

    algorithm = algorithms["sac"]
    (tmp_path / "published").mkdir()
    plan = dataclasses.replace(plan, published=tmp_path / "published")
    made = kept(plan, algorithm)
    compare_kept.publish(plan, algorithm, 1, made)
    elsewhere = dataclasses.replace(plan, directory=tmp_path / "elsewhere")
    assert compare_kept.finished(elsewhere, algorithm, 1) == made
    assert compare_kept.finished(dataclasses.replace(elsewhere, published=None), algorithm, 1) is None
    assert compare_kept.finished(dataclasses.replace(elsewhere, steps=61), algorithm, 1) is None


@pytest.mark.parametrize(
    ("name", "setting", "value", "counts"),
    [
        ("sac", "sac.target_entropy_per_action", -0.5, False),
        ("sac", "sac.target_relabelling", None, True),  # of before there was such a setting
        ("efficient", "sac.target_relabelling", None, False),  # its default is not what the mode has
        ("sac", "sac.gradients", "plain", True),
        ("efficient", "sac.products", "bfloat16", False),  # not in the mode's file
        ("efficient", "sac.products", None, True),
        ("efficient_bfloat16", "sac.products", "float32", False),
        ("sac", "pacing.band_steps", 21, False),
        ("sac", "sac.that_was", 1, False),
    ],
)
def test_a_run_of_settings_that_were_changed_since_does_not_count(plan, algorithms, name, setting, value, counts):
    import compare_kept

    algorithm, lines = algorithms[name], []
    settings = kept(plan, algorithm)["settings"]
    settings.pop(setting, None)
    made = kept(plan, algorithm, settings=settings if value is None else {**settings, setting: value})
    assert (compare_kept.finished(plan, algorithm, 1, lines.append) == made) is counts
    assert counts or (len(lines) == 1 and f"{name}_1.json does not count: {setting} is " in lines[0])


def test_products_chosen_by_the_computer_are_those_that_a_run_says(plan, algorithms):
    import compare_kept

    algorithm = dataclasses.replace(algorithms["sac"], changes={"sac.products": "auto"})
    for products in ("float32", "bfloat16"):
        settings = {**mode_parameters("sac"), "sac.products": products}
        assert kept(plan, algorithm, settings=settings) == compare_kept.finished(plan, algorithm, 1)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"environment": "Hopper-v5"}, False),
        ({"algorithm": "sac_fixed_0.2"}, False),
        ({"seed": 2}, False),
        ({"evaluation_episodes": 0}, False),
        ({"final_evaluation_episodes": 1}, False),
        ({"evaluation_episodes": 3, "final_evaluation_episodes": 3}, True),
    ],
)
def test_a_run_counts_only_as_what_it_is(plan, algorithms, changes, counts):
    import compare_kept

    made = kept(plan, algorithms["sac"], **changes)
    assert (compare_kept.finished(plan, algorithms["sac"], 1) == made) is counts


def test_a_run_of_other_settings_is_missing_and_the_others_are_made(plan, algorithms):
    import compare_runs

    algorithm, lines = algorithms["sac"], []
    before = dataclasses.replace(algorithm, changes={"sac.reward_scale": 2.0})
    assert compare_runs.obtained(plan, before, 1, lines.append)["steps"] == [30, 60]
    lines.clear()
    assert compare_runs.obtained(plan, algorithm, 1, lines.append) is None
    assert lines[0].endswith("sac_1.json does not count: sac.reward_scale is 2.0 there and 1.0 here")
    folder = plan.directory / "sac_1"
    assert lines[1] == (
        f"sac seed 1 is missing: {folder} holds another run: sac.reward_scale is 2.0 there and 1.0 here. Give another "
        f"--directory, or remove {folder} and sac_1.json beside it to begin anew"
    )
    assert compare_runs.obtained(plan, algorithm, 2, lines.append) is not None


def test_a_run_is_not_gone_on_with_in_other_products(plan, algorithms):
    """What is resumed may have others; then all of it would count as of the newest."""
    import compare_runs

    rounded = dataclasses.replace(algorithms["efficient_bfloat16"], name="efficient")
    assert compare_runs.obtained(plan, rounded, 1, lambda line: None)
    plan.result_path(rounded, 1).unlink()
    lines = []
    assert compare_runs.obtained(plan, algorithms["efficient"], 1, lines.append) is None
    assert "sac.products is bfloat16 there and float32 here" in lines[0]


@pytest.mark.parametrize("name", ["sac", "ddpg"])
def test_two_comparisons_in_one_directory_keep_apart(plan, algorithms, name):
    import compare_runs

    made = compare_runs.obtained(plan, algorithms[name], 1, lambda line: None)
    walking = dataclasses.replace(plan, environment=WALK)
    for _ in ("finished", "unfinished"):
        lines = []
        assert compare_runs.obtained(walking, algorithms[name], 1, lines.append) is None
        assert f"environment is {VALVE} there and {WALK} here. Give another --directory" in lines[-1]
        plan.result_path(algorithms[name], 1).unlink(missing_ok=True)
    assert compare_runs.obtained(plan, algorithms[name], 1, lambda line: None)["steps"] == made["steps"]


def test_a_finished_run_of_another_environment_is_not_written_over(plan, algorithms):
    import compare_runs

    made, lines = kept(plan, algorithms["sac"], environment=WALK), []
    assert compare_runs.obtained(plan, algorithms["sac"], 1, lines.append) is None
    assert json.loads(plan.result_path(algorithms["sac"], 1).read_text()) == made


@pytest.mark.parametrize("name", ["sac", "ddpg"])
def test_evaluations_have_the_episodes_that_they_were_made_with(plan, algorithms, name):
    import compare_runs

    assert compare_runs.obtained(plan, algorithms[name], 1, lambda line: None)
    better, lines = dataclasses.replace(plan, episodes=2), []
    assert compare_runs.obtained(better, algorithms[name], 1, lines.append) is None
    assert "episodes of an evaluation: 1 there, fewer than the 2 asked for" in lines[-1]
    assert json.loads(plan.result_path(algorithms[name], 1).read_text())["evaluation_episodes"] == 1


def test_the_wall_time_of_a_run_whose_beginning_was_not_timed_is_not_known(plan, algorithms):
    import compare_runs

    algorithm = algorithms["sac"]
    assert compare_runs.compute(plan, algorithm, 1, lambda line: None)["wall_time_s"] > 0.0
    assert compare_runs.compute(plan, algorithm, 1, lambda line: None)["wall_time_s"] > 0.0
    (plan.work_path(algorithm, 1) / "wall_time_s").unlink()
    assert compare_runs.compute(plan, algorithm, 1, lambda line: None)["wall_time_s"] is None


def test_nothing_is_computed_for_a_table_alone(plan, algorithms):
    import compare_runs

    lines = []
    assert compare_runs.obtained(plan, algorithms["sac"], 1, lines.append, table_only=True) is None
    assert not lines and not plan.directory.exists()
