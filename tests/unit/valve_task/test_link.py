"""How old what the task observes is."""

import numpy as np
import pytest
from robot_bridge.backend import RobotState
from robot_bridge.body_state import BodyState
from valve_task.link import BridgeLink

MS = 1_000_000


def walking(time_ns, imu_ns, odometry_ns):
    zeros = np.zeros(3)
    body = BodyState(imu_ns, np.array([1.0, 0.0, 0.0, 0.0]), zeros, zeros, zeros, zeros, odometry_ns)
    return RobotState(time_ns, np.zeros(8), np.zeros(8), np.zeros(8), body=body)


def test_readings_of_the_body_are_as_old_as_their_stamps_say():
    link = BridgeLink(False, True, 50 * MS, 10.0)
    link.receive_state(walking(100 * MS, 92 * MS, 70 * MS), 10.0)
    np.testing.assert_allclose(link.ages_s(10.004), [0.004, 0.012, 0.034], atol=1e-6)
    assert link.oldest(10.004) == ("imu/data", pytest.approx(0.012, abs=1e-6))  # no position is observed


def test_a_stamp_after_the_joints_makes_nothing_younger_than_them():
    link = BridgeLink(False, True, 50 * MS, 10.0)
    link.receive_state(walking(100 * MS, 103 * MS, 103 * MS), 10.0)
    assert link.oldest(10.02) == ("the joint state", pytest.approx(0.02, abs=1e-6))


def test_a_robot_that_stays_has_joints_only_and_lockstep_knows_no_age():
    link = BridgeLink(False, False, 50 * MS, 10.0)
    link.receive_state(RobotState(MS, np.zeros(10), np.zeros(10), np.zeros(10)), 10.0)
    np.testing.assert_allclose(link.ages_s(10.01), [0.01], atol=1e-6)
    link = BridgeLink(True, True, 50 * MS, 10.0)
    link.receive_state(walking(100 * MS, 0, 0), 10.0)
    assert (link.ages_s(11.0) == np.zeros(3)).all()
