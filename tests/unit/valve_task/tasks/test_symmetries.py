"""The symmetries of robot file and tasks, held against the physics."""

import numpy as np
import pytest
import torch
import valve_task.env  # noqa: F401 - registers the environments
from robot_bridge.backend import RobotState
from robot_bridge.robot import RobotSettings
from rosac_common.settings import SettingsError, from_mapping, to_mapping
from sac_learner.sac import relabelling
from sac_learner.sac.gradients import TensorBatch
from sac_learner.sac.settings import RelabellingSettings
from valve_task.env import RobotTaskEnv
from valve_task.tasks import tasks_of


def applied(row, vector):
    row = np.array(row)
    return np.sign(row) * np.asarray(vector)[..., np.abs(row) - 1]


def rows_of(env):
    observation, action = env.task.symmetries
    return np.array(observation).reshape(-1, env.task.observation_size), np.array(action).reshape(
        -1, env.task.action_size
    )


def joint_rows_of(task, robot):
    """What each symmetry of the task, in the order of its rows, does to all joints."""
    declared = np.array(robot.joint_symmetries).reshape(-1, len(robot.all_joint_names)).tolist()
    given = np.array(task.symmetries[0]).reshape(-1, task.observation_size).tolist()
    return [next(row for row in declared if task.observation_symmetry(row) == each) for each in given]


def check_symmetries(env):
    """Random states and actions that are turned and mirrored: observation, reward and goals are, too. How many ways."""
    task, robot = env.task, env._robot
    rng = np.random.default_rng(0)
    joints, own = len(robot.all_joint_names), len(robot.joint_names)
    joint_rows, (observation_rows, action_rows) = joint_rows_of(task, robot), rows_of(env)
    for joint_row, observation_row, action_row in list(zip(joint_rows, observation_rows, action_rows, strict=True)) * 5:
        task.draw(rng)
        position, velocity = rng.uniform(-0.4, 0.4, joints), rng.uniform(-2, 2, joints)
        action = rng.uniform(-1, 1, task.action_size).astype(np.float32)
        changed_action = applied(action_row, action)
        state = RobotState(0, position, velocity, np.zeros(joints))
        changed = RobotState(0, applied(joint_row, position), applied(joint_row, velocity), np.zeros(joints))
        before, outcome = task.observe(state, 3, action), task.evaluate(state, 3, action)
        _change_target(task, joint_row)
        after, changed_outcome = task.observe(changed, 3, changed_action), task.evaluate(changed, 3, changed_action)
        np.testing.assert_allclose(after, applied(observation_row, before), atol=1e-6)
        assert changed_outcome.reward == pytest.approx(outcome.reward)
        assert changed_outcome.counts == outcome.counts
        goals = task.actions.goals(action, position[:own])
        changed_goals = task.actions.goals(changed_action, changed.position_rad[:own])
        np.testing.assert_allclose(changed_goals, applied(joint_row[:own], goals), atol=1e-6)
    return len(joint_rows)


@pytest.mark.parametrize("name", tasks_of("dclaw"))
def test_changing_a_state_changes_the_observation_as_declared_and_not_the_reward(name):
    env = RobotTaskEnv(name)
    assert check_symmetries(env) == (3 if name == "DClawScrewFixed" else 6)
    assert env.task.lost_symmetries == (
        "task DClawScrewFixed has 3 of the robot's 6 symmetries; not the same after the others: "
        "task.target_velocity_rad_s"
        if name == "DClawScrewFixed"
        else ""
    )


ALIKE = [0.48, 1.0, 1.5]


# With one finger unlike the others there are two: as it was, and the mirror through that finger. With three alike, but
# sideways not as far to the left as to the right, the three turns.
@pytest.mark.parametrize(
    ("task", "changes", "count", "broken"),
    [
        ("DClawTurn", {"reset_pose_rad": [0.3, -1.0, 1.0] * 3}, 3, "task.reset_pose_rad"),
        ("DClawTurn", {"reset_pose_rad": [0, -1, 1, 0, -0.5, 0.5, 0, -1, 1]}, 2, "task.reset_pose_rad"),
        ("DClawTurn", {"reset_pose_rad": [0.3, -1, 1] + [0, -1, 1] * 2}, 1, "task.reset_pose_rad"),
        ("DClawTurn", {"reset_pose_rad": [0.3, -1.0, 1.0] * 3, "turn_reward": {"pose": 0.0}}, 6, ""),
        ("DClawScrewRandom", {"reset_pose_rad": [0.3, -1.0, 1.0] * 3}, 3, "task.reset_pose_rad"),
        ("DClawPoseRandom", {"reset_pose_rad": [0.3, -1.0, 1.0] * 3}, 6, ""),  # no term of its reward
        ("DClawTurn", {"reset_pose_rad": [1e-6, -1.047198, 1.047198] * 2 + [0.0, -1.0471976, 1.0471976]}, 6, ""),
        (
            "DClawTurn",
            {"action_centre_rad": [0.2, 0, 0] * 3, "action_half_range_rad": [0.28, 1, 1.5] * 3},
            3,
            "task.action_centre_rad",
        ),
        ("DClawPoseFixed", {"action_centre_rad": [0, 0, 0.1] + [0.0] * 6}, 2, "task.action_centre_rad"),
        ("DClawTurn", {"action_half_range_rad": [*ALIKE, *ALIKE, 0.48, 0.5, 1.5]}, 2, "task.action_half_range_rad"),
        ("DClawScrewRandom", {"target_velocity_rad_s": [-0.75, 0.5]}, 3, "task.target_velocity_rad_s"),
        ("DClawScrewRandom", {"target_velocity_rad_s": [-0.5, 0.5]}, 6, ""),
        (
            "DClawTurn",
            {"action_half_range_rad": ALIKE * 2 + [0.4, 1.0, 1.5], "reset_pose_rad": [0.3, -1.0, 1.0] * 3},
            1,
            "task.action_half_range_rad, task.reset_pose_rad",
        ),
    ],
)
def test_a_symmetry_that_settings_of_the_task_break_is_none(task, changes, count, broken):
    env = RobotTaskEnv(task, task=changes)
    assert check_symmetries(env) == count
    told = f"task {task} has {count} of the robot's 6 symmetries; not the same after the others: {broken}"
    assert env.task.lost_symmetries == (told if broken else "")


@pytest.mark.parametrize(
    ("name", "joint", "value", "count", "broken"),
    [
        ("position_max_rad", 7, 0.3, 2, "robot.position_min_rad and position_max_rad"),
        ("position_min_rad", slice(0, 9, 3), [-0.3] * 3, 3, "robot.position_min_rad and position_max_rad"),
        ("speed_limit_rad_s", 2, 1.0, 2, "robot.speed_limit_rad_s"),
    ],
)
def test_a_symmetry_that_limits_of_the_robot_break_is_none(name, joint, value, count, broken):
    robot = to_mapping(RobotTaskEnv("DClawTurn")._robot)
    robot[name] = list(robot[name])
    robot[name][joint] = value
    env = RobotTaskEnv("DClawTurn", robot=robot)
    assert check_symmetries(env) == count
    assert env.task.lost_symmetries.endswith(
        f"has {count} of the robot's 6 symmetries; not the same after the others: {broken}"
    )


def _change_target(task, joint_row):
    """The target belongs to the world that is turned or mirrored."""
    if hasattr(task, "_centre"):
        own = joint_row[: task.action_size]
        task._centre, task._amplitude = applied(own, task._centre), applied(own, task._amplitude)
        task._frequency = applied(np.abs(own), task._frequency)
    elif joint_row[-1] < 0:
        task._target, task._target_velocity = -task._target, -task._target_velocity


@pytest.mark.parametrize("name", ["DClawTurn", "DClawScrewFixed"])
def test_a_valve_whose_mark_is_on_another_lobe_moves_as_before_and_earns_what_the_task_says(name):
    """Two hands that do the same, their valves a third apart: the one's transitions are the other's, relabelled."""
    env = RobotTaskEnv(name)
    task = env.task
    settings = from_mapping(RelabellingSettings, env.relabelling, "relabelling")
    relabels = relabelling.make_relabelling(settings, task.observation_size, torch.device("cpu"))
    rng = np.random.default_rng(5)  # whose fingers turn the valve
    actions = np.clip(rng.normal(0, 0.7, 9) + rng.normal(0, 0.3, (30, 9)), -1, 1).astype(np.float32)
    runs = []
    for turn in settings.turns_rad:
        env.reset(seed=0)
        position = env._simulation.read().position_rad
        position[-1] = -2.5 + turn  # within the hinge's range for every turn
        env._simulation.set_state(position)
        runs.append([env.step(action)[:2] for action in actions])
    first, *others = runs
    assert abs(first[-1][0][9] - first[0][0][9]) > 0.2

    for number, other in enumerate(others, start=1):
        relabels._turns = torch.tensor([settings.turns_rad[number]])
        made, real = relabels.augment(batch_of(first, actions), torch.Generator()), batch_of(other, actions)
        torch.testing.assert_close(made.next_observation, real.next_observation, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(made.reward, real.reward, rtol=1e-4, atol=1e-3)


def batch_of(run, actions):
    """Observation and reward after each action, as the learner has them, without the first step."""
    observation = torch.tensor(np.array([each[0] for each in run]))
    reward = torch.tensor([each[1] for each in run], dtype=torch.float32)
    return TensorBatch(
        observation[:-1], torch.tensor(actions[1:]), reward[1:], observation[1:], torch.ones(len(actions) - 1)
    )


def test_a_robot_that_is_asked_for_another_velocity_moves_as_before_and_earns_what_the_task_says(monkeypatch):
    env = RobotTaskEnv("MinitaurWalkCommand")
    rng = np.random.default_rng(0)
    actions = np.clip(rng.normal(0, 0.5, (40, 8)), -1, 1).astype(np.float32)
    runs = []
    for asked in (0.3, -0.1):
        env.task.command(asked)
        env.reset(seed=0)
        runs.append([env.step(action)[:2] for action in actions])
    monkeypatch.setattr(relabelling, "_SHARE", 1.0)
    settings = from_mapping(RelabellingSettings, {**env.relabelling, "velocity_range_m_s": [-0.1, -0.1]}, "relabelling")
    relabels = relabelling.make_relabelling(settings, env.task.observation_size, torch.device("cpu"))
    first, other = (batch_of(run, actions) for run in runs)
    assert not torch.allclose(first.reward, other.reward, atol=0.1)
    made = relabels.augment(first, torch.Generator())
    torch.testing.assert_close(made.observation, other.observation)
    torch.testing.assert_close(made.next_observation, other.next_observation)
    torch.testing.assert_close(made.reward, other.reward, rtol=1e-4, atol=1e-4)


def test_a_turned_or_mirrored_hand_moves_the_valve_in_the_same_way():
    env = RobotTaskEnv("DClawTurn")
    env.reset(seed=0)
    simulation, task = env._simulation, env.task
    rng = np.random.default_rng(1)
    start = simulation.read().position_rad
    torque = np.arange(len(start)) < task.action_size

    def valve_after(position, actions):
        simulation.set_state(position)
        for action in actions:
            goals = np.zeros(len(start))
            goals[:-1] = task.actions.goals(action, simulation.read().position_rad[:-1])
            simulation.write(goals, torque)
            simulation.advance(task.control_period_s)
        return simulation.read().position_rad[-1]

    rows = np.array(env._robot.joint_symmetries).reshape(-1, len(start))
    errors, wrong, moved = [], [], []
    for _ in range(12):
        position = start.copy()
        position[-1] = rng.uniform(-3, 3)
        actions = np.clip(rng.normal(0, 0.7, 9) + rng.normal(0, 0.3, (8, 9)), -1, 1).astype(np.float32)
        end = valve_after(position, actions)
        moved.append(abs(end - position[-1]))
        for row in rows[1:]:
            sign = np.sign(row[-1])
            changed = valve_after(applied(row, position), applied(row[:-1], actions).astype(np.float32))
            errors.append(abs(changed - sign * end))
        # A mirror that forgets to turn the top joints round is none.
        bare = np.abs(rows[3]) * np.where(np.arange(len(start)) < 9, 1, -1)
        wrong.append(abs(valve_after(applied(bare, position), applied(bare[:-1], actions).astype(np.float32)) + end))
    assert np.mean(moved) > 0.05
    # Finger bases are turned by 0.52 and 2.6 rad instead of pi/6 and 5 pi/6: the symmetry is good, not perfect.
    assert np.mean(errors) < 0.15 * np.mean(moved)
    assert np.mean(wrong) > 2 * np.mean(errors)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1, 2, 3, 4], "has 4 values, no multiple of the number of all joints, 3"),
        ([1, 2, 3, 1, 1, 3], "must hold each of"),
        ([1, 2, 3, 3, 2, 1], "must hold each of"),
        ([-1, 2, 3], "lacks the identity"),
    ],
)
def test_bad_symmetries_in_a_robot_file_are_refused(rows, message):
    one = {"position_min_rad": [-1.0] * 2, "position_max_rad": [1.0] * 2, "position_offset_rad": [0.0] * 2}
    robot = {"joint_names": ["a", "b"], "joint_ids": [1, 2], "direction": [1, 1], "kp_nm_rad": [1.0] * 2, **one}
    robot["speed_limit_rad_s"] = [1.0] * 2
    robot |= {f"auxiliary_{name}": values[:1] for name, values in robot.items()}
    robot |= {"auxiliary_joint_names": ["valve"], "auxiliary_joint_ids": [9]}
    from_mapping(RobotSettings, robot)
    with pytest.raises(SettingsError, match=message):
        from_mapping(RobotSettings, {**robot, "joint_symmetries": rows})
