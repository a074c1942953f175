"""The reset of a robot that walks, with the simulated robot and without."""

import dataclasses
import math
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import valve_task.env  # noqa: F401 - registers the environments
from robot_bridge.robot import load_robot
from robot_bridge.simulation.minitaur import MinitaurSimulation
from rosac_common.settings import from_mapping
from valve_task.env import ResetFailedError
from valve_task.reset import ResetPhase
from valve_task.tasks import TaskSettings, make_task
from valve_task.walk_reset import WalkReset, WalkResetSettings

ROBOT = load_robot(Path(__file__).parents[3] / "config" / "robots" / "minitaur.yaml")
PERIOD_S = 0.02


@pytest.fixture
def simulation():
    return MinitaurSimulation(ROBOT)


def new_reset(**settings):
    task = make_task(TaskSettings(name="MinitaurWalk"), ROBOT)
    return WalkReset(ROBOT, WalkResetSettings(**settings), task, np.random.default_rng(0))


def carry_out(simulation, reset, put_back=True):
    """Until it ends; returns how often it was put back."""
    times = 0
    while (command := reset.step(simulation.read())) is not None:
        if reset.wants_put_back and put_back:
            simulation.put_back()
            reset.put_back_done()
            times += 1
            continue
        simulation.write(command.goals_rad, command.torque_on)
        simulation.advance(PERIOD_S)
        assert simulation.time_ns < 60e9
    return times


def topple(simulation):
    simulation.data.qpos[:7] = [1.0, 2.0, 0.3, 0.0, 1.0, 0.0, 0.0]
    simulation.write(np.full(8, 1.5), np.ones(8, dtype=bool))
    simulation.advance(0.5)


def test_a_fallen_robot_stands_on_its_mark_afterwards(simulation):
    topple(simulation)
    reset = new_reset()
    assert carry_out(simulation, reset) == 1
    assert reset.phase is ResetPhase.DONE
    state = simulation.read()
    assert np.linalg.norm(state.body.position_m[:2]) < 0.05
    assert state.body.upright > 0.99
    assert np.abs(state.velocity_rad_s).max() <= 0.5
    assert reset.report.attempts == 1
    assert 0.1 < reset.report.duration_s < 2.0
    assert reset.progress.worst_error_rad < 0.3


def test_it_waits_for_whoever_puts_it_back(simulation):
    topple(simulation)
    reset = new_reset()
    for _ in range(200):
        reset.step(simulation.read())
        assert reset.wants_put_back
        let_go(simulation, PERIOD_S)
    simulation.put_back()
    reset.put_back_done()
    carry_out(simulation, reset)
    assert reset.phase is ResetPhase.DONE


def let_go(simulation, duration_s):
    """Torque off: its weight folds its legs."""
    simulation.write(np.full(8, 2.0), np.zeros(8, dtype=bool))
    simulation.advance(duration_s)


def hold(simulation, height_m):
    """In somebody's hands, level and away from the mark."""
    simulation.data.qpos[:7] = [0.3, 0.2, height_m, 1.0, 0.0, 0.0, 0.0]
    simulation.data.qvel[:6] = 0.0


class TestWithAnOperator:
    """As on hardware: the weight acts, torque is off while the robot waits to be lifted, nobody puts its legs right."""

    def lifted(self, simulation):
        topple(simulation)
        let_go(simulation, 1.0)
        hold(simulation, 0.6)
        reset = new_reset()
        reset.step(simulation.read())
        assert reset.wants_put_back
        return reset

    def straighten(self, simulation):
        """By hand, well within the range: legs that hang."""
        for _ in range(50):
            hold(simulation, 0.6)
            simulation.write(np.full(8, 1.2), np.ones(8, dtype=bool))
            simulation.advance(PERIOD_S)

    def raise_legs(self, simulation, reset, done):
        for _ in range(300):
            command = reset.step(simulation.read())
            if done():
                return
            hold(simulation, 0.6)
            simulation.write(command.goals_rad, command.torque_on)
            simulation.advance(PERIOD_S)
        raise AssertionError(f"{reset.phase}, {reset.progress}")

    def test_legs_in_the_air_then_down_on_the_ground(self, simulation):
        reset = self.lifted(simulation)
        self.straighten(simulation)
        assert reset.held_up(simulation.read()) == ""
        self.raise_legs(simulation, reset, lambda: reset.wants_set_down)
        assert reset.phase is ResetPhase.POSE, "it does not stand as long as it is held"
        for _ in range(100):
            command = reset.step(simulation.read())
            hold(simulation, 0.6)
            simulation.write(command.goals_rad, command.torque_on)
            simulation.advance(PERIOD_S)
        assert (reset.wants_set_down, reset.phase) == (True, ResetPhase.POSE)
        hold(simulation, 0.25)
        reset.set_down()
        assert carry_out(simulation, reset) == 0
        assert reset.phase is ResetPhase.DONE

    def test_legs_outside_their_range_are_not_moved(self, simulation):
        """Else the gate would stop the robot as soon as they are switched on."""
        reset = self.lifted(simulation)
        state = simulation.read()
        folded = state.position_rad.copy()
        folded[2] = -0.6
        problem = reset.held_up(dataclasses.replace(state, position_rad=folded))
        assert f"joint '{ROBOT.joint_names[2]}' is at -0.60 rad, its range is 0.3 to 3.8: move it there by" in problem
        assert reset.wants_put_back

    def test_legs_that_do_not_come_to_their_pose_fail(self, simulation):
        reset = self.lifted(simulation)
        self.straighten(simulation)
        state = simulation.read()
        reset.held_up(state)
        while reset.step(state) is not None:
            pass
        assert reset.phase is ResetPhase.FAILED
        assert "away from the start pose after 2 s in the air, limit 0.2" in reset.failure


def test_a_robot_in_its_lane_stays_where_it_is(simulation):
    simulation.data.qpos[0] = 0.5
    simulation.advance(0.004)
    assert carry_out(simulation, new_reset(in_lane_m=1.0)) == 0
    assert simulation.read().body.position_m[0] == pytest.approx(0.5, abs=0.05)
    assert carry_out(simulation, new_reset(in_lane_m=0.3)) == 1
    topple(simulation)
    assert carry_out(simulation, new_reset(in_lane_m=10.0)) == 1


def trot(step, backwards):
    """Actions of a gait without feedback (test_minitaur.py), played in reverse for the way back."""
    angle = (-1 if backwards else 1) * 2 * math.pi * 2.0 * step * PERIOD_S + np.array([0.0, math.pi, math.pi, 0.0])
    lift = np.maximum(0.0, np.sin(angle - 0.3))
    return np.concatenate([np.cos(angle), -lift]).astype(np.float32)


def test_it_walks_to_and_fro_in_its_lane_and_needs_no_hand(monkeypatch):
    env = gymnasium.make(
        "rosac/MinitaurWalkCommand-v0", task={"horizon_steps": 100}, walk_reset={"in_lane_m": 1.5}
    ).unwrapped
    env.reset(seed=0)
    hands, places, commands = [], [], []
    monkeypatch.setattr(env.simulation, "put_back", lambda: hands.append(1))
    for episode in range(6):
        if episode:
            env.reset()
        places.append(env.simulation.read().body.position_m[0])
        commands.append(env.task.command_m_s)
        for step in range(100):
            _, _, terminated, _, _ = env.step(trot(step, backwards=env.task.command_m_s < 0))
            assert not terminated
    assert not hands
    assert max(map(abs, places)) < 1.5
    for place, command in zip(places[1:], commands[1:], strict=True):
        assert place * command < 0, (places, commands)
    assert min(places) < -0.1 or max(places) > 0.1


@pytest.mark.parametrize(("x", "yaw", "sign"), [(0.5, 0.0, -1), (-0.5, 0.0, 1), (0.5, math.pi, 1), (-0.5, math.pi, -1)])
def test_the_velocity_drawn_leads_back_whatever_way_the_robot_faces(simulation, x, yaw, sign):
    simulation.data.qpos[0] = x
    simulation.data.qpos[3:7] = [math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]
    simulation.advance(0.04)
    for seed in range(8):
        task = make_task(TaskSettings(name="MinitaurWalkCommand"), ROBOT)
        reset = WalkReset(ROBOT, WalkResetSettings(in_lane_m=1.0), task, np.random.default_rng(seed))
        drawn = abs(task.command_m_s)
        reset.step(simulation.read())
        assert not reset.wants_put_back
        assert task.command_m_s == pytest.approx(sign * drawn)


def test_a_velocity_that_may_not_lead_back_stays_as_drawn(simulation):
    simulation.data.qpos[0] = 0.5
    simulation.advance(0.04)
    settings = from_mapping(TaskSettings, {"name": "MinitaurWalkCommand", "walk.command_range_m_s": [0.1, 0.3]}, "task")
    task = make_task(settings, ROBOT)
    WalkReset(ROBOT, WalkResetSettings(in_lane_m=1.0), task, np.random.default_rng(0)).step(simulation.read())
    assert 0.1 <= task.command_m_s <= 0.3


def test_one_that_never_stands_is_put_back_again_and_then_given_up(simulation):
    lying = dataclasses.replace(
        simulation.read(), body=dataclasses.replace(simulation.read().body, quaternion=np.array([0.0, 1.0, 0.0, 0.0]))
    )
    reset, times = new_reset(retries=2, stand_time_s=0.2), 0
    while reset.step(lying) is not None:
        if reset.wants_put_back:
            reset.put_back_done()
            times += 1
    assert reset.phase is ResetPhase.FAILED
    assert times == reset.report.attempts == 3
    assert reset.failure.startswith("the robot does not stand: upright -1.00, at least 0.95 needed")


def test_the_environment_says_so(monkeypatch):
    env = gymnasium.make("rosac/MinitaurWalk-v0", walk_reset={"upright": 1.0, "retries": 0, "stand_time_s": 0.1})
    with pytest.raises(ResetFailedError, match="the robot does not stand"):
        env.reset(seed=0)


def test_an_episode_in_the_environment_ends_with_a_fall_or_with_time():
    env = gymnasium.make("rosac/MinitaurWalk-v0", task={"horizon_steps": 30})
    assert env.reset(seed=0)[0].shape == (112,)
    for step in range(30):
        _, _, terminated, truncated, info = env.step(np.zeros(8, dtype=np.float32))
        assert not terminated
        assert truncated == (step == 29)
    assert {"reward/velocity", "reward/lean"} <= set(info)
    env.reset()
    env.unwrapped._simulation.data.qpos[3:7] = [0.9, 0.43589, 0.0, 0.0]  # tipped over by 0.9 rad
    env.step(np.zeros(8, dtype=np.float32))  # the sensors are one step late
    _, _, terminated, truncated, _ = env.step(np.zeros(8, dtype=np.float32))
    assert terminated
    assert not truncated
