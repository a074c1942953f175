"""Orientation angles, and readings of inertial sensor and odometry that cannot be used."""

import math

import numpy as np
import pytest
from robot_bridge.body_state import BodyState, imu_problem, odometry_problem

LEVEL = np.array([1.0, 0.0, 0.0, 0.0])
ZERO = np.zeros(3)
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])


def body(quaternion):
    return BodyState(0, np.array(quaternion), ZERO, ZERO, ZERO, ZERO)


@pytest.mark.parametrize(
    ("quaternion", "roll", "pitch", "yaw", "upright"),
    [
        ([1, 0, 0, 0], 0, 0, 0, 1),
        ([math.cos(0.1), math.sin(0.1), 0, 0], 0.2, 0, 0, math.cos(0.2)),
        ([math.cos(0.1), 0, math.sin(0.1), 0], 0, 0.2, 0, math.cos(0.2)),
        ([math.cos(0.1), 0, 0, math.sin(0.1)], 0, 0, 0.2, 1),
        ([0, 1, 0, 0], math.pi, 0, 0, -1),
        ([math.sqrt(0.5), 0, math.sqrt(0.5) * (1 + 1e-9), 0], 0, math.pi / 2, 0, 0),
    ],
)
def test_angles(quaternion, roll, pitch, yaw, upright):
    state = body(quaternion)
    assert (state.pitch_rad, state.upright) == pytest.approx((pitch, upright), abs=1e-6)
    if abs(pitch) < 1.5:
        assert (state.roll_rad, state.yaw_rad) == pytest.approx((roll, yaw))


class TestImu:
    def test_a_good_reading(self):
        assert not imu_problem(LEVEL, ZERO, np.array([0, 0, 9.81]))
        assert not imu_problem(LEVEL * (1 + 5e-4), ZERO, ZERO)

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_not_finite(self, bad):
        for quaternion, rates, acceleration in (
            (LEVEL + bad, ZERO, ZERO),
            (LEVEL, ZERO + bad, ZERO),
            (LEVEL, ZERO, ZERO + bad),
        ):
            assert "not finite" in imu_problem(quaternion, rates, acceleration)

    @pytest.mark.parametrize(("factor", "norm"), [(0.0, "0.0000"), (0.5, "0.5000"), (1.01, "1.0100")])
    def test_not_normalised(self, factor, norm):
        assert f"quaternion has norm {norm}, expected 1 +- 0.001" in imu_problem(LEVEL * factor, ZERO, ZERO)


class TestOdometry:
    def test_a_good_reading(self):
        assert not odometry_problem(ZERO, UPRIGHT, ZERO, None, 0.0, 2.0)
        assert not odometry_problem(np.array([0.039, 0, 0]), UPRIGHT, ZERO, ZERO, 0.02, 2.0)

    def test_a_jump(self):
        problem = odometry_problem(np.array([0.3, 0.4, 0]), UPRIGHT, ZERO, ZERO, 0.02, 2.0)
        assert problem.startswith("the odometry jumps by 0.500 m in 0.020 s, at most 0.040 m is possible")

    def test_not_finite(self):
        assert "not finite" in odometry_problem(np.array([math.nan, 0, 0]), UPRIGHT, ZERO, None, 0.0, 2.0)
        assert "not finite" in odometry_problem(ZERO, UPRIGHT, np.array([0, math.inf, 0]), None, 0.0, 2.0)
