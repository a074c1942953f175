"""Swing and extension of the five-bar legs, against the closed form for equal lower links and against the lengths."""

import math

import numpy as np
import pytest
from robot_bridge.leg_kinematics import DEFAULT_LEG, IDENTIFIED_LEG, LegGeometry, motor_angles, swing_extension

GEOMETRIES = [DEFAULT_LEG, IDENTIFIED_LEG]
# Which motors turn the rear and which the front links, leg by leg.
REAR_MOTORS, FRONT_MOTORS = [0, 2, 5, 7], [1, 3, 4, 6]


def pin_distance_m(extension_rad, upper_m, lower_m):
    """Of the pin below the hip where both lower links are equally long."""
    return math.sqrt(lower_m**2 - (upper_m * math.sin(extension_rad)) ** 2) - upper_m * math.cos(extension_rad)


def crossing(swing_rad, extension_rad, upper_m, rear_m, front_m):
    """The lower crossing of the circles that both lower links draw, of any two lengths. In a frame that swings with the
    leg the knees are at (-+a, b): (x + a)^2 + (z - b)^2 = rear^2 and (x - a)^2 + (z - b)^2 = front^2.
    """
    a, b = upper_m * np.sin(extension_rad), upper_m * np.cos(extension_rad)
    x = (rear_m**2 - front_m**2) / (4 * a)
    z = b - np.sqrt(rear_m**2 - (x + a) ** 2)
    sine, cosine = np.sin(swing_rad), np.cos(swing_rad)
    return np.stack([x * cosine + z * sine, z * cosine - x * sine], axis=-1)


def test_legs_that_can_be_built_work_and_their_links_meet():
    lengths, rng = [], np.random.default_rng(0)
    while len(lengths) < 50:
        leg = LegGeometry(*rng.uniform(0.02, 0.3, 4))
        if not leg.impossible():
            lengths.append(leg)
    for leg in lengths:
        low, high = leg.extension_range_rad
        assert low < high
        for extension_rad in np.linspace(low, high, 21):
            assert np.isfinite(leg.pin(np.zeros(4), np.full(4, extension_rad))).all()


def workspace(geometry, count=41):
    """Swing and extension all over the workspace."""
    low, high = geometry.extension_range_rad
    swing, extension = np.linspace(-1.57, 1.57, count), np.linspace(low + 1e-9, high - 1e-9, count)
    return [values.ravel() for values in np.meshgrid(swing, extension)]


def test_motors_and_back():
    swing, extension = np.array([0.1, -0.2, 0.3, 0.4]), np.array([1.5, 2.0, 2.5, 1.8])
    motors = motor_angles(swing, extension)
    # m1 = e - s, m2 = e + s on the left, the other way round on the right (pybullet_envs/minitaur)
    np.testing.assert_allclose(motors, [1.4, 1.6, 2.2, 1.8, 2.8, 2.2, 2.2, 1.4])
    np.testing.assert_allclose(motors[REAR_MOTORS], extension - swing)
    np.testing.assert_allclose(motors[FRONT_MOTORS], extension + swing)
    np.testing.assert_allclose(swing_extension(motors), [swing, extension])


def test_the_pin_is_where_the_closed_form_says_when_both_links_are_equal():
    swing, extension = workspace(DEFAULT_LEG)
    distance = np.array([pin_distance_m(e, DEFAULT_LEG.upper_m, DEFAULT_LEG.rear_m) for e in extension])
    pin = DEFAULT_LEG.pin(swing, extension)
    np.testing.assert_allclose(pin, distance[:, None] * np.stack([-np.sin(swing), -np.cos(swing)], axis=1), atol=1e-12)


# minitaur.urdf and minitaur_rainbow_dash.urdf, written down again.
@pytest.mark.parametrize(
    ("geometry", "lengths_m"), [(DEFAULT_LEG, (0.115, 0.2, 0.2)), (IDENTIFIED_LEG, (0.101, 0.208, 0.2))]
)
def test_the_pin_is_the_lower_crossing_of_two_circles_all_over_the_workspace(geometry, lengths_m):
    swing, extension = workspace(geometry)
    np.testing.assert_allclose(geometry.pin(swing, extension), crossing(swing, extension, *lengths_m), atol=1e-12)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_link_keeps_its_length_all_over_the_workspace(geometry):
    swing, extension = workspace(geometry)
    pin, foot = geometry.pin(swing, extension), geometry.foot(swing, extension)
    rear = geometry.upper_m * np.stack([-np.sin(extension - swing), np.cos(extension - swing)], axis=1)
    front = geometry.upper_m * np.stack([np.sin(extension + swing), np.cos(extension + swing)], axis=1)
    np.testing.assert_allclose(np.linalg.norm(pin - rear, axis=1), geometry.rear_m)
    np.testing.assert_allclose(np.linalg.norm(pin - front, axis=1), geometry.front_m)
    np.testing.assert_allclose(np.linalg.norm(foot - rear, axis=1), geometry.foot_m)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_knees_lead_from_the_motors_to_the_pin(geometry):
    swing, extension = workspace(geometry)
    knees = geometry.knees(swing, extension)
    for side, length, motor, knee in (
        (-1, geometry.rear_m, extension - swing, knees.rear_rad),
        (1, geometry.front_m, extension + swing, knees.front_rad),
    ):
        end = [geometry.upper_m * f(motor) + length * f(motor + knee) for f in (np.sin, np.cos)]
        np.testing.assert_allclose(
            np.stack([side * end[0], end[1]], axis=1), geometry.pin(swing, extension), atol=1e-12
        )


def test_known_figures():
    # knees of bullet3's minitaur.py at motors pi / 2: -2.1834 rad, counted from a lower link folded along the upper one
    knees = DEFAULT_LEG.knees(np.zeros(1), np.full(1, math.pi / 2))
    assert knees.rear_rad[0] == pytest.approx(2.1834, abs=1e-4)
    assert knees.front_rad[0] == pytest.approx(2.1834, abs=1e-4)
    # the height that the identified robot stands at
    assert -IDENTIFIED_LEG.pin(np.zeros(1), np.full(1, 2.0))[0, 1] == pytest.approx(0.22, abs=0.01)
    # a stretched leg is as long as both links
    assert -DEFAULT_LEG.pin(np.zeros(1), np.full(1, math.pi))[0, 1] == pytest.approx(0.315)


def test_swing_is_positive_to_the_rear():
    foot = DEFAULT_LEG.foot(np.array([0.3]), np.array([2.0]))[0]
    assert foot[0] < 0
    assert foot[1] < 0


@pytest.mark.parametrize("geometry", GEOMETRIES)
class TestWorkspace:
    def test_inside(self, geometry):
        for swing, extension in zip(*workspace(geometry, 7), strict=True):
            assert not geometry.problem(motor_angles(np.full(4, swing), np.full(4, extension)))

    @pytest.mark.parametrize("extension", [-1.0, 0.0, 0.1, 3.1, math.pi, 4.0, math.nan])
    def test_extension_outside(self, geometry, extension):
        extensions = np.array([2.0, 2.0, extension, 2.0])
        problem = geometry.problem(motor_angles(np.zeros(4), extensions))
        assert problem.startswith("leg front_right: extension")

    def test_swing_outside(self, geometry):
        problem = geometry.problem(motor_angles(np.array([0.0, 1.7, 0.0, 0.0]), np.full(4, 2.0)))
        assert problem.startswith("leg back_left: swing 1.700 rad is outside")
