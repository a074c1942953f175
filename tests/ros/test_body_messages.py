"""imu/data and odom as REP-145, REP-103 and REP-105 have them: frames, signs, what is measured in which frame."""

import dataclasses

import numpy as np
import pytest
from robot_bridge.body_limits import BodyLimits
from robot_bridge.body_link import BodyWatch, imu_of, odometry_of
from robot_bridge.body_messages import imu_message, imu_reading, odometry_message, odometry_reading
from robot_bridge.body_state import BodyState

pytestmark = pytest.mark.ros

# A quarter turn to the left: the robot faces along the world's y.
LEFT = np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)])
BODY = BodyState(
    5_000_000_003,
    LEFT,
    np.array([0.1, 0.2, 0.3]),
    np.array([0.4, 0.5, 9.81]),
    np.array([1.0, 2.0, 0.25]),
    np.array([0.6, 0.0, 0.0]),
)
# Odometry with an orientation of its own, as a simulation's, whose inertial sensor is late and noisy.
PROMPT = dataclasses.replace(
    BODY,
    position_time_ns=7,
    odometry_quaternion=np.array([0.6, 0.0, 0.0, 0.8]),
    odometry_rates_rad_s=np.array([0.0, 0.0, 3.0]),
)


def numbers(part, names="xyz"):
    return [getattr(part, name) for name in names]


def test_imu():
    message = imu_message(BODY)
    assert (message.header.frame_id, message.header.stamp.sec, message.header.stamp.nanosec) == ("base_link", 5, 3)
    assert numbers(message.orientation, "wxyz") == LEFT.tolist()
    assert numbers(message.angular_velocity) == [0.1, 0.2, 0.3]
    assert numbers(message.linear_acceleration) == [0.4, 0.5, 9.81]
    assert not np.any(message.orientation_covariance), "0 is: not given; -1 would be: not measured"


def test_odometry_has_the_place_in_the_world_and_the_velocity_in_the_body():
    message = odometry_message(BODY)
    assert (message.header.frame_id, message.child_frame_id) == ("odom", "base_link")
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (5, 3)
    assert numbers(message.pose.pose.position) == [1.0, 2.0, 0.25]
    assert numbers(message.pose.pose.orientation, "wxyz") == LEFT.tolist()
    # It walks to where it faces, which is forward, whatever that is in the world.
    assert numbers(message.twist.twist.linear) == [0.6, 0.0, 0.0]
    assert numbers(message.twist.twist.angular) == [0.1, 0.2, 0.3]


def test_odometry_with_an_orientation_of_its_own():
    assert numbers(imu_message(PROMPT).orientation, "wxyz") == LEFT.tolist()
    message = odometry_message(PROMPT)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 7)
    assert numbers(message.pose.pose.orientation, "wxyz") == [0.6, 0.0, 0.0, 0.8]
    assert numbers(message.twist.twist.linear) == [0.6, 0.0, 0.0]
    assert numbers(message.twist.twist.angular) == [0.0, 0.0, 3.0]


@pytest.mark.parametrize("body", [BODY, PROMPT], ids=["one orientation", "odometry with its own"])
def test_readings_come_back(body):
    for got, sent in (
        (imu_reading(imu_message(body)), imu_of(body)),
        (odometry_reading(odometry_message(body)), odometry_of(body)),
    ):
        for mine, other in zip(got, sent, strict=True):
            np.testing.assert_array_equal(mine, other)
    watch = BodyWatch(BodyLimits(), 0.0)
    assert watch.imu(imu_reading(imu_message(body)), 0.0)
    assert watch.odometry(odometry_reading(odometry_message(body)), 0.0)
    np.testing.assert_array_equal(watch.body().linear_velocity_m_s, body.linear_velocity_m_s)
    assert (watch.body().yaw_rad, watch.body().placed_ns) == (body.yaw_rad, body.placed_ns)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["orientation"], "gives no orientation: its driver must"),
        (["angular_velocity"], "gives no angular velocity: its driver must"),
        (["orientation", "angular_velocity"], "gives no orientation and no angular velocity: its driver must"),
        (["linear_acceleration"], ""),
    ],
)
def test_what_a_sensor_marks_as_not_measured_is_not_taken_for_a_measurement(names, said):
    message = imu_message(BODY)
    for name in names:
        getattr(message, f"{name}_covariance")[0] = -1.0
    watch = BodyWatch(BodyLimits(), 0.0)
    assert watch.imu(imu_reading(message), 0.0) == (said == "")
    assert watch.problem(0.0).endswith(said)
