import collections
import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robot_bridge.backend import RobotState
from robot_bridge.robot import load_robot
from robot_bridge.simulation import make_simulation
from robot_bridge.simulation.settings import SimulationSettings
from valve_task.reset import EpisodeReset, ResetPhase, ResetProcedure, ResetSettings
from valve_task.tasks import Start, TaskSettings, make_task

from . import conftest

ROBOT = load_robot(conftest.ROBOT_FILE)
POSE = np.array([0.0, -math.pi / 3, math.pi / 3] * 3)
PERIOD_S = 0.1
MAX_MOVE = np.array([*ROBOT.speed_limit_rad_s, *ROBOT.auxiliary_speed_limit_rad_s]) * PERIOD_S
TOP, MIDDLE, BOTTOM, VALVE = [0, 3, 6], [1, 4, 7], [2, 5, 8], [9]


def procedure(valve=1.0, pose=POSE, **changes):
    start = Start(np.array(pose), POSE, None if valve is None else np.array([valve]))
    return ResetProcedure(ROBOT, ResetSettings(**changes), start, PERIOD_S)


def run(reset, position, stuck=(), slow=(), limit=2000):
    """Carry out the reset on a robot that goes where it is told, but for stuck and slow joints; phases and commands."""
    position, velocity = np.array(position, dtype=float), np.zeros(10)
    share = np.ones(10)
    share[list(stuck)], share[list(slow)] = 0.0, 0.1
    log = []
    for step in range(limit):
        command = reset.step(RobotState(round(step * PERIOD_S * 1e9), position.copy(), velocity, np.zeros(10)))
        if command is None:
            return log, position
        log.append((reset.phase, position.copy(), command))
        move = np.where(command.torque_on, command.goals_rad - position, 0.0) * share
        position, velocity = position + move, move / PERIOD_S
    raise AssertionError("the reset does not end")


def torques(command):
    return set(np.flatnonzero(command.torque_on).tolist())


def test_phases_and_torques_follow_the_hardware_procedure():
    reset = procedure()
    log, position = run(reset, np.append(np.full(9, 0.4), -1.0))
    assert reset.phase is ResetPhase.DONE
    assert list(dict.fromkeys(phase for phase, _, _ in log)) == [ResetPhase.CLEAR, ResetPhase.POSE, ResetPhase.RELEASE]
    for phase, _, command in log:
        expected = {
            # top and bottom joints are soft while the fingers leave and the valve's motor turns it
            ResetPhase.CLEAR: {*MIDDLE, *VALVE},
            ResetPhase.POSE: set(range(10)),
            # the valve turns freely at the end
            ResetPhase.RELEASE: set(range(9)),
        }[phase]
        assert torques(command) == expected
    assert position == pytest.approx([*POSE, 1.0], abs=math.radians(5))
    assert (reset.attempts, reset.failure) == (1, "")


def test_a_soft_finger_that_is_pushed_out_of_its_range_is_held_at_the_edge():
    """By the valve, as its motor turns it: far outside, the safety gate would not let it be switched on."""
    reset, high = procedure(), ROBOT.position_max_rad[0]
    position, velocity = np.append(POSE, -1.0), np.append(np.zeros(9), 0.5)
    for x, speed, held in ((high - 0.1, 0.5, False), (high - 0.04, 0.5, True), (high + 0.02, 0.5, True)):
        position[0], velocity[0] = x, speed
        command = reset.step(RobotState(0, position.copy(), velocity, np.zeros(10)))
        assert (reset.phase, bool(command.torque_on[0])) == (ResetPhase.CLEAR, held)
        if held:
            assert command.goals_rad[0] == pytest.approx(min(x, high))
    position[0], velocity[0] = high - 0.2, 0.0  # it is not let go and pushed out again
    assert reset.step(RobotState(0, position, velocity, np.zeros(10))).torque_on[0]


def test_early_exit_when_everything_is_there_already():
    reset = procedure()
    log, _ = run(reset, [*POSE, 1.0])
    assert len(log) <= 7


def test_fingers_are_out_before_they_go_to_the_pose():
    log, _ = run(procedure(valve=1.0), np.append(np.full(9, 0.4), 1.0))
    first = next(position for phase, position, _ in log if phase is ResetPhase.POSE)
    assert first[MIDDLE] == pytest.approx(POSE[MIDDLE], abs=math.radians(1))


def test_slow_fingers_are_waited_for_no_longer_than_the_clear_time():
    log, _ = run(procedure(valve=1.0), np.append(np.full(9, 1.5), 1.0), slow=[1])
    phases = [phase for phase, _, _ in log]
    assert phases.index(ResetPhase.POSE) * PERIOD_S == pytest.approx(1.0, abs=0.11)


def test_without_a_valve_angle_the_valve_is_left_alone():
    pose = POSE + 0.3
    reset = procedure(valve=None, pose=pose)
    log, position = run(reset, np.append(np.zeros(9), 2.5))
    assert reset.phase is ResetPhase.DONE
    # out, then sideways, then in: fingers must not cross
    assert list(dict.fromkeys(phase for phase, _, _ in log)) == [
        ResetPhase.CLEAR,
        ResetPhase.SPREAD,
        ResetPhase.POSE,
        ResetPhase.RELEASE,
    ]
    assert all(9 not in torques(command) for _, _, command in log)
    assert position[9] == 2.5
    assert position[:9] == pytest.approx(pose, abs=math.radians(5))


@given(st.lists(st.floats(-1.5, 1.5), min_size=9, max_size=9), st.floats(-3.1, 3.1), st.floats(-3.1, 3.1))
@settings(max_examples=30)
def test_from_anywhere_at_limited_speed(joints, valve, target):
    position = np.clip(np.append(joints, valve), [*ROBOT.position_min_rad, -4], [*ROBOT.position_max_rad, 4])
    reset = procedure(valve=target)
    log, end = run(reset, position)
    assert reset.phase is ResetPhase.DONE
    assert end == pytest.approx([*POSE, target], abs=math.radians(5))
    for _, before, command in log:
        assert (np.abs(command.goals_rad - before) <= MAX_MOVE + 1e-9).all()
        assert (command.goals_rad >= np.array([*ROBOT.position_min_rad, -math.pi])).all()


def test_a_stuck_joint_is_disentangled_three_times_and_then_named():
    reset = procedure()
    log, _ = run(reset, np.append(np.full(9, 0.4), -1.0), stuck=[5])
    assert reset.phase is ResetPhase.FAILED
    assert reset.attempts == 4
    assert "finger2_bottom" in reset.failure
    assert "is at 0.400 rad, expected 1.047" in reset.failure
    assert "finger1" not in reset.failure
    phases = collections.Counter(phase for phase, _, _ in log)
    for phase in (ResetPhase.REST, ResetPhase.FREE_TOP, ResetPhase.FREE_MIDDLE, ResetPhase.FREE_BOTTOM):
        assert phases[phase] == 3 * math.ceil(0.75 / PERIOD_S)
    expected = {
        ResetPhase.REST: set(),
        ResetPhase.FREE_TOP: set(TOP),
        ResetPhase.FREE_MIDDLE: {*TOP, *MIDDLE},
        ResetPhase.FREE_BOTTOM: set(range(9)),
    }
    for phase, _, command in log:
        if phase in expected:
            assert torques(command) == expected[phase]
        if phase is ResetPhase.FREE_BOTTOM:
            assert (command.goals_rad[TOP] > 0.4).all()  # pi/4, clipped to their range


def test_a_joint_that_comes_free_is_enough():
    reset = procedure()
    position = np.append(np.full(9, 0.4), -1.0)
    freed = False
    for step in range(500):
        command = reset.step(RobotState(step, position.copy(), np.zeros(10), np.zeros(10)))
        if command is None:
            break
        freed |= reset.phase is ResetPhase.FREE_BOTTOM
        moves = command.torque_on & (freed | (np.arange(10) != 5))
        position = np.where(moves, command.goals_rad, position)
    assert (reset.phase, reset.attempts) == (ResetPhase.DONE, 2)


def test_a_valve_that_does_not_turn_is_a_failure_too():
    reset = procedure(retries=0, valve_time_s=1.0)
    run(reset, [*POSE, -1.0], stuck=[9])
    assert reset.phase is ResetPhase.FAILED
    assert "'valve' is at -1.000 rad, expected 1.000" in reset.failure


def test_sensor_noise_is_averaged():
    """Noise of ROBEL's RandomDynamics reaches 9 degrees on the valve; no single reading may decide."""
    rng = np.random.default_rng(0)
    attempts = []
    for _ in range(20):
        reset = procedure()
        position = np.array([*POSE, 1.0])
        for step in range(300):
            noise = rng.uniform(-0.5, 0.5, 10) * 0.05 * np.array([0.96, 2.09, 3.14] * 3 + [6.28])
            speed = rng.uniform(-0.5, 0.5, 10) * 0.05 * 4.19
            if reset.step(RobotState(step, position + noise, speed, np.zeros(10))) is None:
                break
        attempts.append(reset.attempts)
    assert np.mean(attempts) < 1.3


def test_a_start_that_cannot_be_reached_is_drawn_anew():
    task = make_task(TaskSettings(), ROBOT)
    settings_ = ResetSettings(retries=0, pose_time_s=0.5, valve_time_s=0.5, draws=3)
    reset = EpisodeReset(ROBOT, settings_, task, np.random.default_rng(0))
    run(reset, [*POSE, 3.9], stuck=[9])  # no start is there
    assert reset.phase is ResetPhase.FAILED
    assert reset.report.attempts == 3
    assert "valve" in reset.failure
    assert reset.report.duration_s > 1.0


TANGLED = {"DClawTurn": 25, "DClawTurnRandomDynamics": 8, "DClawPoseRandom": 8}


@pytest.mark.parametrize("name", TANGLED)
def test_in_simulation_from_random_tangled_states(name):
    rng = np.random.default_rng(5)
    task = make_task(TaskSettings(name=name), ROBOT)
    simulation = make_simulation(ROBOT, SimulationSettings(), 0, 0)
    steps = []
    for _ in range(TANGLED[name]):
        tangled = np.append(rng.uniform(task.actions.low_rad, task.actions.high_rad), rng.uniform(-6, 6))
        simulation.set_state(tangled)
        if task.random_dynamics:
            simulation.randomise(rng)
        starts = []
        task_draw = task.draw
        task.draw = lambda rng, draw=task_draw, starts=starts: starts.append(draw(rng)) or starts[-1]
        reset = EpisodeReset(ROBOT, ResetSettings(), task, rng)
        count, last = 0, None
        while (command := reset.step(simulation.read())) is not None:
            simulation.write(command.goals_rad, command.torque_on)
            simulation.advance(task.control_period_s)
            count, last = count + 1, command
        task.draw = task_draw
        assert reset.phase is ResetPhase.DONE, reset.failure
        assert not last.torque_on[9]
        position = np.array([simulation.data.joint(joint).qpos[0] for joint in ROBOT.all_joint_names])  # no noise
        tolerance = math.radians(5) + (0.05 if task.random_dynamics else 0.0)  # what the mean of 3 readings leaves
        assert position[:9] == pytest.approx(starts[-1].pose_rad, abs=tolerance)
        if starts[-1].auxiliary_rad is not None:
            assert position[9] == pytest.approx(starts[-1].auxiliary_rad[0], abs=tolerance + 0.1 * task.random_dynamics)
        steps.append(count)
    # 10 Hz: 2 to 2.5 s of robot time
    if name == "DClawTurn":
        assert np.median(steps) <= 25


STRAIGHT = dataclasses.replace(ROBOT, reset_procedure="straight")


def straight(valve=None, clear=POSE, **changes):
    """What a robot gets whose file says nothing of resets; here one that has the hand's joints."""
    start = Start(POSE, clear, None if valve is None else np.array([valve]))
    return ResetProcedure(STRAIGHT, ResetSettings(**changes), start, PERIOD_S)


def test_straight_is_what_a_robot_gets_that_asks_for_nothing_else():
    defaults = {field.name: field.default for field in dataclasses.fields(ROBOT)}
    assert (ROBOT.reset_procedure, defaults["reset_procedure"]) == ("fingers", "straight")


@pytest.mark.parametrize(
    ("valve", "clear", "phases"),
    [
        (None, POSE, [ResetPhase.STRAIGHT]),
        (None, POSE - 0.2, [ResetPhase.ASIDE, ResetPhase.STRAIGHT]),
        (1.0, POSE, [ResetPhase.STRAIGHT, ResetPhase.RELEASE]),
    ],
)
def test_straight_keeps_every_joint_under_torque(valve, clear, phases):
    reset = straight(valve, clear)
    log, position = run(reset, np.append(np.full(9, 0.4), 0.6))
    assert reset.phase is ResetPhase.DONE
    assert list(dict.fromkeys(phase for phase, _, _ in log)) == phases
    for phase, before, command in log:
        turned = valve is not None and phase is not ResetPhase.RELEASE
        assert torques(command) == set(range(9)) | ({9} if turned else set())
        assert (np.abs(command.goals_rad - before) <= MAX_MOVE + 1e-9)[list(torques(command))].all()
    assert position == pytest.approx([*POSE, 0.6 if valve is None else valve], abs=math.radians(5))
    if ResetPhase.ASIDE in phases:
        first = next(position for phase, position, _ in log if phase is ResetPhase.STRAIGHT)
        assert first[:9] == pytest.approx(clear, abs=math.radians(1))


def test_straight_tries_again_under_torque_and_names_what_is_stuck():
    reset = straight(retries=2, pose_time_s=1.0)
    log, _ = run(reset, np.append(np.full(9, 0.4), 0.6), stuck=[5])
    assert (reset.phase, reset.attempts) == (ResetPhase.FAILED, 3)
    assert "joint 'finger2_bottom' is at 0.400 rad, expected 1.047" in reset.failure
    assert len(log) * PERIOD_S == pytest.approx(3.0, abs=0.31)
    assert all(torques(command) == set(range(9)) for _, _, command in log)


def test_a_start_for_another_robot_is_refused():
    with pytest.raises(ValueError, match=r"Start of \[6, 6\] values.*robot 'dclaw' has 9 joints and 1 auxiliary"):
        ResetProcedure(STRAIGHT, ResetSettings(), Start(np.zeros(6), np.zeros(6), None), PERIOD_S)
