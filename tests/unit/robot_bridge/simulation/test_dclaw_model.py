"""The hand's geometry, masses and signs against the published figures."""

import dataclasses

import mujoco
import numpy as np
import pytest
from robot_bridge.safety_limits import SafetyLimits
from robot_bridge.servos import ServoSettings
from robot_bridge.simulation.dclaw import DClawSimulation
from robot_bridge.simulation.dclaw_model import dclaw_mjcf

TOP, MIDDLE, BOTTOM = slice(0, 9, 3), slice(1, 9, 3), slice(2, 9, 3)


@pytest.fixture
def simulation(robot):
    return DClawSimulation(robot)


def pose(top=0.0, middle=0.0, bottom=0.0, valve=0.0):
    return np.array([top, middle, bottom] * 3 + [valve])


def tips(simulation, **joints):
    """Radius, height [m] and azimuth [deg] of each fingertip."""
    simulation.set_state(pose(**joints))
    x, y, z = simulation.fingertips_m().T
    return np.hypot(x, y), z, np.degrees(np.arctan2(y, x)) % 360


def test_fingertips_hang_at_the_published_places(simulation):
    """Figures computed from ROBEL-SCENES; they are given to a millimetre and a degree."""
    radius, height, azimuth = tips(simulation)
    np.testing.assert_allclose(radius, 0.060, atol=5e-4)
    np.testing.assert_allclose(height, 0.106, atol=5e-4)
    np.testing.assert_allclose(azimuth, [60, 300, 180], atol=0.1)
    radius, height, _ = tips(simulation, middle=-np.pi / 3, bottom=np.pi / 3)
    np.testing.assert_allclose(radius, 0.119, atol=5e-4)
    np.testing.assert_allclose(height, 0.140, atol=5e-4)
    radius, _, _ = tips(simulation, middle=0.3)
    np.testing.assert_allclose(radius, 0.017, atol=1e-3)
    radius, height, _ = tips(simulation, middle=-0.3)
    np.testing.assert_allclose(radius, 0.102, atol=1e-3)
    np.testing.assert_allclose(height, 0.113, atol=5e-4)


def test_fingertip_capsules_end_at_the_published_height(simulation):
    simulation.set_state(pose())
    for finger in ("finger1", "finger2", "finger3"):
        geom = simulation.data.geom(f"{finger}_tip")
        radius, half_length = simulation.model.geom(f"{finger}_tip").size[:2]
        assert geom.xpos[2] - half_length - radius == pytest.approx(0.098, abs=5e-4)


def test_masses(simulation):
    model = simulation.model
    assert model.body("mount").subtreemass[0] == pytest.approx(1.115, abs=1e-3)
    assert model.body("finger1_link1").subtreemass[0] == pytest.approx(0.335 - 0.093, abs=1e-9)
    assert model.body("finger1_link3").subtreemass[0] == pytest.approx(0.032, abs=1e-9)
    assert model.body("valve").subtreemass[0] == pytest.approx(0.476, abs=1e-3)


def test_inertia_of_the_valve(simulation):
    """Acceleration under a known torque: the published 1.0e-3 kg m2 and the joint's armature."""
    simulation.set_state(pose())
    simulation.data.joint("valve").qfrc_applied[:] = 1.0
    mujoco.mj_forward(simulation.model, simulation.data)
    inertia = 1.0 / simulation.data.joint("valve").qacc[0]
    assert inertia == pytest.approx(1.0e-3 + 0.001, rel=0.05)


def test_joints_have_the_published_ranges_damping_and_inertia(simulation, robot):
    model = simulation.model
    for name, published in zip(robot.joint_names, [(-0.45, 1.35), (-2, 2), (-2, 2)] * 3, strict=True):
        np.testing.assert_allclose(model.joint(name).range, published)
    np.testing.assert_allclose(model.joint("valve").range, (-6.28, 6.28))
    np.testing.assert_allclose(model.dof_damping, 0.1)
    np.testing.assert_allclose(model.dof_armature, 0.001)
    np.testing.assert_allclose(model.dof_frictionloss, 0.0)


def test_middle_and_bottom_joints_close_with_positive_angles(simulation):
    rest, _, _ = tips(simulation)
    for joint in ("middle", "bottom"):
        closed, _, _ = tips(simulation, **{joint: 0.3})
        opened, _, _ = tips(simulation, **{joint: -0.3})
        assert (closed < rest - 0.01).all()
        assert (opened > rest + 0.01).all()


def test_top_joints_swing_all_fingers_the_same_way_round(simulation):
    _, _, rest = tips(simulation)
    _, _, swung = tips(simulation, top=0.3)
    turned = (swung - rest + 180) % 360 - 180
    assert (turned > 10).all() or (turned < -10).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_sweep_of_the_closed_fingers_turns_the_valve_their_way(simulation, sign):
    def go(steps, **joints):
        for _ in range(steps):
            simulation.write(pose(**joints), np.array([True] * 9 + [False]))
            simulation.advance(0.1)
        return simulation.fingertips_m(), simulation.read().position_rad[9]

    go(10, top=-0.45 * sign, middle=-0.6, bottom=0.6)
    before, valve_before = go(10, top=-0.45 * sign, middle=0.2, bottom=-0.2)
    after, valve_after = go(20, top=0.45 * sign, middle=0.2, bottom=-0.2)
    swept = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    assert (np.sign(swept) == np.sign(swept[0])).all()
    assert (valve_after - valve_before) * np.sign(swept[0]) > 0.1


def test_the_start_pose_touches_nothing_and_the_valve_clears_the_hanging_fingers(simulation):
    simulation.open()
    assert simulation.data.ncon == 0
    simulation.set_state(pose())
    assert simulation.data.ncon == 0


def test_a_robot_of_another_shape_is_refused(robot):
    with pytest.raises(ValueError, match="needs 9 joints and 1 auxiliary joint; robot 'dclaw' has 9 and 0"):
        dclaw_mjcf(
            dataclasses.replace(
                robot,
                joint_symmetries=[],
                auxiliary_joint_names=[],
                auxiliary_joint_ids=[],
                auxiliary_equal_parts=[],
                auxiliary_position_min_rad=[],
                auxiliary_position_max_rad=[],
                auxiliary_position_offset_rad=[],
                auxiliary_direction=[],
                auxiliary_speed_limit_rad_s=[],
                auxiliary_kp_nm_rad=[],
                servos=ServoSettings(),
                safety=SafetyLimits(),
            )
        )
