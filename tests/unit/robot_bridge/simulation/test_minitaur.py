"""The simulated Minitaur as a backend: masses, legs, motors, latency, noise, standing and falling."""

import dataclasses
import math

import mujoco
import numpy as np
import pytest
from helpers.quadruped import MINITAUR, PERIOD_S, STAND, energies_j, stand, with_settings
from robot_bridge.backend import SimulatedBackend
from robot_bridge.leg_kinematics import LEGS, motor_angles, swing_extension
from robot_bridge.servos import ServoSettings
from robot_bridge.simulation import make_simulation
from robot_bridge.simulation.minitaur import MinitaurSimulation
from robot_bridge.simulation.minitaur_model import FIGURES, FOOT_RADIUS, minitaur_mjcf
from robot_bridge.simulation.settings import SimulationSettings
from robot_bridge.simulation.terrain import TERRAINS, ground_mjcf
from rosac_common.settings import SettingsError

ALL, NONE = np.ones(8, dtype=bool), np.zeros(8, dtype=bool)


@pytest.fixture(scope="module")
def robot():
    return MINITAUR


@pytest.fixture
def simulation(robot):
    return MinitaurSimulation(robot)


def opening_m(simulation):
    """The widest gap between the two halves of a leg."""
    rear, front = (simulation.site_position_m([f"{leg}_{half}_pin" for leg in LEGS]) for half in ("rear", "front"))
    return np.linalg.norm(rear - front, axis=1).max()


def test_is_a_simulated_backend(robot):
    assert isinstance(make_simulation(robot, SimulationSettings(), seed=0, epoch_ns=0), SimulatedBackend)


# minitaur_rainbow_dash.urdf of bullet3, written down again: mass [kg], place of the centre of mass in the body [m],
# inertia about it [kg m2]. A motor and the upper link that it turns are one body, as are chassis and side frames.
LONG_LINK = [(0.086, (0.0, 0.0, 0.12), (3.246e-4, 3.264e-4, 2.2e-6))]
SHORT_LINK = [(0.072, (0.0, 0.0, 0.1), (2.317e-4, 2.333e-4, 2.0e-6))]
UPPER_LINK = [
    (0.072, (0.0, 0.0, 0.0), (0.000114, 0.000218, 0.000114)),
    (0.034, (0.0, 0.0275, 0.045), (3.877e-5, 4.220e-5, 3.6e-6)),
]
BODY = [
    (3.353, (0.05, 0.0, 0.0), (0.006837, 0.027262, 0.029870)),
    (1.32, (0.0, 0.1265, -0.0185), (0.004147, 0.040913, 0.041840)),
    (1.32, (0.0, -0.1265, -0.0185), (0.004147, 0.040913, 0.041840)),
]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("front_left_rear_lower", LONG_LINK),
        ("back_right_front_lower", SHORT_LINK),
        ("back_left_rear_motor", UPPER_LINK),
        ("chassis", BODY),
    ],
)
def test_bodies_have_mass_and_inertia_of_the_source(simulation, name, parts):
    masses, places, inertias = (np.array(column) for column in zip(*parts, strict=True))
    centre = masses @ places / masses.sum()
    total = np.zeros((3, 3))
    for mass, place, inertia in zip(masses, places - centre, inertias, strict=True):
        total += np.diag(inertia) + mass * (place @ place * np.eye(3) - np.outer(place, place))
    body = simulation.model.body(name)
    assert body.mass[0] == pytest.approx(masses.sum())
    assert np.sort(body.inertia) == pytest.approx(np.linalg.eigvalsh(total), rel=1e-6)
    if len(parts) != 2:  # the motor's own place is in another frame
        assert body.ipos == pytest.approx(centre, abs=1e-12)


@pytest.mark.parametrize(("figures", "mass"), [("identified", 7.473), ("default", 6.0)])
def test_weighs_what_the_source_says(robot, figures, mass):
    simulation = with_settings(robot, figures=figures)
    assert simulation.model.body_mass.sum() == pytest.approx(mass)
    assert FIGURES[figures].mass == pytest.approx(mass)


def test_another_number_of_joints_is_refused(robot):
    other = dataclasses.replace(robot, joint_symmetries=[], auxiliary_joint_names=[])
    object.__setattr__(other, "joint_names", robot.joint_names[:6])
    with pytest.raises(ValueError, match="needs 8 joints and no auxiliary joint; robot 'minitaur' has 6 and 0"):
        minitaur_mjcf(other, FIGURES["default"], ground_mjcf("flat", 0))


# Written down again from both URDF files [m]: motor to knee, rear and front knee to pin, rear knee to foot; a hip.
LENGTHS = {"identified": (0.101, 0.208, 0.2, 0.24), "default": (0.115, 0.2, 0.2, 0.2)}
HIP = {"identified": (0.2375, 0.1265, -0.0185), "default": (0.21, 0.10, 0.0)}


def pin_and_toe_m(swing, extension, upper, rear, front, foot):
    """(x, z) from the hip: the lower crossing of the circles of both lower links, and the centre of the foot's round
    end. In a frame that swings with the leg the knees are at (-+a, b).
    """
    a, b = upper * np.sin(extension), upper * np.cos(extension)
    x = (rear**2 - front**2) / (4 * a)
    below = np.sqrt(rear**2 - (x + a) ** 2)
    along = (foot - FOOT_RADIUS) / rear
    turned = []
    for right, up in ((x, b - below), (-a + (x + a) * along, b - below * along)):
        turned.append([right * np.cos(swing) + up * np.sin(swing), up * np.cos(swing) - right * np.sin(swing)])
    return [np.stack(point, axis=-1) for point in turned]


class TestLegs:
    @pytest.mark.parametrize("figures", ["identified", "default"])
    def test_are_where_the_closed_form_says_all_over_the_workspace(self, robot, figures):
        simulation, lengths = with_settings(robot, figures=figures), LENGTHS[figures]
        low, high = FIGURES[figures].leg.extension_range_rad
        swings, extensions = np.linspace(-1.57, 1.57, 9), np.linspace(low + 1e-6, high - 1e-6, 9)
        hips = HIP[figures] * np.array([[1, 1, 1], [-1, 1, 1], [1, -1, 1], [-1, -1, 1]])  # front left, back left, ...
        for i, j in np.ndindex(9, 9):
            # each leg comes to each of the 81 places, no two of them at once
            swing, extension = swings[(i + np.array([0, 2, 5, 7])) % 9], extensions[(j + np.array([0, 3, 4, 8])) % 9]
            simulation.set_state(motor_angles(swing, extension))
            assert opening_m(simulation) < 1e-9
            for site, expected in zip(("pin", "toe"), pin_and_toe_m(swing, extension, *lengths), strict=True):
                points = simulation.site_position_m([f"{leg}_rear_{site}" for leg in LEGS])
                points -= simulation.data.body("chassis").xpos + hips
                np.testing.assert_allclose(points[:, [0, 2]], expected, atol=1e-9)
                np.testing.assert_allclose(points[:, 1], 0.0, atol=1e-9)

    def test_the_lowest_foot_touches_the_ground_after_a_state_is_set(self, simulation):
        swings = np.array([0.3, 0.0, -0.2, 0.1])
        simulation.set_state(motor_angles(swings, np.array([2.2, 2.0, 1.9, 2.0])))
        toes = simulation.site_position_m([f"{leg}_rear_toe" for leg in LEGS])
        assert toes[:, 2].min() == pytest.approx(FOOT_RADIUS)

    # The whole range of actions anew every 20 ms, which throws the robot about; looked at after each physics step.
    # Own measurement over 24 seeds a model: up to 6.5 mm, in the mean 1.5 to 1.9; standing 0.7, with the load 2.0. Feet
    # are up to 0.34 m from the motors.
    @pytest.mark.parametrize("figures", ["identified", "default"])
    @pytest.mark.parametrize(
        ("carried_share", "standing_m"), [(0.0, 0.001), (1.0, 0.003)], ids=["alone", "carrying as much as it weighs"]
    )
    def test_loops_stay_closed_under_load(self, robot, figures, carried_share, standing_m):
        simulation, rng = with_settings(robot, figures=figures, thermal_cutout=False), np.random.default_rng(0)
        weight_n = FIGURES[figures].mass * 9.81

        def openings_m(swings, extensions):
            simulation.write(motor_angles(swings, extensions), ALL)
            for _ in range(5):
                simulation.data.body("chassis").xfrc_applied[2] = -carried_share * weight_n
                simulation.advance(simulation.time_step_s)
                yield opening_m(simulation)

        standing = [list(openings_m(np.zeros(4), np.full(4, 2.0))) for _ in range(50)]
        assert np.max(standing[40:]) < standing_m
        thrown = [list(openings_m(rng.uniform(-0.5, 0.5, 4), rng.uniform(1.5, 2.5, 4))) for _ in range(150)]
        assert np.max(thrown) < 0.008
        assert np.mean(thrown) < 0.0025


class TestStanding:
    @pytest.mark.parametrize("figures", ["identified", "default"])
    def test_stands_still_without_drift(self, robot, figures):
        simulation = with_settings(robot, figures=figures)
        settled = stand(simulation, 2.0)
        later = stand(simulation, 5.0)
        assert later.body.upright > 0.999
        assert np.abs(later.velocity_rad_s).max() < 0.05
        assert np.linalg.norm(later.body.position_m - settled.body.position_m) < 0.003
        assert simulation.foot_contacts().all()

    def test_the_sensors_agree_with_standing(self, simulation):
        state = stand(simulation, 2.0)
        np.testing.assert_allclose(state.body.linear_acceleration_m_s2, [0.0, 0.0, 9.81], atol=0.1)
        np.testing.assert_allclose(np.linalg.norm(state.body.quaternion), 1.0)
        # the weight is carried: mean torque against the closed form's slope dr/de of the leg
        leg = FIGURES["identified"].leg
        _, extension = swing_extension(state.position_rad)
        slope = np.gradient(-leg.pin(np.zeros(2), extension.mean() + np.array([0.0, 1e-4]))[:, 1], 1e-4)[0]
        expected = simulation.model.body_mass.sum() * 9.81 / 8 * slope
        assert state.effort_nm.mean() == pytest.approx(expected, rel=0.1)

    def test_without_torque_it_sinks(self, robot):
        simulation = MinitaurSimulation(robot)
        simulation.advance(1.0)
        assert (simulation.read().effort_nm == 0).all()
        assert simulation.read().body.position_m[2] < 0.15

    # Without gravity: with it the integrator loses m g^2 t dt / 2, 1.4 J in a second, which would hide what is gained.
    # What a second in flight gains or loses of the motion's energy: own measurement, less than half of each tolerance.
    @pytest.mark.parametrize("figures", ["identified", "default"])
    @pytest.mark.parametrize(
        ("joints_rad_s", "body_rad_s", "gain", "loss"),
        [
            (0.0, [0.0, 0.3, 0.0], 0.0005, 0.0001),
            (2.0, [0.0, 0.0, 0.0], 0.005, 0.15),  # the loops are dampers
            (8.0, [1.0, -2.0, 0.5], 0.04, 0.02),  # a somersault with waving legs: the integrator's own error
        ],
    )
    def test_energy_does_not_grow_in_flight(self, robot, figures, joints_rad_s, body_rad_s, gain, loss):
        simulation = with_settings(robot, figures=figures)
        simulation.model.opt.gravity[:] = 0.0
        simulation.set_state(STAND, np.linspace(-joints_rad_s, joints_rad_s, 8))
        simulation.data.qpos[2] = 1.0
        simulation.data.qvel[3:6] = body_rad_s
        simulation.advance(simulation.time_step_s)  # the knees, which were at rest, are set in motion
        energies = np.array(energies_j(simulation, 250))
        assert np.max(energies - np.minimum.accumulate(energies)) < gain * energies[0]
        assert energies[-1] > (1.0 - loss) * energies[0]

    # Own measurement: 0.32 to 0.37 J come back, as contacts and loops, which are springs, give back what they took
    # (with steps of 1 ms as well), of 10 to 22 J that are lost.
    @pytest.mark.parametrize("figures", ["identified", "default"])
    @pytest.mark.parametrize("height_m", [0.0, 0.1], ids=["standing", "dropped"])
    def test_energy_does_not_grow_on_the_ground_without_torque(self, robot, figures, height_m):
        simulation = with_settings(robot, figures=figures)
        simulation.data.qpos[2] += height_m
        energies = np.array(energies_j(simulation, 1000))
        assert np.max(energies - np.minimum.accumulate(energies)) < 0.5
        assert energies[0] - energies[-1] > 9.0
        lying = energies[-250:]
        assert np.max(lying - np.minimum.accumulate(lying)) < 1e-6

    def test_put_back_stands_it_on_its_mark_and_time_goes_on(self, simulation):
        simulation.write(STAND, ALL)
        simulation.data.qpos[:7] = [1.0, 2.0, 0.3, 0.0, 1.0, 0.0, 0.0]
        simulation.advance(1.0)
        assert simulation.read().body.upright < 0
        before = simulation.time_ns
        simulation.put_back()
        state = simulation.read()
        assert state.time_ns == before
        assert state.body.upright == 1.0
        np.testing.assert_allclose(state.body.position_m[:2], 0.0)
        assert stand(simulation, 0.5).body.upright > 0.99

    def test_an_open_loop_trot_walks(self, simulation):
        stand(simulation, 0.5)
        phase = np.array([0.0, math.pi, math.pi, 0.0])
        for step in range(250):
            angle = 2 * math.pi * 2.0 * step * PERIOD_S + phase
            extension = 2.0 - 0.5 * np.maximum(0.0, np.sin(angle - 0.3))
            simulation.write(motor_angles(0.5 * np.cos(angle), extension), ALL)
            simulation.advance(PERIOD_S)
        body = simulation.read().body
        assert body.position_m[0] / 5.0 > 0.3
        assert body.upright > 0.95


def first_torque_nm(robot, ahead_rad, velocity_rad_s=0.0, **values):
    """Of a motor in the first physics step, with its goal that far ahead of it."""
    simulation = with_settings(robot, sensor_latency_s=0.0, **values)
    simulation.set_state(STAND, np.full(8, velocity_rad_s))
    simulation.write(STAND + ahead_rad, ALL)
    simulation.advance(simulation.time_step_s)
    (torque,) = set(np.round(simulation.read().effort_nm, 9))
    return torque


class TestMotors:
    # By hand, with bullet3's motor.py: duty cycle = kp (q* - q) - kd q', current = (duty x battery voltage - 0.0954 q')
    # / 0.186 ohm, and 10 A give 1 Nm, less gives as much less.
    @pytest.mark.parametrize(
        ("values", "ahead_rad", "velocity_rad_s", "torque_nm"),
        [
            ({}, 0.05, 0.0, 0.43011),  # 0.05 x 16 / 0.186 = 4.3011 A
            ({"voltage_v": 12.0}, 0.05, 0.0, 0.32258),  # 0.05 x 12 / 0.186
            ({"motor_kp": 2.0}, 0.05, 0.0, 0.86022),  # 0.1 x 16 / 0.186
            ({}, 0.0, 2.0, -0.36065),  # (-0.03 x 16 - 0.1908) / 0.186
            ({"motor_kd": 0.05}, 0.0, 2.0, -0.96280),  # (-0.1 x 16 - 0.1908) / 0.186
            ({"motor_kd": 0.0}, 0.0, 2.0, -0.10258),  # the back-EMF alone: -0.1908 / 0.186
            # (0.5 x 0.1 - 0.03 x -2 = 0.11; 0.11 x 14 + 0.1908) / 0.186
            ({"voltage_v": 14.0, "motor_kp": 0.5, "motor_kd": 0.03}, 0.1, -2.0, 0.93054),
        ],
    )
    def test_torque_follows_from_voltage_and_gains(self, robot, values, ahead_rad, velocity_rad_s, torque_nm):
        torque = first_torque_nm(robot, ahead_rad, velocity_rad_s, **values)
        assert torque == pytest.approx(torque_nm, abs=2e-5)

    @pytest.mark.parametrize(
        ("values", "lasts"), [({}, False), ({"thermal_cutout": True}, False), ({"thermal_cutout": False}, True)]
    )
    def test_a_stuck_motor_cuts_out_after_a_second_if_that_is_set(self, robot, values, lasts):
        simulation = with_settings(robot, sensor_latency_s=0.0, **values)
        simulation.model.dof_damping[:] = 1e6  # nothing moves
        goals = STAND.copy()
        goals[2] += 1.0  # full duty: 16 / 0.186 = 86 A, more than the 60 A that give 3.5 Nm
        simulation.write(goals, ALL)
        simulation.advance(1.0)
        assert simulation.read().effort_nm[2] == pytest.approx(3.5)
        assert not simulation.poll_health().hardware_error.any()
        simulation.advance(simulation.time_step_s)
        assert simulation.read().effort_nm[2] == pytest.approx(3.5 if lasts else 0.0)
        assert simulation.poll_health().hardware_error.tolist() == [0, 0, 0 if lasts else 4, 0, 0, 0, 0, 0]

    @pytest.mark.parametrize(
        ("values", "latency_s"), [({}, 0.003), ({"pd_latency_s": 0.0}, 0.0), ({"pd_latency_s": 0.01}, 0.01)]
    )
    def test_the_pd_loop_acts_on_readings_of_that_age(self, robot, values, latency_s):
        simulation = with_settings(robot, sensor_latency_s=0.0, **values)
        simulation.write(STAND + np.tile([0.1, -0.1], 4), ALL)
        states = [simulation.read()]
        for _ in range(12):
            simulation.advance(simulation.time_step_s)
            states.append(simulation.read())
        # the readings of the first 12 steps, on straight lines between two of them
        times = np.arange(12) * simulation.time_step_s
        seen_at = np.maximum(times - latency_s, 0.0)
        for motor, ahead_rad in enumerate(np.tile([0.1, -0.1], 4)):
            position = np.array([state.position_rad[motor] for state in states])
            velocity = np.array([state.velocity_rad_s[motor] for state in states])
            goal, duty = STAND[motor] + ahead_rad, []
            for moment in seen_at:
                seen_rad, seen_rad_s = (np.interp(moment, times, rows[:12]) for rows in (position, velocity))
                duty.append(1.0 * (goal - seen_rad) - 0.015 * seen_rad_s)
            net_v = np.array(duty) * 16.0 - 0.0954 * velocity[:12]
            table = [0.0, 1.0, 1.9, 2.45]
            expected = np.sign(net_v) * np.interp(np.abs(net_v) / 0.186, [0.0, 10.0, 20.0, 30.0], table)
            effort = [state.effort_nm[motor] for state in states[1:]]
            np.testing.assert_allclose(effort, expected, atol=1e-9)

    def test_torque_is_switched_per_motor(self, robot):
        simulation = with_settings(robot, sensor_latency_s=0.0)
        torque_on = ALL.copy()
        torque_on[3] = False
        simulation.write(STAND + 0.2, torque_on)
        simulation.advance(PERIOD_S)
        assert np.flatnonzero(simulation.read().effort_nm == 0).tolist() == [3]
        simulation.write(STAND + 0.2, NONE)
        simulation.advance(simulation.time_step_s)
        assert not simulation.read().effort_nm.any()

    def test_a_robot_that_lies_limp_does_not_overheat(self, simulation):
        simulation.write(STAND, ALL)
        simulation.advance(PERIOD_S)
        simulation.write(STAND, NONE)
        simulation.advance(2.0)
        assert not simulation.poll_health().hardware_error.any()

    def test_an_overheated_motor_shows_in_its_health_until_it_has_recovered(self, simulation):
        simulation.write(STAND - 1.2, ALL)  # the legs fold up and push against what cannot move
        simulation.motors._hot_steps[:] = 1000.0
        simulation.motors._hot_steps[2:] = 0.0
        simulation.motors.torque_nm(np.ones(8), np.zeros(8), ALL)
        assert simulation.poll_health().hardware_error.tolist() == [4, 4, 0, 0, 0, 0, 0, 0]
        simulation.recover()
        assert not simulation.poll_health().hardware_error.any()

    def test_a_robot_file_with_servos_gets_position_servos(self, robot):
        servos = ServoSettings(
            model=["XM430-W210"] * 8,
            stall_current_a=[2.3] * 8,
            current_limit_a=[1.6] * 8,
            torque_constant_nm_a=[1.3] * 8,
            position_p_gain=[800] * 8,
            position_i_gain=[0] * 8,
            position_d_gain=[0] * 8,
        )
        simulation = MinitaurSimulation(dataclasses.replace(robot, servos=servos, kp_nm_rad=[30.0] * 8))
        assert simulation.motors is None
        assert simulation.poll_health() is None
        simulation._sensor_latency_s = 0.0
        state = stand(simulation, 1.0)
        np.testing.assert_allclose(state.effort_nm, 30.0 * (STAND - state.position_rad), atol=0.2)
        np.testing.assert_allclose(state.position_rad, STAND, atol=0.1)


class TestSensors:
    def test_readings_are_as_old_as_the_latency(self, robot):
        prompt, late = with_settings(robot, sensor_latency_s=0.0), with_settings(robot, sensor_latency_s=0.022)
        readings = []
        for step in range(10):
            for simulation in (prompt, late):
                simulation.write(STAND + 0.3 * math.sin(step), ALL)
            for _ in range(5):
                readings.append(prompt.read())
                prompt.advance(0.004)
            late.advance(PERIOD_S)
        # 50 physics steps: the present one is 50; 5.5 steps ago lies between 44 and 45
        expected = (readings[44].position_rad + readings[45].position_rad) / 2
        np.testing.assert_allclose(late.read().position_rad, expected, atol=1e-12)
        rates = (readings[44].body.angular_velocity_rad_s + readings[45].body.angular_velocity_rad_s) / 2
        np.testing.assert_allclose(late.read().body.angular_velocity_rad_s, rates, atol=1e-12)
        # the odometry is prompt
        np.testing.assert_array_equal(late.read().body.position_m, prompt.read().body.position_m)

    @pytest.mark.parametrize("values", [{}, {"orientation_noise_rad": 0.1, "rate_noise_rad_s": 0.1}], ids=["", "noisy"])
    def test_odometry_is_prompt_and_exact_in_the_bodys_frame_whatever_the_inertial_sensor_shows(self, robot, values):
        simulation = with_settings(robot, **values)
        simulation.data.qpos[2] = 1.0  # in flight
        simulation.data.qvel[:6] = [0.3, -0.2, 0.5, 0.5, -0.4, 3.0]
        turns, readings = [], []
        for _ in range(20):
            simulation.advance(simulation.time_step_s)
            readings.append(simulation.read().body)
            mujoco.mj_kinematics(simulation.model, simulation.data)
            turns.append(simulation.data.body("chassis").xmat.reshape(3, 3).copy())
        body, before, turn = readings[-1], readings[-2], turns[-1]
        heading = math.atan2(turn[1, 0], turn[0, 0])
        assert body.yaw_rad == pytest.approx(heading, abs=1e-9)
        assert heading > 0.2
        # the integrator's own velocity: what the position has changed by in the last step
        moved_m_s = (body.position_m - before.position_m) / simulation.time_step_s
        np.testing.assert_allclose(body.linear_velocity_m_s, turn.T @ moved_m_s, atol=1e-9)
        np.testing.assert_array_equal(body.odometry_rates_rad_s, simulation.data.qvel[3:6])
        np.testing.assert_array_equal(body.odometry_quaternion, simulation.data.qpos[3:7])
        # the inertial sensor shows what was 20 ms ago, on top of that its noise
        w, x, y, z = body.quaternion
        lean = [2 * (x * z - w * y), 2 * (y * z + w * x)]  # the third row of its matrix
        error = np.abs(lean - turns[-6][2, :2]).max()
        assert (error > 1e-3) if values else (error < 1e-9)

    # The torque of the first physics step is there 4 ms after the command: 0.05 x 16 / 0.186 = 4.3011 A, 0.43011 Nm.
    @pytest.mark.parametrize(
        ("values", "after_s", "torque_nm"),
        [
            ({"sensor_latency_s": 0.0}, 0.004, 0.43011),
            ({}, 0.02, 0.0),
            ({}, 0.024, 0.43011),
            ({"sensor_latency_s": 0.01}, 0.012, 0.21505),  # half way from 0
        ],
    )
    def test_a_torque_is_read_as_late_as_the_latency_says(self, robot, values, after_s, torque_nm):
        simulation = with_settings(robot, **values)
        simulation.write(STAND + 0.05, ALL)
        simulation.advance(after_s)
        np.testing.assert_allclose(simulation.read().effort_nm, torque_nm, atol=2e-5)

    @pytest.mark.parametrize(
        ("name", "read"),
        [
            ("position_noise_rad", lambda state: state.position_rad),
            ("velocity_noise_rad_s", lambda state: state.velocity_rad_s),
            ("torque_noise_nm", lambda state: state.effort_nm),
            ("rate_noise_rad_s", lambda state: state.body.angular_velocity_rad_s),
            ("orientation_noise_rad", lambda state: np.array([state.body.roll_rad, state.body.pitch_rad])),
        ],
    )
    def test_noise_has_that_deviation(self, robot, name, read):
        simulation = with_settings(robot, **{name: 0.02})
        draws = np.array([read(simulation.read()) for _ in range(800)])
        assert draws.std(axis=0) == pytest.approx(0.02, rel=0.15)
        clean = with_settings(robot)
        assert draws.mean(axis=0) == pytest.approx(read(clean.read()), abs=0.004)
        quaternions = [np.linalg.norm(simulation.read().body.quaternion) for _ in range(5)]
        np.testing.assert_allclose(quaternions, 1.0)

    def test_noise_is_seeded(self, robot):
        a, b, c = (with_settings(robot, seed, position_noise_rad=0.1).read().position_rad for seed in (1, 1, 2))
        assert (a == b).all()
        assert (a != c).all()

    def test_the_hands_noise_setting_is_refused(self, robot):
        with pytest.raises(SettingsError, match="position_noise_rad and its neighbours"):
            MinitaurSimulation(robot, SimulationSettings(observation_noise=0.1))


@pytest.mark.parametrize("terrain", TERRAINS)
class TestTerrain:
    def test_it_stands_at_the_start(self, robot, terrain):
        simulation = with_settings(robot, terrain=terrain)
        state = stand(simulation, 1.0)
        assert state.body.upright > 0.99
        assert simulation.foot_contacts().all()

    def test_the_ground_ahead_is_what_it_is_called(self, robot, terrain):
        model = with_settings(robot, terrain=terrain).model
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        hit = np.zeros(1, dtype=np.int32)
        heights = []
        for x in np.linspace(0.7, 2.0, 53):
            for y in (-0.3, 0.05, 0.3):
                distance = mujoco.mj_ray(model, data, [x, y, 2.0], [0, 0, -1], None, 1, -1, hit)
                heights.append(2.0 - distance)
        heights = np.array(heights).reshape(-1, 3)
        low, high = {
            "flat": (0.0, 0.0),
            "slope": (math.tan(math.radians(10)) * 0.1, math.tan(math.radians(10)) * 1.4),
            "slope_down": (-math.tan(math.radians(10)) * 1.4, -math.tan(math.radians(10)) * 0.1),
            "blocks": (0.0, 0.025),
            "stairs": (-0.035 * 5, -0.035),
        }[terrain]
        assert heights.min() == pytest.approx(low, abs=2e-3)
        assert heights.max() == pytest.approx(high, abs=4e-3)


def test_blocks_are_placed_by_the_seed(robot):
    assert ground_mjcf("blocks", 1) == ground_mjcf("blocks", 1)
    assert ground_mjcf("blocks", 1) != ground_mjcf("blocks", 2)


def test_an_unknown_terrain_is_refused():
    with pytest.raises(ValueError, match="unknown terrain 'mud': choose one of flat, slope"):
        ground_mjcf("mud", 0)
