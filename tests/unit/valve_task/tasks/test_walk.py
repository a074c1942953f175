"""Walking: actions, observation, reward terms, end, symmetry, commanded velocity."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from robot_bridge.backend import RobotState
from robot_bridge.body_state import BodyState
from robot_bridge.leg_kinematics import motor_angles, swing_extension
from robot_bridge.robot import load_robot
from rosac_common.settings import SettingsError, from_mapping
from valve_task.tasks import TaskSettings, make_task, tasks_of
from valve_task.tasks.leg_action import LegActionMap
from valve_task.tasks.settings import WalkSettings

ROBOT = load_robot(Path(__file__).parents[4] / "config" / "robots" / "minitaur.yaml")
STAND = motor_angles(np.zeros(4), np.full(4, 2.0))
NOTHING = np.zeros(8, dtype=np.float32)
PERIOD_NS = 20_000_000


def make(name="MinitaurWalk", **walk):
    values = {f"walk.{key}": value for key, value in walk.items()}
    return make_task(from_mapping(TaskSettings, {"name": name, **values}, "task"), ROBOT)


def rotation(roll=0.0, pitch=0.0, yaw=0.0):
    half = np.array([roll, pitch, yaw]) / 2
    (cr, cp, cy), (sr, sp, sy) = np.cos(half), np.sin(half)
    w, x = cr * cp * cy + sr * sp * sy, sr * cp * cy - cr * sp * sy
    return np.array([w, x, cr * sp * cy + sr * cp * sy, cr * cp * sy - sr * sp * cy])


def state(step=0, x=0.0, y=0.0, rates=(0.0, 0.0, 0.0), motors=STAND, **angles):
    body = BodyState(
        step * PERIOD_NS,
        rotation(**angles),
        np.array(rates),
        np.array([0.0, 0.0, 9.81]),
        np.array([x, y, 0.25]),
        np.zeros(3),
    )
    return RobotState(step * PERIOD_NS, np.array(motors), np.zeros(8), np.zeros(8), body=body)


def test_orientation_angles_come_back():
    body = state(roll=0.3, pitch=-0.2, yaw=2.0).body
    assert (body.roll_rad, body.pitch_rad, body.yaw_rad) == pytest.approx((0.3, -0.2, 2.0))
    assert body.upright == pytest.approx(math.cos(0.3) * math.cos(0.2))


def test_table():
    assert tasks_of("minitaur") == ("MinitaurWalk", "MinitaurWalkRandomDynamics", "MinitaurWalkCommand")
    task = make()
    assert (task.horizon_steps, task.control_period_s) == (500, 0.02)
    assert task.observation_size == 112
    assert make("MinitaurWalkCommand").observation_size == 114
    assert make("MinitaurWalkRandomDynamics").random_dynamics


@pytest.mark.parametrize("values", [{"success_tolerance_rad": 0.1}, {"initial_valve_rad": [0.0, 1.0]}])
def test_settings_of_the_valve_are_refused(values):
    with pytest.raises(SettingsError, match=f"MinitaurWalk has no setting task.{next(iter(values))}"):
        make_task(from_mapping(TaskSettings, {"name": "MinitaurWalk", **values}, "task"), ROBOT)


@pytest.mark.parametrize("asked", [[0.4, -0.4], [0.4], [], [-0.4, 0.0, 0.4]])
def test_a_range_of_commands_is_lowest_and_highest(asked):
    with pytest.raises(SettingsError, match="command_range_m_s is .*must be \\[lowest, highest\\]"):
        from_mapping(TaskSettings, {"name": "MinitaurWalkCommand", "walk.command_range_m_s": asked}, "task")


@pytest.mark.parametrize("walk", [{"extension_range_rad": 1.2}, {"extension_centre_rad": 2.9}])
def test_actions_that_the_gate_would_refuse_are_refused_at_once(walk):
    with pytest.raises(SettingsError, match=r"leaves the workspace of the legs of robot 'minitaur', 0\.\d+ .. 2\.\d+"):
        make_task(TaskSettings(name="MinitaurWalk", walk=WalkSettings(**walk)), ROBOT)


def test_starts_that_the_gate_would_refuse_are_refused_at_once():
    walk = {"extension_centre_rad": 2.7, "extension_range_rad": 0.1}
    named = r"2.7 -\+ 0.3, the larger of extension_range_rad 0.1 and start_spread_rad 0.3, leaves the workspace"
    with pytest.raises(SettingsError, match=named):
        make(**walk, start_spread_rad=0.3)
    task, rng = make(**walk, start_spread_rad=0.25), np.random.default_rng(0)
    assert not any(ROBOT.legs.problem(task.draw(rng).pose_rad) for _ in range(100))


class TestActions:
    ACTIONS = make().actions

    def test_swing_and_extension(self):
        action = np.array([1.0, -1.0, 0.5, 0.0, 0.0, 1.0, -1.0, 0.5], dtype=np.float32)
        expected = motor_angles(np.array([0.5, -0.5, 0.25, 0.0]), np.array([2.0, 2.5, 1.5, 2.25]))
        np.testing.assert_allclose(self.ACTIONS.goals(action, expected), expected)
        np.testing.assert_allclose(self.ACTIONS.action(expected), action, atol=1e-6)

    def test_clipped_by_range_and_speed(self):
        robot = dataclasses.replace(ROBOT, position_max_rad=[2.3] * 8)
        actions = LegActionMap(WalkSettings(), robot, 0.02)
        stretched = np.array([0.0] * 4 + [1.0] * 4)
        np.testing.assert_allclose(actions.goals(stretched, STAND), 2.3)
        # 40 rad/s x 0.02 s
        np.testing.assert_allclose(actions.goals(stretched, np.full(8, 0.5)), 1.3)

    def test_a_robot_with_other_legs_is_refused(self):
        robot = dataclasses.replace(ROBOT, joint_symmetries=[])
        object.__setattr__(robot, "joint_names", ROBOT.joint_names[:6])
        with pytest.raises(SettingsError, match="walking needs two joints for each of front_left.* has 6 joints"):
            LegActionMap(WalkSettings(), robot, 0.02)

    def test_a_symmetry_that_tears_legs_apart_is_refused(self):
        with pytest.raises(SettingsError, match="tears leg front_left apart"):
            self.ACTIONS.symmetry([1, 3, 2, 4, 5, 6, 7, 8])

    def test_symmetry_of_the_actions_is_that_of_the_goals(self):
        action = np.random.default_rng(0).uniform(-1, 1, 8)
        mirrored = applied(self.ACTIONS.symmetry(ROBOT.joint_symmetries[8:]), action)
        goals = self.ACTIONS.goals(action, STAND)
        np.testing.assert_allclose(self.ACTIONS.goals(mirrored, STAND), applied(ROBOT.joint_symmetries[8:], goals))


def applied(row, vector):
    return np.array([math.copysign(1, place) * vector[abs(place) - 1] for place in row])


class TestObservation:
    def test_one_reading(self):
        task = make()
        seen = task.observe(state(motors=STAND + 0.1, roll=0.1, pitch=0.2, yaw=1.0, rates=(3.0, 4.0, 5.0)), 0, NOTHING)
        np.testing.assert_allclose(seen[:12], [*[0.1] * 8, 0.1, 0.2, 3.0, 4.0], atol=1e-6)
        # at first it has always been so, and nothing has been done
        np.testing.assert_array_equal(seen[:72].reshape(6, 12), np.tile(seen[:12], (6, 1)))
        assert not seen[72:].any()

    def test_history_is_newest_first(self):
        task = make()
        for step in range(8):
            action = np.full(8, step / 10, dtype=np.float32)  # of the step before
            seen = task.observe(state(step, motors=STAND + step), step, action)
        np.testing.assert_allclose(seen[:72].reshape(6, 12)[:, 0], [7, 6, 5, 4, 3, 2], atol=1e-6)
        np.testing.assert_allclose(seen[72:].reshape(5, 8)[:, 3], [0.7, 0.6, 0.5, 0.4, 0.3], atol=1e-6)

    def test_the_same_step_seen_again_is_not_a_step_of_history(self):
        task = make()
        task.observe(state(0), 0, NOTHING)
        task.observe(state(1, motors=STAND + 1), 1, np.full(8, 0.5))
        seen = task.observe(state(1, motors=STAND + 2), 1, np.full(8, 0.5))
        np.testing.assert_allclose(seen[:72].reshape(6, 12)[:, 0], [2, 0, 0, 0, 0, 0], atol=1e-6)
        np.testing.assert_allclose(seen[72:].reshape(5, 8)[:, 0], [0.5, 0, 0, 0, 0])

    def test_an_episode_begins_without_the_last_one(self):
        task = make()
        for step in range(4):
            task.observe(state(step, motors=STAND + step), step, np.ones(8))
        seen = task.observe(state(4), 0, NOTHING)
        assert not seen.any()

    def test_without_a_body_it_says_what_is_missing(self):
        with pytest.raises(ValueError, match="needs the body's state: the robot needs imu/data and odom"):
            make().observe(dataclasses.replace(state(), body=None), 0, NOTHING)


class TestReward:
    def judged(self, after, action=NOTHING, task=None, before=None):
        task = task or make()
        task.observe(before or state(0), 0, NOTHING)
        outcome = task.evaluate(after, 1, np.array(action, dtype=np.float32))
        assert outcome.reward == pytest.approx(sum(outcome.terms))
        return dict(zip(task.reward_terms, outcome.terms, strict=True)), outcome

    def test_velocity(self):
        terms, _ = self.judged(state(1, x=0.008, y=0.1))
        assert terms == pytest.approx({"velocity": 20 * 0.4, "acceleration": 0, "lean": 0, "fold": 0})
        assert self.judged(state(1, x=0.012))[0]["velocity"] == pytest.approx(20 * 0.4)  # 0.1 m/s too fast
        assert self.judged(state(1, x=-0.002))[0]["velocity"] == pytest.approx(-20 * 0.1)
        assert self.judged(state(1, x=0.5))[0]["velocity"] == pytest.approx(0.0)
        assert self.judged(state(1, x=-0.5))[0]["velocity"] == pytest.approx(-20 * 1.0)

    def test_forward_is_where_it_faced_at_the_start(self):
        terms, _ = self.judged(state(1, y=0.008, yaw=1.0), before=state(0, yaw=math.pi / 2))
        assert terms["velocity"] == pytest.approx(20 * 0.4)

    def test_the_same_place_at_a_later_time_is_a_robot_that_stands(self):
        seen = state(0)
        stopped = dataclasses.replace(state(1).body, position_m=seen.body.position_m)
        terms, outcome = self.judged(dataclasses.replace(state(1), body=stopped), before=seen)
        assert terms["velocity"] == pytest.approx(0.0)
        assert outcome.error == pytest.approx(0.3)

    @pytest.mark.parametrize("rate_hz", [15, 25, 30, 50, 100])
    def test_slow_odometry_earns_what_fast_one_does(self, rate_hz):
        """Half a metre a second over two seconds, seen by a camera of that rate."""
        task, total = make(), 0.0
        task.observe(state(0), 0, NOTHING)
        for step in range(1, 101):
            seen_s = math.floor(step * 0.02 * rate_hz + 1e-9) / rate_hz
            seen = state(step)
            body = dataclasses.replace(
                seen.body, position_m=np.array([0.5 * seen_s, 0.0, 0.25]), position_time_ns=round(seen_s * 1e9)
            )
            seen = dataclasses.replace(seen, body=body)
            outcome = task.evaluate(seen, step, NOTHING)
            total += outcome.terms[0]
            task.observe(seen, step, NOTHING)
        late_steps = math.ceil(50 / rate_hz) - 1  # at first nothing is known
        assert total == pytest.approx(20 * 0.5 * (100 - late_steps))
        assert outcome.success

    def test_the_same_reading_twice_is_a_robot_that_stands(self):
        terms, outcome = self.judged(state(0), before=state(0))
        assert terms["velocity"] == pytest.approx(0.0)
        assert outcome.error == pytest.approx(0.3)

    def test_acceleration_of_the_last_three_actions(self):
        task = make()
        task.observe(state(0), 0, NOTHING)
        task.evaluate(state(1), 1, np.full(8, 0.2, dtype=np.float32))
        task.observe(state(1), 1, np.full(8, 0.2, dtype=np.float32))
        outcome = task.evaluate(state(2), 2, np.full(8, -0.6, dtype=np.float32))
        # 0.5 rad x |-0.6 - 2 x 0.2 + 0|
        assert outcome.terms[1] == pytest.approx(-2.0 * 0.5)

    def test_lean_and_fold(self):
        terms, _ = self.judged(state(1, roll=-0.4, pitch=0.35))
        assert terms["lean"] == pytest.approx(-10 * (0.1 + 0.05))
        swung = motor_angles(np.array([0.8, 0.9, 0.7, 0.9]), np.full(4, 2.0))  # the back legs may
        assert self.judged(state(1, motors=swung))[0]["fold"] == pytest.approx(-10 * (0.2 + 0.1))

    def test_a_fall_ends_the_episode_and_time_does_not(self):
        assert not self.judged(state(1, roll=0.5))[1].terminated
        assert self.judged(state(1, roll=0.6))[1].terminated  # cos 0.6 = 0.83
        assert self.judged(state(1, pitch=math.pi))[1].terminated

    @pytest.mark.parametrize("leg", range(4))
    def test_a_leg_swung_through_ends_it_too(self, leg):
        for swing, expected in ((1.1, False), (1.3, True), (-1.3, True)):
            swings = np.zeros(4)
            swings[leg] = swing
            motors = motor_angles(swings, np.full(4, 2.0))
            assert self.judged(state(1, motors=motors))[1].terminated == expected

    def test_success_is_the_mean_speed_without_a_fall(self):
        task = make()
        task.observe(state(0), 0, NOTHING)
        assert task.error(state(0), 0) == pytest.approx(0.3)
        assert task.evaluate(state(100, x=0.61), 100, NOTHING).success
        slow = task.evaluate(state(100, x=0.4), 100, NOTHING)
        assert not slow.success
        assert slow.error == pytest.approx(0.1)
        assert not task.evaluate(state(100, x=1.0, roll=1.0), 100, NOTHING).success


class TestCommand:
    def commanded(self, speed):
        task = make("MinitaurWalkCommand")
        task.draw(np.random.default_rng(0))
        task.command_m_s = speed
        return task

    def test_is_drawn_observed_and_can_be_changed(self):
        task = make("MinitaurWalkCommand", command_range_m_s=[-0.2, -0.1])
        task.draw(np.random.default_rng(0))
        assert -0.2 <= task.command_m_s <= -0.1
        assert task.observe(state(0), 0, NOTHING)[-2:] == pytest.approx([task.command_m_s, 0.0])
        task.command_m_s = 0.3
        assert task.observe(state(1), 1, NOTHING)[-2] == pytest.approx(0.3)

    @pytest.mark.parametrize(("asked", "expected"), [(0.0, 0.0), (0.05, 0.0), (-0.4, 0.3), (0.3, 0.2)])
    def test_the_first_error_is_that_of_a_robot_that_stands(self, asked, expected):
        assert self.commanded(asked).error(state(0), 0) == pytest.approx(expected)

    def test_once_somebody_asks_none_is_drawn_any_more(self):
        """Else the robot would set off by itself at the next episode, the joystick released."""
        task, rng = make("MinitaurWalkCommand"), np.random.default_rng(0)
        task.draw(rng)
        task.command(0.3)
        task.command(0.0)
        for _ in range(3):
            task.draw(rng)
            task.stays(state(x=2.0).body)
            assert task.command_m_s == 0.0

    @pytest.mark.parametrize("asked", [math.nan, math.inf, -math.inf])
    def test_a_velocity_that_is_not_finite_is_refused(self, asked):
        task = self.commanded(0.1)
        assert task.command(asked) == f"commanded velocity {asked} is not finite; the one before stays in force"
        assert task.command_m_s == 0.1

    @pytest.mark.parametrize(
        ("low", "high", "asked", "followed"),
        [
            (-0.4, 0.4, 0.7, 0.4),
            (-0.4, 0.4, -0.5, -0.4),
            (0.1, 0.4, 0.0, 0.0),
            (0.1, 0.4, -0.2, 0.0),
            (0.1, 0.4, 9, 0.4),
        ],
    )
    def test_a_velocity_beyond_the_range_is_followed_as_far_as_it_goes_and_to_stand_is_always_allowed(
        self, low, high, asked, followed
    ):
        task = make("MinitaurWalkCommand", command_range_m_s=[low, high])
        assert task.command(asked) == ""
        assert task.command_m_s == followed

    def test_a_task_that_follows_none_says_so(self):
        assert make().command(0.2) == "task MinitaurWalk follows no commanded velocity"

    @pytest.mark.parametrize(
        ("command", "x", "expected"), [(0.3, 0.006, 0.5), (0.3, 0.004, 0.4), (-0.3, -0.008, 0.4), (0.0, 0.0, 0.5)]
    )
    def test_to_do_what_is_asked_for_earns_as_much_whatever_it_is(self, command, x, expected):
        task = self.commanded(command)
        task.observe(state(0), 0, NOTHING)
        assert task.evaluate(state(1, x=x), 1, NOTHING).terms[0] == pytest.approx(20 * expected)

    def test_to_stand_never_costs_whatever_is_asked_for(self):
        task = make("MinitaurWalkCommand", command_range_m_s=[-0.9, 0.4])
        task.command(-0.9)
        task.observe(state(0), 0, NOTHING)
        assert task.evaluate(state(1), 1, NOTHING).terms[0] == pytest.approx(0.0)

    def test_the_reward_is_of_the_velocity_that_the_policy_saw(self):
        task = self.commanded(0.3)
        task.observe(state(0), 0, NOTHING)
        task.command(-0.4)
        assert task.evaluate(state(1, x=0.006), 1, NOTHING).terms[0] == pytest.approx(20 * 0.5)
        assert task.observe(state(1, x=0.006), 1, NOTHING)[-2:] == pytest.approx([-0.4, 0.3])
        assert task.evaluate(state(2, x=0.012), 2, NOTHING).terms[0] == pytest.approx(20 * (0.5 - 0.7))

    def test_success_is_judged_by_what_was_asked_for_all_along(self):
        task, x = self.commanded(0.4), 0.0
        for step in range(100):
            task.observe(state(step, x=x), step, NOTHING)
            x += 0.02 * task.command_m_s
            outcome = task.evaluate(state(step + 1, x=x), step + 1, NOTHING)
            if step == 49:
                task.command(0.0)
        assert outcome.success
        assert not task.evaluate(state(100, x=0.0), 100, NOTHING).success, "0 m/s, 0.2 m/s were asked for"

    def test_success_is_to_be_near_it(self):
        task = self.commanded(-0.3)
        task.observe(state(0), 0, NOTHING)
        assert task.evaluate(state(100, x=-0.5), 100, NOTHING).success
        assert not task.evaluate(state(100, x=0.5), 100, NOTHING).success


def test_starts_differ():
    task, rng = make(start_spread_rad=0.1), np.random.default_rng(0)
    poses = np.array([task.draw(rng).pose_rad for _ in range(200)])
    swing, extension = np.array([swing_extension(pose) for pose in poses]).transpose(1, 0, 2)
    for values, centre in ((swing, 0.0), (extension, 2.0)):
        assert 0.09 < np.abs(values - centre).max() <= 0.1
    assert (make(start_spread_rad=0.0).draw(rng).pose_rad == STAND).all()


def test_smoothing_ends_after_its_episodes():
    task = make(smoothing_episodes=2, smoothing=0.75)
    last, action = np.full(8, 1.0, np.float32), np.full(8, -1.0, np.float32)
    np.testing.assert_allclose(task.shaped(action, last, 1), 0.5)
    np.testing.assert_array_equal(task.shaped(action, last, 2), action)
    np.testing.assert_array_equal(make().shaped(action, last, 0), action)


@pytest.mark.parametrize("name", tasks_of("minitaur"))
def test_the_mirror_changes_neither_reward_nor_end(name):
    rng = np.random.default_rng(3)
    task, mirrored = make(name), make(name)
    observation_rows, action_rows = (np.array(rows).reshape(2, -1) for rows in task.symmetries)
    assert observation_rows.shape == (2, task.observation_size)
    mirrored.command_m_s = task.command_m_s = 0.2
    mirror = ROBOT.joint_symmetries[8:]
    for step in range(7):
        motors, roll, pitch, yaw = STAND + rng.normal(0, 0.3, 8), *rng.normal(0, 0.2, 2), 0.0
        rates, (x, y), action = rng.normal(0, 1, 3), rng.normal(0, 0.01, 2), rng.uniform(-1, 1, 8)
        seen = state(step, x, y, rates, motors, roll=roll, pitch=pitch, yaw=yaw)
        flipped_rates = rates * [-1, 1, -1]
        flipped = state(step, x, -y, flipped_rates, applied(mirror, motors), roll=-roll, pitch=pitch, yaw=-yaw)
        flipped_action = applied(action_rows[1], action)
        if step:
            outcome, other = task.evaluate(seen, step, action), mirrored.evaluate(flipped, step, flipped_action)
            assert outcome.reward == pytest.approx(other.reward)
        before = task.observe(seen, step, action if step else NOTHING)
        after = mirrored.observe(flipped, step, flipped_action if step else NOTHING)
        np.testing.assert_allclose(after, applied(observation_rows[1], before), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"position_max_rad": [3.8] * 7 + [2.3]}, "robot.position_min_rad and position_max_rad"),
        ({"speed_limit_rad_s": [30.0] + [40.0] * 7}, "robot.speed_limit_rad_s"),
        ({"position_max_rad": [2.3] + [3.8] * 4 + [2.3, 3.8, 3.8]}, ""),  # motors that take each other's place
    ],
)
def test_a_mirror_that_limits_of_the_robot_break_is_none(changes, broken):
    robot = dataclasses.replace(ROBOT, **changes)
    task = make_task(TaskSettings(name="MinitaurWalk"), robot)
    action_rows, rng = np.array(task.symmetries[1]).reshape(-1, 8), np.random.default_rng(0)
    for action_row, joint_row in zip(action_rows, np.array(ROBOT.joint_symmetries).reshape(2, 8), strict=False):
        for _ in range(20):
            action, motors = rng.uniform(-1, 1, 8), STAND + rng.normal(0, 0.3, 8)
            goals = task.actions.goals(applied(action_row, action), applied(joint_row, motors))
            np.testing.assert_allclose(goals, applied(joint_row, task.actions.goals(action, motors)))
    told = f"task MinitaurWalk has 1 of the robot's 2 symmetries; not the same after the others: {broken}"
    assert task.lost_symmetries == (told if broken else "")
    assert len(action_rows) == (1 if broken else 2)


def test_front_and_rear_do_not_change_places():
    robot = dataclasses.replace(ROBOT, joint_symmetries=[*ROBOT.joint_symmetries, 4, 3, 2, 1, 8, 7, 6, 5])
    task = make_task(TaskSettings(name="MinitaurWalk"), robot)
    assert task.symmetries == make().symmetries
    assert task.lost_symmetries.endswith(
        "has 2 of the robot's 3 symmetries; not the same after the others: what the task is about"
    )
