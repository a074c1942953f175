import dataclasses
import math
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from rosac_common.settings import SettingsError
from stable_baselines3.common.env_checker import check_env as sb3_check
from valve_task.env import RenderingUnavailable, ResetFailedError, RobotTaskEnv
from valve_task.tasks import TASK_NAMES, ActionError

LEGS = Path(__file__).parents[3] / "config" / "robots" / "legs.yaml"  # without a simulation


def make(name="DClawTurn", **keywords):
    return gymnasium.make(f"rosac/{name}-v0", disable_env_checker=True, **keywords).unwrapped


@pytest.mark.parametrize("name", TASK_NAMES)
def test_environment_checkers(name):
    env = make(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # joints and valve are not bounded by the action range; both checkers only advise against that
        warnings.filterwarnings("ignore", message=".*A Box observation space m(in|ax)imum value is")
        gymnasium_check(env, skip_render_check=True)
        sb3_check(env)


def episode(env, seed, actions):
    observations, rewards = [env.reset(seed=seed)[0]], []
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        rewards.append(reward)
        if terminated or truncated:
            observations.append(env.reset()[0])
    return np.concatenate(observations), np.array(rewards)


@pytest.mark.parametrize(
    "name",
    [
        "DClawTurn",
        "DClawScrewRandomDynamics",
        "DClawPoseRandomDynamics",
        "MinitaurWalkRandomDynamics",
        "MinitaurWalkCommand",
    ],
)
def test_same_seed_same_everything(name):
    task = {"horizon_steps": 10}
    used, fresh, other = make(name, task=task), make(name, task=task), make(name, task=task)
    actions = np.random.default_rng(0).uniform(-1, 1, (25, *used.action_space.shape)).astype(np.float32)
    episode(used, 5, actions[:7])
    first, again = episode(used, 1, actions), episode(fresh, 1, actions)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], episode(other, 2, actions)[0])


def test_a_seed_begins_anew_what_the_first_episodes_are_for():
    task = {"horizon_steps": 5, "walk": {"smoothing_episodes": 1}}
    env, actions = make("MinitaurWalk", task=task), np.full((5, 8), 0.5, dtype=np.float32)
    first = episode(env, 1, actions)
    assert np.array_equal(first[0], episode(env, 1, actions)[0])


def test_time_limit_is_a_truncation():
    env = make(task={"horizon_steps": 3})
    env.reset(seed=0)
    ends = [env.step(np.zeros(9, dtype=np.float32))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(9, dtype=np.float32))


def test_a_motor_that_switches_itself_off_cuts_the_episode_short_and_is_recovered():
    """As on ROS 2, where the gate stops the robot; also one that is not put back on its mark."""
    env, still = make("MinitaurWalk", walk_reset={"in_lane_m": 1.0}), np.zeros(8, dtype=np.float32)
    env.reset(seed=0)
    assert env.step(still)[4]["stopped"] is False
    env.simulation.motors.cut_out[3] = True
    _, _, terminated, truncated, info = env.step(still)
    assert (terminated, truncated, info["stopped"], info["is_success"]) == (False, True, True, False)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(still)
    env.reset()
    assert not env.simulation.motors.cut_out.any()
    assert env.step(still)[4]["stopped"] is False


@pytest.mark.parametrize("hot_resets", [1, 99])
def test_a_reset_in_which_a_motor_switches_itself_off_is_done_again(monkeypatch, hot_resets):
    env = make("MinitaurWalkRandomDynamics")
    env.reset(seed=0)
    simulation, drawn = env.simulation, []
    put_back, randomise = simulation.put_back, simulation.randomise

    def put_back_hot():
        put_back()
        simulation.motors.cut_out[0] = len(drawn) <= hot_resets

    def randomise_counted(rng):
        drawn.append(rng)
        randomise(rng)

    monkeypatch.setattr(simulation, "put_back", put_back_hot)
    monkeypatch.setattr(simulation, "randomise", randomise_counted)
    if hot_resets > 1:
        with pytest.raises(ResetFailedError, match="a motor switched itself off in each of 5 resets"):
            env.reset()
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step(np.zeros(8, dtype=np.float32))
    else:
        env.reset()
        assert len(drawn) == 2, "with other dynamics"
        assert not simulation.motors.cut_out.any()


@pytest.mark.parametrize("how", ["close", "a reset that fails"])
def test_no_step_before_the_next_reset_after(how):
    env = make(reset={"retries": 0, "draws": 1})
    env.reset(seed=0)
    env.step(np.zeros(9, dtype=np.float32))
    if how == "close":
        env.close()
    else:
        env._reset_settings = dataclasses.replace(env._reset_settings, tolerance_rad=1e-5)
        with pytest.raises(ResetFailedError):
            env.reset()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(9, dtype=np.float32))
    assert env.render() is None


def test_observation_and_reward_belong_together():
    env = make("DClawTurnRandom")
    _, info = env.reset(seed=3)
    assert 2 * math.pi / 3 - math.pi / 3 - 0.1 <= info["error"]
    observation, reward, _, _, info = env.step(np.full(9, 0.3, dtype=np.float32))
    assert abs(observation[-1]) == pytest.approx(info["error"], abs=1e-6)
    assert observation[11:20] == pytest.approx(np.full(9, 0.3))
    terms = {name: value for name, value in info.items() if name.startswith("reward/")}
    assert reward == pytest.approx(sum(terms.values()))
    assert terms["reward/distance"] == pytest.approx(-5 * abs(observation[-1]), rel=1e-5)


def test_actions_move_the_joints_that_they_name():
    env = make()
    before, _ = env.reset(seed=0)
    action = np.array([0, -1, 2 / 3] * 3, dtype=np.float32)  # the reset pose
    action[3] = 0.4
    for _ in range(3):
        after, *_ = env.step(action)
    assert after[3] - before[3] == pytest.approx(0.4 * 0.48, abs=0.03)
    assert after[[0, 6]] == pytest.approx(before[[0, 6]], abs=0.02)


def test_a_finger_turns_the_valve():
    """The simulated task can be worked on at all: sweeping fingers move the valve from its start."""
    env = make(task={"initial_valve_rad": [0.5, 0.5]})
    env.reset(seed=0)
    angles = []
    for step in range(80):
        closed = step % 8 >= 3
        finger = [0.9 if step % 8 < 5 else -0.9, 0.25 if closed else -0.8, -0.2]
        observation, *_ = env.step(np.array(finger * 3, dtype=np.float32))
        angles.append(math.atan2(observation[10], observation[9]))
    assert np.ptp(np.unwrap(angles)) > 0.3


def test_settings_reach_the_environment():
    env = make(
        task={"horizon_steps": 5, "turn_reward": {"close_bonus": 0.0}},
        simulation={"action_latency_s": 0.02},
        reset={"arrived_rad": 0.1},
    )
    assert env.task.horizon_steps == 5
    assert env.task.settings.turn_reward.close_bonus == 0.0
    env.reset(seed=0)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"task": {"horizont": 5}}, "unknown setting 'horizont'; did you mean 'horizon_steps'"),
        ({"task": {"success_tolerance_rad": 9.0}}, "success_tolerance_rad"),
        ({"reset": {"draws": 0}}, "draws"),
        ({"task": {"control_period_s": 0.101}}, "control_period_s is 0.101;.*multiple of the physics step, 0.0025 s"),
        ({"name": "MinitaurWalk", "task": {"control_period_s": 0.03}}, "control_period_s is 0.03;.*step, 0.004 s"),
        ({"name": "MinitaurWalk", "simulation": {"observation_noise": 0.1}}, "observation_noise is 0.1; this robot's"),
        ({"name": "MinitaurWalk", "robot": LEGS}, "robot.simulation_model is ''; it must be one of dclaw"),
    ],
)
def test_bad_settings(keywords, message):
    with pytest.raises(SettingsError, match=message):
        make(**keywords)


def test_unknown_render_mode():
    with pytest.raises(ValueError, match="render_mode is 'ansi'"):
        RobotTaskEnv("DClawTurn", render_mode="ansi")


def test_bad_actions():
    env = make()
    env.reset(seed=0)
    for bad in (np.zeros(8), np.full(9, math.nan)):
        with pytest.raises(ActionError):
            env.step(bad)
    env.step(np.zeros(9))  # goes on


def test_pictures():
    env = make(render_mode="rgb_array", task={"target_valve_rad": [1.0, 1.0]})
    env.reset(seed=0)
    try:
        picture = env.render()
    except RenderingUnavailable as error:
        pytest.skip(str(error))
    assert picture.shape == (480, 640, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 10
    target = env.simulation.data.body("target").xquat
    assert 2 * math.atan2(target[3], target[0]) == pytest.approx(1.0, abs=1e-6), "drawn where it was before"
    env.close()


def test_no_picture_without_asking():
    env = make()
    env.reset(seed=0)
    assert env.render() is None
