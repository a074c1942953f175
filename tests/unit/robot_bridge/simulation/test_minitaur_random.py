"""Random dynamics of the simulated Minitaur: each draw against a hand computation with the figures of bullet3."""

import math

import mujoco
import numpy as np
import pytest
from helpers.quadruped import MINITAUR, PERIOD_S, SERVOS, STAND, energies_j, stand, with_settings
from robot_bridge.leg_kinematics import LEGS, motor_angles
from robot_bridge.simulation.minitaur import MinitaurSimulation
from robot_bridge.simulation.settings import MinitaurRandomSettings, SimulationSettings
from rosac_common.settings import SettingsError, from_mapping

ALL = np.ones(8, dtype=bool)


def fixed(**values):
    """Ranges of one value each: these, and of all other draws that which changes nothing."""
    nominal = {
        "body_mass": 1.0,
        "leg_mass": 1.0,
        "inertia": 1.0,
        "motor_strength": 1.0,
        "voltage_v": 16.0,
        "viscous_v_s": 0.0,
        "foot_friction": 1.0,
        "knee_friction_nm": 0.0,
        "sensor_latency_s": 0.02,
    }
    return MinitaurRandomSettings(**{name: [value, value] for name, value in {**nominal, **values}.items()})


def drawn(ranges, robot=MINITAUR):
    simulation = with_settings(robot, random=ranges)
    simulation.randomise(np.random.default_rng(0))
    simulation.put_back()
    return simulation


def ground_force_n(simulation):
    """What the ground does to the whole robot (3,): what loops and joints do cancels in the body's translation."""
    return simulation.data.qfrc_constraint[:3]


class TestRandomise:
    # bullet3, minitaur_env_randomizer_config.py: lowest and highest of each draw, written down again.
    RANGES = {
        "body_mass": (0.8, 1.2),
        "leg_mass": (0.8, 1.2),
        "inertia": (0.5, 1.5),
        "motor_strength": (0.8, 1.2),
        "voltage_v": (14.0, 16.8),
        "viscous_v_s": (0.0, 0.05),
        "sensor_latency_s": (0.0, 0.04),
        "foot_friction": (0.5, 1.25),
        "knee_friction_nm": (0.0, 0.05),
    }

    @staticmethod
    def found(simulation, fresh):
        """What was drawn."""
        model, motors = simulation.model, simulation.motors
        halves = [f"{leg}_{half}" for leg in LEGS for half in ("rear", "front")]
        knees = [model.joint(f"{half}_knee").dofadr[0] for half in halves]
        mass = model.body_mass[1:] / fresh.model.body_mass[1:]
        chassis = model.body("chassis").id - 1
        return {
            "body_mass": mass[chassis],
            "leg_mass": np.delete(mass, chassis),
            "inertia": model.body_inertia[1:] / fresh.model.body_inertia[1:],
            "motor_strength": motors.strength.copy(),
            "voltage_v": motors.voltage_v,
            "viscous_v_s": motors.viscous_v_s,
            "sensor_latency_s": simulation._sensor_latency_s,
            "foot_friction": np.array([model.geom(f"{half}_lower").friction[0] for half in halves]),
            "knee_friction_nm": model.dof_frictionloss[knees],
        }

    def test_every_draw_fills_its_range_and_does_not_add_up(self):
        simulation, fresh = MinitaurSimulation(MINITAUR), MinitaurSimulation(MINITAUR)
        rng = np.random.default_rng(0)
        draws = []
        for _ in range(40):
            simulation.randomise(rng)
            draws.append(self.found(simulation, fresh))
        for name, (low, high) in self.RANGES.items():
            values = np.concatenate([np.ravel(each[name]) for each in draws])
            assert low <= values.min() < low + 0.2 * (high - low), name
            assert high - 0.2 * (high - low) < values.max() <= high, name
        last = draws[-1]
        assert len(set(last["motor_strength"])) == 8
        assert len(set(np.round(last["inertia"][:, 0], 9))) == len(last["inertia"]), "each body by itself"
        for name in ("leg_mass", "foot_friction", "knee_friction_nm"):
            assert np.ptp(last[name]) == pytest.approx(0.0, abs=1e-12), f"one {name} for all legs"
        assert abs(last["body_mass"] - last["leg_mass"][0]) > 0.001

    @pytest.mark.parametrize("name", RANGES)
    def test_what_is_switched_off_leaves_the_other_draws_as_they_are(self, name):
        fresh = MinitaurSimulation(MINITAUR)
        nominal = getattr(fixed(), name)
        everything, others = (
            self.found(drawn(ranges), fresh)
            for ranges in (MinitaurRandomSettings(), MinitaurRandomSettings(**{name: nominal}))
        )
        np.testing.assert_allclose(others.pop(name), nominal[0], rtol=1e-12)
        assert np.abs(everything.pop(name) - nominal[0]).max() > 0.001
        for other, values in others.items():
            np.testing.assert_array_equal(values, everything[other], other)

    def test_with_everything_switched_off_nothing_changes(self):
        still, fresh = drawn(fixed()), MinitaurSimulation(MINITAUR)
        np.testing.assert_array_equal(*(stand(each, 0.5).position_rad for each in (still, fresh)))
        for name in ("body_mass", "body_inertia", "dof_M0", "dof_invweight0", "geom_friction", "dof_frictionloss"):
            np.testing.assert_allclose(*(getattr(each.model, name) for each in (still, fresh)), rtol=1e-9, atol=1e-12)

    # Chassis and frames 3.353 + 2 x 1.32 = 5.993 kg; legs 8 x (0.072 + 0.034) + 4 x (0.086 + 0.072) = 1.48 kg.
    @pytest.mark.parametrize(
        ("values", "body_kg", "rear_link_kg", "whole_kg"),
        [
            ({"body_mass": 1.2}, 7.1916, 0.086, 8.6716),
            ({"leg_mass": 0.8}, 5.993, 0.0688, 7.177),
            ({"body_mass": 0.9, "leg_mass": 1.1}, 5.3937, 0.0946, 7.0217),
        ],
    )
    def test_mass_is_borne_by_the_ground(self, values, body_kg, rear_link_kg, whole_kg):
        simulation = drawn(fixed(**values))
        model = simulation.model
        assert model.body("chassis").mass[0] == pytest.approx(body_kg)
        assert model.body("back_left_rear_lower").mass[0] == pytest.approx(rear_link_kg)
        stand(simulation, 4.0)
        assert ground_force_n(simulation)[2] == pytest.approx(whole_kg * 9.81, rel=1e-3)
        # what MuJoCo derives of it
        assert model.body("chassis").subtreemass[0] == pytest.approx(whole_kg)
        assert model.dof_M0[:3] == pytest.approx(whole_kg)

    # About its knee a lower link has m c^2 + I: rear 0.086 x 0.12^2 = 1.2384e-3 and 3.264e-4, front 0.072 x 0.1^2 =
    # 7.2e-4 and 2.333e-4 kg m2.
    @pytest.mark.parametrize(("factor", "rear", "front"), [(1.5, 1.7280e-3, 1.06995e-3), (0.5, 1.4016e-3, 8.3665e-4)])
    def test_inertia_counts_in_each_joint(self, factor, rear, front):
        simulation = drawn(fixed(inertia=factor))
        model = simulation.model
        matrix = np.zeros((model.nv, model.nv))
        mujoco.mj_fullM(model, simulation.data, matrix)
        for leg in LEGS:
            for half, expected in (("rear", rear), ("front", front)):
                knee = model.joint(f"{leg}_{half}_knee").dofadr[0]
                assert (matrix[knee, knee], model.dof_M0[knee]) == pytest.approx((expected, expected))
        assert model.body("chassis").inertia == pytest.approx(
            factor * MinitaurSimulation(MINITAUR).model.body("chassis").inertia
        )

    # As in TestMotors: at 16 V 0.05 rad ahead give 4.3011 A and 0.43011 Nm.
    @pytest.mark.parametrize(
        ("values", "ahead_rad", "velocity_rad_s", "torque_nm"),
        [
            ({"motor_strength": 0.8}, 0.05, 0.0, 0.34409),
            ({"voltage_v": 14.0}, 0.05, 0.0, 0.37634),  # 0.05 x 14 / 0.186
            ({"viscous_v_s": 0.05}, 0.0, 2.0, -0.41441),  # (-0.03 x 16 - (0.0954 + 0.05) x 2) / 0.186
        ],
    )
    def test_motors(self, values, ahead_rad, velocity_rad_s, torque_nm):
        simulation = drawn(fixed(sensor_latency_s=0.0, **values))
        simulation.set_state(STAND, np.full(8, velocity_rad_s))
        simulation.write(STAND + ahead_rad, ALL)
        simulation.advance(simulation.time_step_s)
        np.testing.assert_allclose(simulation.read().effort_nm, torque_nm, atol=2e-5)

    @pytest.mark.parametrize(("latency_s", "after_s", "torque_nm"), [(0.01, 0.012, 0.21505), (0.04, 0.044, 0.43011)])
    def test_latency_of_the_sensors(self, latency_s, after_s, torque_nm):
        simulation = drawn(fixed(sensor_latency_s=latency_s))
        simulation.write(STAND + 0.05, ALL)
        simulation.advance(after_s)
        np.testing.assert_allclose(simulation.read().effort_nm, torque_nm, atol=2e-5)

    @pytest.mark.parametrize("friction", [0.2, 0.3])
    def test_feet_that_slide_pull_with_their_friction(self, friction):
        simulation = drawn(fixed(foot_friction=friction))
        for leg in LEGS:
            for half in ("rear", "front"):
                assert simulation.model.geom(f"{leg}_{half}_lower").friction[0] == friction
        stand(simulation, 1.0)
        simulation.data.body("chassis").xfrc_applied[1] = 1.5 * friction * 7.473 * 9.81  # to the left
        stand(simulation, 0.4)
        _, sideways_n, upwards_n = ground_force_n(simulation)
        assert -sideways_n / upwards_n == pytest.approx(friction, rel=0.02)

    def test_friction_of_the_knees_takes_energy(self):
        """In flight: 0.03 Nm times the angle that the eight knees turn."""
        simulation = drawn(fixed(knee_friction_nm=0.03))
        simulation.model.opt.gravity[:] = 0.0
        simulation.set_state(STAND, np.full(8, 4.0))
        simulation.data.qpos[2] = 1.0
        simulation.advance(0.012)  # the knees, which were at rest, are set in motion
        energies, angles = [], []
        for _ in range(15):
            energies += energies_j(simulation, 1)
            angles.append(simulation.data.qpos[8::2].copy())
        # energies are those of before the step
        turned_rad = np.abs(np.diff(angles, axis=0)).sum(axis=1)[:-1]
        assert energies[1] - energies[-1] == pytest.approx(0.03 * turned_rad.sum(), rel=0.05)
        assert turned_rad.sum() > 0.5

    def test_servos_have_a_gain_each_in_place_of_strength_battery_and_viscosity(self):
        simulation = MinitaurSimulation(SERVOS)
        gains = []
        for seed in range(10):
            simulation.randomise(np.random.default_rng(seed))
            gains.append(simulation.gains_nm_rad / 13.8)
        assert 0.8 <= np.min(gains) < 0.85
        assert 1.15 < np.max(gains) <= 1.2
        assert len(set(gains[-1])) == 8
        soft = drawn(fixed(motor_strength=0.8, sensor_latency_s=0.0), SERVOS)
        soft.write(STAND + 0.05, ALL)
        soft.advance(soft.time_step_s)
        np.testing.assert_allclose(soft.read().effort_nm, 0.8 * 13.8 * 0.05, atol=1e-9)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (
                {"body_mass": [1.2, 0.8]},
                r"random\.body_mass is \[1.2, 0.8\]: give the lowest and the highest value, such",
            ),
            (
                {"leg_mass": [1.0]},
                r"random\.leg_mass is \[1.0\]: .* as \[0.8, 1.2\]; both the same switch this draw off",
            ),
            ({"inertia": [0.0, 1.0]}, r"'minitaur.random.inertia' is 0.0; it must be in 0.1 .. 10"),
            ({"voltage_v": [14.0, math.inf]}, r"'minitaur.random.voltage_v' is inf; it must be in 1 .. 50"),
            ({"foot_friction": [0.0, 1.0]}, r"'minitaur.random.foot_friction' is 0.0; it must be in 0.02 .. 10"),
            ({"motor_strength": [1.0, 2.0]}, r"'minitaur.random.motor_strength' is 2.0; it must be in 0 .. 1.5"),
            ({"mass": [1.0, 1.0]}, r"unknown setting 'minitaur.random.mass'; did you mean 'minitaur.random.leg_mass'"),
        ],
    )
    def test_bad_ranges_are_refused(self, values, message):
        with pytest.raises(SettingsError, match=message):
            from_mapping(SimulationSettings, {"minitaur.random": values})

    @pytest.mark.parametrize(
        ("robot", "figures"), [(MINITAUR, "identified"), (MINITAUR, "default"), (SERVOS, "identified")]
    )
    @pytest.mark.parametrize("friction", [0.02, 1.0])
    def test_the_physics_survives_the_limits(self, robot, figures, friction):
        """Random actions on light legs, stood up again before they fall far."""
        ranges = fixed(motor_strength=1.5, foot_friction=friction, leg_mass=0.8, inertia=0.5, voltage_v=16.8)
        simulation = with_settings(robot, figures=figures, random=ranges)
        farthest = PERIOD_S * np.array(robot.speed_limit_rad_s)
        for seed in range(3):
            rng = np.random.default_rng(seed)
            simulation.randomise(rng)
            for step in range(200):
                if step % 25 == 0:
                    simulation.put_back()
                seen = simulation.read().position_rad
                goals = motor_angles(rng.uniform(-0.5, 0.5, 4), rng.uniform(1.5, 2.5, 4))
                simulation.write(np.clip(goals, seen - farthest, seen + farthest), ALL)
                simulation.advance(PERIOD_S)  # BackendError: it diverged

    def test_is_reproducible_and_walks_on(self):
        ends = []
        for _ in range(2):
            simulation = MinitaurSimulation(MINITAUR)
            simulation.randomise(np.random.default_rng(5))
            ends.append(stand(simulation, 1.0).body.position_m)
        assert (ends[0] == ends[1]).all()
        assert ends[0][2] != stand(MinitaurSimulation(MINITAUR), 1.0).body.position_m[2]

    def test_friction_of_the_feet_counts(self):
        """A foot has its own friction, whatever the ground's is: pushed sideways, the slippery robot slides."""
        slid = []
        for friction in (0.05, 1.0):
            simulation = MinitaurSimulation(MINITAUR)
            simulation.model.geom_friction[:, 0] = friction
            simulation.model.geom_friction[simulation.model.geom("ground").id, 0] = 1.0
            stand(simulation, 1.0)
            simulation.data.qvel[1] = 0.5
            slid.append(stand(simulation, 0.5).body.position_m[1])
        assert slid[0] > 0.1
        assert slid[1] < 0.05
