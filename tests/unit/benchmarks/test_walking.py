"""The walking benchmark: what is measured of an episode, on which ground, and what table and plot say."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from sac_learner.graph.modes import mode_parameters
from sac_learner.graph.stacks import STACKS, ArgumentError
from sac_learner.runs.preparing import prepare
from sac_learner.runs.run_environment import run_environment

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


class Standing:
    """A policy that does nothing."""

    def mean_action(self, observation):
        return np.zeros(8, dtype=np.float32)


@pytest.fixture
def made(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("/**/task:\n  ros__parameters:\n    task.horizon_steps: 20\n")
    given = {"runs": str(tmp_path / "runs"), "run": "walk", "params": str(own)}
    run, _ = prepare(STACKS["minitaur_walk"], given, datetime.datetime(2026, 1, 1), print)
    return run


def test_an_environment_is_that_of_the_run_with_what_differs(made):
    environment = run_environment(made, {"terrain": "stairs", "task": "MinitaurWalkRandomDynamics"})
    environment.reset(seed=0)
    assert environment.unwrapped.task.horizon_steps == 20
    assert environment.unwrapped.task.random_dynamics
    assert environment.unwrapped.simulation.model.geom("stair0").id >= 0
    with pytest.raises(ArgumentError, match="terrain:=ice"):
        run_environment(made, {"terrain": "ice"})


def test_a_run_on_servos_is_pictured_on_servos_with_its_own_resets(tmp_path):
    own = tmp_path / "own.yaml"
    servos = yaml.safe_load((BENCHMARKS.parent / "config" / "robots" / "minitaur_servos.yaml").read_text())
    servos["/**/task"] = {"ros__parameters": {"walk_reset.in_lane_m": 0.7, "task.walk.smoothing_episodes": 50}}
    own.write_text(yaml.safe_dump(servos))
    given = {"runs": str(tmp_path / "runs"), "run": "walk", "params": str(own)}
    run, _ = prepare(STACKS["minitaur_walk"], given, datetime.datetime(2026, 1, 1), print)
    environment = run_environment(run, {}).unwrapped
    environment.reset(seed=0)
    assert environment.simulation.motors is None, "servos, no direct drive"
    assert environment._walk_reset_settings.in_lane_m == 0.7
    observation, *_ = environment.step(np.full(8, 0.8, dtype=np.float32))
    assert observation[72:80] == pytest.approx(np.full(8, 0.8)), "nobody learns: the action is not smoothed"


def test_an_episode_that_stands_still(made):
    import walking_episodes

    gait = walking_episodes.record_gait(run_environment(made, {}), Standing(), seed=0)
    assert gait.time_s[-1] == pytest.approx(0.4)
    assert gait.contact.shape == (20, 4)
    assert gait.on_ground[[0, 2]] == pytest.approx(1.0)
    assert gait.swing_rad[-1] == pytest.approx(np.zeros(4), abs=0.15)
    assert gait.extension_rad[-1] == pytest.approx(np.full(4, 2.0), abs=0.15)
    assert 0.01 < np.abs(gait.torque_nm).max() < 2.45
    assert not gait.hot_s.any()
    assert not gait.walked.fallen
    assert not gait.walked.success
    assert abs(gait.walked.speed_m_s) < 0.1


def test_speed_counts_where_the_robot_faced_and_falls_are_seen(made):
    import walking_episodes

    environment = run_environment(made, {})
    observation, _ = environment.reset(seed=0)
    simulation = environment.unwrapped.simulation
    data = simulation.data
    data.qpos[3:7] = [np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)]  # faces +y
    simulation._history.fill(simulation._measured())  # and the sensors have seen it
    steps = []

    def carried() -> None:
        steps.append(1)
        data.qpos[1] += 0.01  # half a metre a second
        if len(steps) == 10:
            data.qpos[3:7] = [0.0, 1.0, 0.0, 0.0]  # on its back

    walked = walking_episodes.walk(environment, Standing(), observation, carried)
    assert walked.fallen
    assert not walked.success
    assert len(steps) < 20
    assert walked.speed_m_s == pytest.approx(0.5, abs=0.15)


def test_strides_and_heat_of_a_gait():
    import walking_episodes

    contact = np.array([[1, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 0], [0, 1, 1, 0]], dtype=bool)
    torque = np.zeros((4, 8))
    torque[:, 1] = [3.0, -3.0, 1.0, 3.0]
    walked = walking_episodes.Walked(0.4, False, True)
    gait = walking_episodes.Gait(0.5, contact, np.zeros((4, 4)), np.zeros((4, 4)), torque, walked)
    assert gait.strides_hz.tolist() == [0.5, 0.5, 0.0, 0.0]
    assert gait.on_ground.tolist() == [0.5, 0.5, 1.0, 0.5]
    assert gait.hot_s[:, 1].tolist() == [0.5, 1.0, 0.0, 0.5]
    assert not gait.hot_s[:, 0].any()


def test_what_a_training_did_is_read_from_its_run(made):
    import walking

    found = {"trained": {"success_rate": 0.9, "episodes": 12}, "untrained": {"success_rate": 0.0, "episodes": 12}}
    made.files.evaluation.write_text(json.dumps(found))
    rows = [{"end_reason": reason, "robot_time_s": "12.5"} for reason in "1231"]
    figures = walking._of_the_graph(made, rows)
    assert figures == {
        "steps": STACKS["minitaur_walk"].default_steps,
        "updates_per_step": mode_parameters("efficient")["pacing.updates_per_step"],
        "trained_success": 0.9,
        "untrained_success": 0.0,
        "evaluation_episodes": 12,
        "training_episodes": 4,
        "training_falls": 2,
        "training_stops": 1,
        "robot_time_s": 12.5,
    }


def test_the_table_counts_episodes_and_takes_speeds_of_those_that_did_not_fall(tmp_path):
    import walking_report
    from walking_episodes import Gait, Walked

    walked = [Walked(0.4, False, True), Walked(0.2, False, False), Walked(0.9, True, False), Walked(0.6, False, True)]
    good = walking_report.figures_of(walked)
    none = walking_report.figures_of([Walked(0.9, True, False)])
    assert good == {"episodes": 4, "successes": 2, "falls": 1, "speed_m_s": pytest.approx(0.4), "slowest_m_s": 0.2}
    table = walking_report.ground_table({"slope": {0: good, 1: none}, "stairs": {0: none}})
    assert "| slope | 40% | 50%, 0% | 2 | 5 | 0.40 | 0.20 |" in table
    assert "| stairs | 0% | 0% | 1 | 1 | - | - |" in table
    seed = {"steps": 20000, "updates_per_step": 1.0, "trained_success": 0.98, "untrained_success": 0.0}
    seed |= {
        "training_episodes": 243,
        "training_falls": 230,
        "training_stops": 7,
        "robot_time_s": 540.0,
        "evaluation_episodes": 12,
    }
    page = walking_report.page("walk", {3: seed}, {"stairs": {3: none}})
    assert "| 3 | 20000 | 1 | 98% | 0% | 243 | 230 | 7 | 9.0 |" in page
    assert "(walk_stairs.png)" in page
    assert "through the graph: 12 episodes of 10 s" in page
    seeds = {3: seed, 4: {**seed, "evaluation_episodes": 50}}
    assert "through the graph: 12 or 50 episodes of 10 s" in walking_report.page("walk", seeds, {"stairs": {3: none}})
    gait = Gait(0.02, np.ones((5, 4), dtype=bool), np.zeros((5, 4)), np.zeros((5, 4)), np.zeros((5, 8)), walked[0])
    walking_report.plot_gait(gait, tmp_path / "new" / "gait.png")
    assert (tmp_path / "new" / "gait.png").stat().st_size > 0
