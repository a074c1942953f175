"""The comparisons: what is computed, kept and resumed, and what their tables say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
HOUR_S = 3600.0


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    torch.set_num_threads(1)


def run(name, seed, success, *, step_h=1.0):
    count = len(success)
    return {
        "algorithm": name,
        "seed": seed,
        "source": f"of {name}",
        "commit": "abc",
        "steps": [100 * (i + 1) for i in range(count)],
        "success_rate": success,
        "return_mean": [0.0] * count,
        "robot_time_s": [HOUR_S * step_h * (i + 1) for i in range(count)],
        "wall_time_s": HOUR_S,
    }


def test_the_mean_over_seeds_says_when_a_level_is_reached():
    import compare_report

    made = compare_report.summary("sac", [run("sac", 0, [0.2, 0.7, 1.0]), run("sac", 1, [0.0, 0.3, 0.8])])
    assert made["first_at_0.6"] == {"steps": 300, "robot_h": 3.0, "seeds": 2}
    assert made["first_at_0.9"] == {"steps": 300, "robot_h": 3.0, "seeds": 1}
    assert made["final_success"] == [1.0, 0.8]


def test_ratio_is_a_bound_where_the_reference_never_got_there():
    import compare_report

    runs = {"efficient": run("efficient", 0, [0.7, 1.0]), "ppo": run("ppo", 0, [0.1, 0.2, 0.7], step_h=4.0)}
    made = [compare_report.summary(name, [each]) for name, each in runs.items()]
    assert compare_report.ratios(made) == {"ppo / efficient at 60%": "12.0", "ppo / efficient at 90%": "> 6.0"}
    table = compare_report.table("upright", made, ["ppo seed 1"])
    assert "| ppo | 1 | 300 | 12.00 | 70% (70 to 70) | 0 | 300 steps, 12.00 h (1 of 1) | never (0 of 1) | - |" in table
    assert "Missing: ppo seed 1." in table


def test_the_table_says_of_how_many_seeds_the_best_policy_was_kept():
    import compare_report

    runs = [run("sac", seed, [1.0, 0.0]) for seed in range(3)]
    for each, success in zip(runs, (0.9, 1.0), strict=False):
        each["best"] = {"steps": 100, "success_rate": success, "return_mean": 5.0, "evaluation_episodes": 50}
    made = compare_report.summary("sac", runs)
    assert [(best["seed"], best["steps"]) for best in made["best"]] == [(0, 100), (1, 100)]
    assert "| 95% (90 to 100; 2) |" in compare_report.table("upright", [made], [])


@pytest.mark.parametrize("name", ["sac", "ppo_normalised"])
def test_the_best_policy_is_seen_again_over_new_episodes(name, tmp_path, monkeypatch):
    import compare_kept
    import compare_peers
    import compare_runs
    import compare_valve

    algorithm, seeds = compare_valve.VALVE.algorithms[name], []
    plan = compare_kept.Plan(compare_valve.VALVE.environment, tmp_path, 2, 1, 3, 160)
    document = compare_runs.compute(plan, algorithm, 0, lambda line: None)
    work = plan.work_path(algorithm, 0)
    done = document["steps"][-1]
    evaluations = [
        {"steps": 1, "success_rate": 0.5, "return_mean": 9.0},
        {"steps": done, "success_rate": 0.6, "return_mean": 2.0},
        {"steps": 2, "success_rate": 0.6, "return_mean": 1.0},
    ]
    seen = compare_runs.evaluate

    def noting(environment, policy, *, episodes, seed):
        seeds.append((episodes, seed))
        return seen(environment, policy, episodes=episodes, seed=seed)

    monkeypatch.setattr(compare_runs, "evaluate", noting)
    best = compare_runs._of_the_best(plan, algorithm, 0, work, evaluations)["best"]
    assert best["steps"] == done and best["evaluation_episodes"] == 3
    policy = (compare_runs._own_policy if algorithm.own else compare_peers.peer_policy)(plan, algorithm, work, done)
    again = seen(compare_runs.GymEnvironment(plan.environment), policy, episodes=3, seed=seeds[0][1])
    assert again["return_mean"] == best["return_mean"]
    assert compare_runs._of_the_best(plan, algorithm, 0, work, evaluations[:1]) == {}, "not kept by an older version"


def test_the_plot_is_drawn(tmp_path):
    import compare_report

    compare_report.plot({"sac": [run("sac", 0, [0.2, 0.7])]}, tmp_path / "new" / "plot.png")
    assert (tmp_path / "new" / "plot.png").stat().st_size > 0


def test_seeds_of_different_length_are_compared_as_far_as_all_go():
    import compare_report

    made = compare_report.summary("ppo", [run("ppo", 0, [0.0, 0.5, 1.0]), run("ppo", 1, [0.0, 0.5])])
    assert (made["steps"], made["robot_h"]) == (200, 2.0)


@pytest.mark.parametrize("name", ["sac", "ppo_normalised", "ddpg"])
def test_a_run_is_kept_and_made_longer(name, tmp_path):
    import compare_kept
    import compare_runs
    import compare_valve

    algorithm, lines = compare_valve.VALVE.algorithms[name], []
    short, longer = (
        compare_kept.Plan(compare_valve.VALVE.environment, tmp_path, 2, 1, 2, steps) for steps in (160, 240)
    )
    assert compare_kept.finished(short, algorithm, 0) is None
    made = compare_runs.compute(short, algorithm, 0, lines.append)
    assert compare_kept.finished(short, algorithm, 0) == made == json.loads((tmp_path / f"{name}_0.json").read_text())
    assert len({len(made[key]) for key in ("steps", "success_rate", "return_mean", "robot_time_s")}) == 1
    assert {"commit", "command", "seed", "processor", "wall_time_s"} <= made.keys()
    assert made["best"]["steps"] in made["steps"] and made["best"]["evaluation_episodes"] == 2
    if name != "ppo_normalised":  # goes on to the end of its batch
        assert made["steps"] == [80, 160]
        again = compare_runs.compute(longer, algorithm, 0, lines.append)
        assert again["steps"] == [80, 160, 240]
        assert again["success_rate"][:2] == made["success_rate"], "what was done is not done again"
        assert again["robot_time_s"][2] > again["robot_time_s"][1] + 8.0
    assert len(lines) == len(json.loads((tmp_path / f"{name}_0.json").read_text())["steps"])


@pytest.mark.parametrize("name", ["efficient", "td3"])
def test_walking_is_compared_by_the_same_means(name, tmp_path):
    import compare_kept
    import compare_runs
    import compare_walking

    plan = compare_kept.Plan(compare_walking.WALKING.environment, tmp_path, 2, 1, 1, 60)
    made = compare_runs.compute(plan, compare_walking.WALKING.algorithms[name], 0, lambda line: None)
    assert made["environment"] == "rosac/MinitaurWalk-v0"
    assert made["steps"] == [30, 60] and made["robot_time_s"][-1] >= 60 * 0.02
    assert compare_kept.finished(plan, compare_walking.WALKING.algorithms[name], 0) == made


def test_a_peer_runs_on_an_environment_without_robot_time(tmp_path):
    import compare_gymnasium
    import compare_kept
    import compare_runs

    plan = compare_kept.Plan("Pendulum-v1", tmp_path, 2, 1, 1, 20)
    made = compare_runs.compute(plan, compare_gymnasium.MODES["sb3_sac"], 0, lambda line: None)
    assert made["steps"] == [10, 20] and len(made["return_mean"]) == 2
    assert "robot_time_s" not in made


def test_returns_stand_beside_the_published_ones():
    import compare_gymnasium

    curve = {"steps": [1, 2, 3, 4, 5, 6], "commit": "abc", "wall_time_s": HOUR_S}
    runs = [{**curve, "seed": seed, "return_mean": [seed] * 5 + [seed + 600]} for seed in (0, 200)]
    made = compare_gymnasium.summaries({("Hopper-v5", "sac"): runs})
    table = compare_gymnasium.table(made, ["Hopper-v5 efficient seed 0"])
    assert "| Hopper-v5 | sac | 6 | 700 | 600, 800 | 220 | 1103 | 2764 | 1.00 | abc |" in table
    assert "Missing: Hopper-v5 efficient seed 0." in table


def test_a_wall_time_that_was_not_kept_is_no_part_of_the_mean():
    import compare_gymnasium
    import compare_report

    runs = [run("sac", seed, [0.7, 1.0]) for seed in range(3)]
    runs[0]["wall_time_s"], runs[1]["wall_time_s"] = None, 3 * HOUR_S
    assert compare_report.summary("sac", runs)["wall_time_h"] == 2.0
    unknown = compare_report.summary("sac", runs[:1])
    assert unknown["wall_time_h"] is None
    assert compare_report.table("upright", [unknown], []).splitlines()[9].endswith("| - | - |")
    (made,) = compare_gymnasium.summaries({("Hopper-v5", "sac"): runs})
    assert made["wall_time_h"] == 2.0
    made = compare_gymnasium.summaries({("Hopper-v5", "sac"): runs[:1]})
    assert "| 2764 | - | abc |" in compare_gymnasium.table(made, [])


def test_published_wall_times_are_those_of_whole_runs():
    published = [
        json.loads(path.read_text()) for path in (BENCHMARKS.parent / "docs/results").glob("compare_*/**/*.json")
    ]
    assert len(published) > 30
    for each in published:
        assert each["wall_time_s"] is None or each["wall_time_s"] > 100.0, each["command"]


def test_a_measurement_names_no_path_of_the_machine(monkeypatch):
    import support

    monkeypatch.setattr(
        sys, "argv", ["/home/me/x/benchmarks/soak.py", "--json", "/home/me/out.json", "--runs", "runs/a"]
    )
    assert support.machine()["command"] == "benchmarks/soak.py --json out.json --runs runs/a"
