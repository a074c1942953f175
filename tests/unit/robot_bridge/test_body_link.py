"""Readings of the body's sensors: which are used, what is said of the others, and how they join the joints."""

import dataclasses

import numpy as np
import pytest
from robot_bridge.backend import RobotState
from robot_bridge.body_limits import BodyLimits
from robot_bridge.body_link import BodyJoiner, BodyWatch, ImuReading, OdometryReading, imu_of, odometry_of
from robot_bridge.body_state import BodyState

UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
ON_ITS_BACK = np.array([0.0, 1.0, 0.0, 0.0])
MS = 1_000_000


def imu(time_ns, quaternion=UPRIGHT, rate=0.1):
    return ImuReading(time_ns, np.array(quaternion, dtype=float), np.full(3, rate), np.array([0.0, 0.0, 9.81]))


def odometry(time_ns, x=0.0, velocity=0.0, quaternion=UPRIGHT):
    return OdometryReading(
        time_ns, np.array([x, 0.0, 0.2]), quaternion, np.array([velocity, 0.0, 0.0]), np.array([0.0, 0.0, 0.7])
    )


def turned(yaw, pitch=0.0):
    """Heading, then nose down."""
    yawed, pitched = np.array([np.cos(yaw / 2), np.sin(yaw / 2)]), np.array([np.cos(pitch / 2), np.sin(pitch / 2)])
    return np.array([yawed[0] * pitched[0], -yawed[1] * pitched[1], yawed[0] * pitched[1], yawed[1] * pitched[0]])


@pytest.fixture
def watch():
    made = BodyWatch(BodyLimits(sensed=True), 0.0)
    made.imu(imu(0), 0.0)
    made.odometry(odometry(0), 0.0)
    return made


def test_good_readings_make_a_body(watch):
    assert watch.imu(imu(10 * MS), 0.01)
    assert watch.odometry(odometry(10 * MS, 0.004, 0.4), 0.01)
    assert watch.problem(0.01) == ""
    body = watch.body()
    assert body.time_ns == 10 * MS
    np.testing.assert_allclose(body.position_m, [0.004, 0.0, 0.2])
    np.testing.assert_allclose(body.linear_velocity_m_s, [0.4, 0.0, 0.0])


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (imu(MS, [0.0, 0.0, 0.0, 0.0]), "quaternion has norm 0.0000"),
        (imu(MS, [1.1, 0.0, 0.0, 0.0]), "quaternion has norm 1.1000"),
        (imu(MS, [np.nan, 0.0, 0.0, 0.0]), "not finite"),
        (imu(MS, rate=np.inf), "not finite"),
    ],
)
def test_a_senseless_inertial_reading_is_not_used(watch, reading, expected):
    assert not watch.imu(reading, 0.001)
    assert expected in watch.problem(0.001)
    assert watch.body().time_ns == 0


def test_a_bad_reading_counts_until_its_topic_could_have_been_silent_as_long(watch):
    """Whoever looks less often than readings come must not miss it."""
    watch.imu(imu(MS, rate=np.nan), 0.001)
    for i in range(2, 110):
        assert watch.imu(imu(i * MS), i * 1e-3)
        assert ("not finite" in watch.problem(i * 1e-3)) == (i <= 101)


@pytest.mark.parametrize("then", ["stays", "goes back"])
def test_a_jump_of_the_odometry_is_named_however_fast_good_readings_follow(watch, then):
    assert not watch.odometry(odometry(10 * MS, x=0.06), 0.01)
    assert "jumps by 0.060 m in 0.010 s, at most 0.050 m" in watch.problem(0.01)
    jumps_again = then == "goes back"
    assert watch.odometry(odometry(11 * MS, x=0.0 if jumps_again else 0.061), 0.011) == (not jumps_again)
    for i in range(12, 220):
        assert watch.odometry(odometry(i * MS, x=0.0 if jumps_again else 0.061), i * 1e-3)
        watch.imu(imu(i * MS), i * 1e-3)
        assert ("jumps" in watch.problem(i * 1e-3)) == (i <= 210 + jumps_again)


def test_a_clock_that_is_set_back_excuses_no_jump(watch):
    assert watch.odometry(odometry(500 * MS, x=0.1), 0.5)
    assert not watch.odometry(odometry(400 * MS, x=100.0), 0.51)
    assert "jumps by 99.900 m in 0.100 s" in watch.problem(0.51)


def test_the_heading_is_the_odometrys_and_the_rest_the_inertial_sensors(watch):
    """An inertial sensor's heading starts anywhere and drifts."""
    watch.imu(imu(10 * MS, turned(2.5, 0.3)), 0.01)
    watch.odometry(odometry(10 * MS, 0.001, 0.4, turned(-1.2, 0.29)), 0.01)
    body = watch.body()
    assert (body.yaw_rad, body.pitch_rad, body.roll_rad) == pytest.approx((-1.2, 0.3, 0.0), abs=1e-9)
    assert body.angular_velocity_rad_s.tolist() == [0.1, 0.1, 0.1]
    assert body.linear_velocity_m_s.tolist() == [0.4, 0.0, 0.0]  # in the body's frame, whatever its heading is


def test_odometry_without_an_orientation_is_not_used(watch):
    assert not watch.odometry(odometry(MS, quaternion=np.zeros(4)), 0.001)
    assert "the odometry's quaternion has norm 0.0000" in watch.problem(0.001)


def test_stamps_far_from_the_joints_are_named(watch):
    watch.odometry(odometry(1500 * MS), 0.0)
    watch.imu(imu(1400 * MS), 0.0)
    assert watch.problem(0.0, 1600 * MS) == ""
    assert watch.problem(0.0, 1400 * MS) == ""
    assert watch.problem(0.0, 1601 * MS).startswith("imu/data is stamped 0.201 s before the joints, limit 0.2 s")
    assert watch.problem(0.0, 1250 * MS).startswith("odom is stamped 0.250 s after the joints, limit 0.2 s")
    assert watch.problem(0.0) == ""


def test_the_position_keeps_its_own_time(watch):
    watch.odometry(odometry(5 * MS), 0.005)
    watch.imu(imu(10 * MS), 0.01)
    assert (watch.body().time_ns, watch.body().placed_ns) == (10 * MS, 5 * MS)


def test_being_put_back_is_no_jump(watch):
    assert not watch.odometry(odometry(10 * MS, x=-3.0), 0.01)
    watch.put_back()
    assert watch.problem(0.01) == ""
    assert watch.odometry(odometry(20 * MS, x=0.0), 0.02)
    assert watch.problem(0.02) == ""


def test_odometry_that_is_not_finite_is_not_used(watch):
    assert not watch.odometry(odometry(MS, x=np.nan), 0.001)
    assert "not finite" in watch.problem(0.001)
    assert np.isfinite(watch.body().position_m).all()


@pytest.mark.parametrize(("topic", "limit_s"), [("imu/data", 0.1), ("odom", 0.2)])
def test_silence_and_a_repeated_reading_are_found(watch, topic, limit_s):
    now_s = 0.0
    while now_s < limit_s + 0.02:
        now_s += 0.01
        fresh = int(now_s * 1e9)
        watch.imu(imu(0 if topic == "imu/data" else fresh), now_s)  # the same reading over and over is no reading
        watch.odometry(odometry(0 if topic == "odom" else fresh), now_s)
        assert bool(watch.problem(now_s)) == (now_s > limit_s)
    assert f"{topic} is silent for" in watch.problem(now_s)


@pytest.mark.parametrize("changes", ["nothing", "quaternion", "angular_velocity_rad_s", "linear_acceleration_m_s2"])
def test_a_real_sensor_that_shows_the_same_values_under_new_stamps_is_found(changes):
    watch = BodyWatch(BodyLimits(sensed=True), 0.0, real=True)
    for i in range(13):
        reading = imu(10 * i * MS)
        if changes != "nothing":
            reading = reading._replace(**{changes: getattr(reading, changes) + 1e-9 * i})
        assert watch.imu(reading, 0.01 * i)
        watch.odometry(odometry(10 * i * MS), 0.01 * i)
    assert watch.problem(0.12) == (
        "imu/data shows the same values to the bit for 0.120 s, limit 0.1 s: start its driver, look at its cable"
        if changes == "nothing"
        else ""
    )
    watch.imu(imu(130 * MS, rate=0.2), 0.13)
    assert watch.problem(0.13) == ""


def test_a_simulated_body_may_stand_still(watch):
    for i in range(20):
        watch.imu(imu(10 * i * MS), 0.01 * i)
    assert watch.problem(0.19) == ""


def test_what_was_never_heard_is_said_so():
    watch = BodyWatch(BodyLimits(), 0.0)
    assert watch.problem(0.05) == ""
    assert "imu/data was never heard" in watch.problem(0.15)
    assert watch.body() is None
    assert "never heard" in watch.arm_problem()


def test_a_robot_on_its_back_is_not_armed(watch):
    assert watch.arm_problem() == ""
    watch.imu(imu(MS, ON_ITS_BACK), 0.001)
    assert "-1.00 of its z axis up, at least 0.5" in watch.arm_problem()


@pytest.mark.parametrize("own", [False, True], ids=["one orientation", "odometry with its own"])
def test_a_state_goes_through_readings_to_the_bit(own):
    """So that a simulation's readings through messages are those in process."""
    rng = np.random.default_rng(0)
    quaternions = rng.standard_normal((2, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1)[:, None]
    body = BodyState(5, quaternions[0], *rng.standard_normal((4, 3)))
    if own:
        body = dataclasses.replace(
            body, position_time_ns=3, odometry_quaternion=quaternions[1], odometry_rates_rad_s=rng.standard_normal(3)
        )
    watch = BodyWatch(BodyLimits(), 0.0)
    watch.imu(imu_of(body), 0.0)
    watch.odometry(odometry_of(body), 0.0)
    got = watch.body()
    for name in ("quaternion", "angular_velocity_rad_s", "linear_acceleration_m_s2", "position_m"):
        np.testing.assert_array_equal(getattr(got, name), getattr(body, name))
    np.testing.assert_array_equal(got.linear_velocity_m_s, body.linear_velocity_m_s)
    for name in ("time_ns", "placed_ns", "roll_rad", "pitch_rad", "yaw_rad", "upright"):
        assert getattr(got, name) == getattr(body, name)
    expected = quaternions[int(own)]
    np.testing.assert_array_equal(got.odometry_quaternion, expected)
    np.testing.assert_array_equal(
        got.odometry_rates_rad_s, body.odometry_rates_rad_s if own else body.angular_velocity_rad_s
    )
    w, x, y, z = expected
    assert got.yaw_rad == np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def joints(time_ns):
    return RobotState(time_ns, np.zeros(8), np.zeros(8), np.zeros(8))


class TestJoiner:
    @pytest.mark.parametrize("order", ["jio", "oij", "ijo", "oji"])
    def test_in_lockstep_a_state_is_complete_when_all_three_have_come(self, watch, order):
        joiner, found = BodyJoiner(watch, lockstep=True), []
        for kind in order:
            if kind == "j":
                found.append(joiner.joints(joints(20 * MS), 0.02))
                continue
            (watch.imu if kind == "i" else watch.odometry)((imu if kind == "i" else odometry)(20 * MS), 0.02)
            found.append(joiner.complete())
        complete = [state for state in found if state is not None]
        assert len(complete) == 1
        assert found[-1] is complete[0]
        assert complete[0].body.time_ns == 20 * MS

    def test_in_lockstep_silence_is_no_reason(self, watch):
        joiner = BodyJoiner(watch, lockstep=True)
        watch.imu(imu(20 * MS), 100.0)
        watch.odometry(odometry(20 * MS), 100.0)
        assert joiner.joints(joints(20 * MS), 200.0) is not None

    def test_in_real_time_the_newest_readings_count_while_they_are_fresh(self, watch):
        joiner = BodyJoiner(watch, lockstep=False)
        assert joiner.joints(joints(50 * MS), 0.05).body.time_ns == 0
        assert joiner.joints(joints(150 * MS), 0.15) is None
        assert joiner.problem(0.15).startswith("imu/data is silent for 0.150 s")

    @pytest.mark.parametrize("later", [False, True], ids=["at the start", "after being put back"])
    def test_in_real_time_joints_without_a_body_are_no_state(self, watch, later):
        """The first readings take their time, which is no fault yet."""
        if later:
            watch.put_back()
        else:
            watch = BodyWatch(BodyLimits(sensed=True), 0.0)
        joiner = BodyJoiner(watch, lockstep=False)
        assert joiner.joints(joints(0), 0.01) is None
        assert joiner.problem(0.01) == "imu/data and odom: not heard yet"
        watch.odometry(odometry(0), 0.01)
        assert joiner.joints(joints(0), 0.01) is None
        assert joiner.problem(0.01) == "imu/data: not heard yet"

    def test_in_real_time_no_state_is_made_of_a_jump(self, watch):
        joiner = BodyJoiner(watch, lockstep=False)
        watch.odometry(odometry(10 * MS, x=3.0), 0.01)
        watch.odometry(odometry(11 * MS, x=3.0), 0.011)
        assert joiner.joints(joints(12 * MS), 0.012) is None
        assert "jumps by 3.000 m" in joiner.problem(0.012)

    def test_in_real_time_stamps_apart_are_the_reason(self, watch):
        joiner = BodyJoiner(watch, lockstep=False)
        assert joiner.joints(joints(9000 * MS), 0.01) is None
        assert joiner.problem(0.01).startswith("imu/data is stamped 9.000 s before the joints")
