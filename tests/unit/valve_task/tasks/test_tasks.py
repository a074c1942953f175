import math

import numpy as np
import pytest
from rosac_common.settings import SettingsError
from valve_task.tasks import TaskSettings, make_task, tasks_of
from valve_task.tasks.equations import wrap_angle

# facts of google-research/robel: horizon, control period, success tolerance, observation size
FIGURES = {
    "DClawTurn": (80, 0.1, 0.1, 21),
    "DClawTurnFixed": (40, 0.1, 0.1, 21),
    "DClawTurnRandom": (40, 0.1, 0.1, 21),
    "DClawTurnRandomDynamics": (40, 0.1, 0.1, 21),
    "DClawScrewFixed": (80, 0.1, 0.2, 21),
    "DClawScrewRandom": (80, 0.1, 0.2, 21),
    "DClawScrewRandomDynamics": (80, 0.1, 0.2, 21),
    "DClawPoseFixed": (80, 0.05, math.radians(10), 27),
    "DClawPoseRandom": (80, 0.05, math.radians(10), 27),
    "DClawPoseRandomDynamics": (80, 0.05, math.radians(10), 27),
}


def draws(task, count=400, seed=0):
    rng = np.random.default_rng(seed)
    return [(task.draw(rng), task.target_rad(0)) for _ in range(count)]


def test_figures(robot):
    assert set(tasks_of("dclaw")) == set(FIGURES)
    for name, (horizon, period_s, tolerance, size) in FIGURES.items():
        task = make_task(TaskSettings(name=name), robot)
        assert (task.horizon_steps, task.control_period_s, task.observation_size) == (horizon, period_s, size)
        assert task.variant.success_tolerance_rad == tolerance
        assert task.random_dynamics == name.endswith("Dynamics")
        assert task.action_size == 9


@pytest.mark.parametrize(
    ("name", "start", "target"),
    [
        ("DClawTurn", (-math.pi, math.pi), (0, 0)),
        ("DClawTurnFixed", (0, 0), (math.pi, math.pi)),
        ("DClawTurnRandom", (-math.pi / 3, math.pi / 3), (2 * math.pi / 3, 4 * math.pi / 3)),
        ("DClawScrewFixed", (0, 0), (0, 0)),
        ("DClawScrewRandom", (-math.pi, math.pi), (-math.pi, math.pi)),
    ],
)
def test_starts_and_targets(robot, name, start, target):
    drawn = draws(make_task(TaskSettings(name=name), robot))
    angles = [begin.auxiliary_rad[0] for begin, _ in drawn]
    targets = [angle for _, angle in drawn]
    for values, (low, high) in ((angles, start), (targets, target)):
        assert low <= min(values) <= max(values) <= high
        # the whole range is used
        assert max(values) - min(values) >= 0.95 * (high - low)
    assert drawn[0][0].pose_rad == pytest.approx([0, -math.pi / 3, math.pi / 3] * 3)


def test_the_default_target_is_the_coloured_lobe_to_the_right(robot, make_state):
    task = make_task(TaskSettings(), robot)
    task.draw(np.random.default_rng(0))
    assert task.signed_error_rad(make_state(valve=0.0), 0) == 0.0
    assert task.signed_error_rad(make_state(valve=0.5), 0) == pytest.approx(-0.5)
    assert task.signed_error_rad(make_state(valve=2 * math.pi + 0.5), 0) == pytest.approx(-0.5)


def test_turn_observation_and_outcome_by_hand(robot, make_state):
    task = make_task(TaskSettings(), robot)
    task.draw(np.random.default_rng(0))
    joints, action = np.linspace(-0.4, 0.4, 9), np.linspace(-1, 1, 9, dtype=np.float32)
    state = make_state(joints=joints, valve=0.05, velocity=0.1)
    expected = [*joints, math.cos(0.05), math.sin(0.05), *action, -0.05]
    observation = task.observe(state, 3, action)
    assert observation.dtype == np.float32
    assert observation == pytest.approx(expected, abs=1e-6)
    outcome = task.evaluate(state, 4, np.zeros(9))
    pose = np.linalg.norm(joints - np.array([0, -math.pi / 3, math.pi / 3] * 3))
    assert outcome.terms == pytest.approx((-0.25, -pose, 0.0, 10.0, 50.0))
    assert outcome.reward == pytest.approx(sum(outcome.terms))
    assert (outcome.success, outcome.terminated) == (True, False)
    assert outcome.error == pytest.approx(0.05)
    assert not task.evaluate(make_state(valve=0.1001), 4, np.zeros(9)).success


def test_screw_target_moves_from_the_start_of_the_valve(robot, make_state):
    task = make_task(TaskSettings(name="DClawScrewFixed"), robot)
    task.draw(np.random.default_rng(0))
    assert [task.target_rad(step) for step in (0, 1, 80)] == pytest.approx([0.0, 0.05, 4.0])
    assert task.signed_error_rad(make_state(valve=0.02), 1) == pytest.approx(0.03)
    assert task.error(make_state(valve=0.0), 80) == pytest.approx(abs(wrap_angle(4.0)))
    assert task.evaluate(make_state(valve=0.24), 1, np.zeros(9)).success  # error 0.19


def test_screw_random_speeds(robot):
    task = make_task(TaskSettings(name="DClawScrewRandom"), robot)
    rng = np.random.default_rng(0)
    speeds = []
    for _ in range(300):
        start = task.draw(rng)
        assert task.target_rad(0) == start.auxiliary_rad[0]
        speeds.append((task.target_rad(10) - task.target_rad(0)) / 1.0)
    assert -0.75 <= min(speeds) < -0.7
    assert 0.7 < max(speeds) <= 0.75


def test_pose_fixed(robot, make_state):
    task = make_task(TaskSettings(name="DClawPoseFixed"), robot)
    rng = np.random.default_rng(0)
    for _ in range(50):
        start = task.draw(rng)
        assert start.auxiliary_rad is None
        for pose in (start.pose_rad, task.target_rad(0)):
            assert (np.abs(pose) <= np.array([0.48, math.pi / 3, 1.57] * 3)).all()
            assert (pose[1::3] <= 0).all()  # middle joints outwards
        assert task.target_rad(0) == pytest.approx(task.target_rad(50))
    state = make_state(joints=task.target_rad(0) - 0.1)
    action = np.full(9, 0.5, dtype=np.float32)
    assert task.observe(state, 5, action) == pytest.approx([*state.position_rad[:9], *action, *[0.1] * 9], abs=1e-6)
    outcome = task.evaluate(state, 5, np.zeros(9))
    assert outcome.terms == pytest.approx((-0.3, 0.0))  # norm of nine times 0.1
    assert outcome.success  # mean error 0.1 rad is 5.7 degrees
    assert not task.evaluate(make_state(joints=task.target_rad(0) - 0.18), 5, np.zeros(9)).success


def test_pose_random_swings_about_its_start_with_limited_speed(robot):
    task = make_task(TaskSettings(name="DClawPoseRandom"), robot)
    start = task.draw(np.random.default_rng(3))
    assert task.target_rad(0) == pytest.approx(start.pose_rad)
    path = np.array([task.target_rad(step) for step in range(81)])
    assert np.abs(np.diff(path, axis=0)).max() <= math.pi / 6 * 0.05 + 1e-9
    assert np.ptp(path, axis=0).max() > 0.1


def test_draws_depend_on_the_seed_only(robot):
    for name in tasks_of("dclaw"):
        first, again, other = (draws(make_task(TaskSettings(name=name), robot), 3, seed) for seed in (1, 1, 2))
        for (start, target), (start_again, target_again) in zip(first, again, strict=True):
            assert np.array_equal(start.pose_rad, start_again.pose_rad)
            assert np.array_equal(target, target_again)
        if "Fixed" not in name or "Pose" in name:
            assert str(first) != str(other)


def test_settings_are_laid_over_the_tasks_own(robot):
    changes = TaskSettings(
        name="DClawTurn",
        horizon_steps=7,
        control_period_s=0.05,
        success_tolerance_rad=0.3,
        initial_valve_rad=[0.1, 0.2],
    )
    task = make_task(changes, robot)
    assert (task.horizon_steps, task.control_period_s, task.variant.success_tolerance_rad) == (7, 0.05, 0.3)
    assert all(0.1 <= start.auxiliary_rad[0] <= 0.2 for start, _ in draws(task, 20))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "DClawTurnip"}, "unknown task 'DClawTurnip'.*DClawTurnFixed"),
        ({"name": "DClawPoseFixed", "initial_valve_rad": [0.0, 1.0]}, "no setting task.initial_valve_rad"),
        ({"name": "DClawScrewFixed", "target_valve_rad": [0.0, 1.0]}, "no setting task.target_valve_rad"),
        ({"name": "DClawTurn", "target_velocity_rad_s": [0.0, 1.0]}, "no setting task.target_velocity"),
        ({"initial_valve_rad": [1.0, 0.0]}, "must be \\[lowest, highest\\]"),
        ({"initial_valve_rad": [1.0]}, "must be \\[lowest, highest\\]"),
    ],
)
def test_settings_that_make_no_sense(robot, changes, message):
    with pytest.raises(SettingsError, match=message):
        make_task(TaskSettings(**changes), robot)
