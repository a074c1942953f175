"""The simulated hand as a backend: time, torque, latency, noise, randomisation."""

import dataclasses

import mujoco
import numpy as np
import pytest
from robot_bridge.backend import BackendError, SimulatedBackend
from robot_bridge.simulation import dclaw, make_simulation
from robot_bridge.simulation.dclaw import DClawSimulation
from robot_bridge.simulation.settings import SimulationSettings
from rosac_common.settings import SettingsError

START = np.array([0.0, -np.pi / 3, np.pi / 3] * 3 + [0.0])
HAND = np.array([True] * 9 + [False])
ALL, NONE = np.ones(10, dtype=bool), np.zeros(10, dtype=bool)


@pytest.fixture
def simulation(robot):
    return DClawSimulation(robot)


def test_is_a_simulated_backend(robot):
    assert isinstance(make_simulation(robot, SimulationSettings(), seed=0, epoch_ns=0), SimulatedBackend)


def test_an_unknown_model_is_refused_with_the_known_ones(robot):
    other = dataclasses.replace(robot, simulation_model="dklaw")
    with pytest.raises(SettingsError, match="simulation_model is 'dklaw'; it must be one of dclaw"):
        make_simulation(other, SimulationSettings(), seed=0, epoch_ns=0)


class TestTime:
    def test_starts_at_the_epoch_and_is_exact(self, robot):
        epoch_ns = 1_795_000_000_123_456_789
        simulation = DClawSimulation(robot, epoch_ns=epoch_ns)
        for _ in range(3):
            simulation.advance(0.1)
        assert simulation.read().time_ns == epoch_ns + 300_000_000
        assert simulation.read().time_s == pytest.approx(epoch_ns * 1e-9 + 0.3)

    def test_never_goes_back(self, simulation):
        simulation.advance(0.1)
        simulation.set_state(START)
        assert simulation.time_ns == 100_000_000
        simulation.open()
        simulation.randomise(np.random.default_rng(0))
        assert simulation.time_ns == 100_000_000

    @pytest.mark.parametrize("duration_s", [0.001, 0.0512, -0.1])
    def test_only_whole_physics_steps(self, simulation, duration_s):
        with pytest.raises(BackendError, match="choose a multiple of the physics step, 0.0025 s"):
            simulation.advance(duration_s)


class TestMotors:
    def test_go_where_they_are_told(self, simulation):
        goals = START.copy()
        goals[[1, 4, 7]] = -0.5
        for _ in range(20):
            simulation.write(goals, HAND)
            simulation.advance(0.1)
        state = simulation.read()
        # the weight of the finger against kp = 2 leaves a few degrees
        np.testing.assert_allclose(state.position_rad[:9], goals[:9], atol=0.1)
        np.testing.assert_allclose(state.velocity_rad_s, 0.0, atol=1e-3)
        np.testing.assert_allclose(state.effort_nm[:9], 2.0 * (goals - state.position_rad)[:9], atol=1e-2)

    def test_without_torque_the_hand_falls_and_the_valve_is_free(self, simulation):
        simulation.write(START, HAND)
        simulation.advance(1.0)
        held = simulation.read().position_rad
        simulation.write(START, NONE)
        assert (simulation.read().effort_nm == 0).all()
        simulation.advance(1.0)
        fallen = simulation.read()
        assert (np.abs(fallen.position_rad - held)[[1, 4, 7]] > 0.3).all()
        assert (fallen.effort_nm == 0).all()

    def test_torque_is_switched_per_joint(self, simulation):
        goals = np.zeros(10)
        torque_on = NONE.copy()
        torque_on[4] = True
        simulation.write(goals, torque_on)
        simulation.advance(0.5)
        state = simulation.read()
        assert np.flatnonzero(state.effort_nm).tolist() == [4]

    def test_the_valve_turns_only_while_its_motor_is_on(self, simulation):
        goals = START.copy()
        goals[9] = 1.0
        simulation.write(goals, HAND)
        simulation.advance(1.0)
        assert simulation.read().position_rad[9] == 0.0
        simulation.write(goals, ALL)
        simulation.advance(1.0)
        assert simulation.read().position_rad[9] == pytest.approx(1.0, abs=1e-3)
        goals[9] = -2.0
        simulation.write(goals, HAND)
        simulation.advance(1.0)
        assert simulation.read().position_rad[9] == pytest.approx(1.0, abs=1e-3)

    def test_close_takes_torque_off(self, simulation):
        simulation.write(START, ALL)
        simulation.advance(0.1)
        simulation.close()
        simulation.close()
        assert (simulation.read().effort_nm == 0).all()

    def test_open_puts_it_at_the_start_pose_without_torque(self, simulation):
        simulation.write(np.zeros(10), ALL)
        simulation.advance(0.5)
        simulation.open()
        state = simulation.read()
        np.testing.assert_array_equal(state.position_rad, START)
        assert not state.velocity_rad_s.any()
        simulation.advance(0.2)
        assert (simulation.read().effort_nm == 0).all()

    def test_a_diverged_simulation_says_so(self, simulation):
        simulation.set_state(START, np.full(10, np.inf))
        with pytest.raises(BackendError, match="the physics diverged"):
            simulation.advance(0.1)

    def test_energy_does_not_grow_without_torque(self, robot):
        simulation = DClawSimulation(robot)
        simulation.model.opt.enableflags |= int(mujoco.mjtEnableBit.mjENBL_ENERGY)
        simulation.set_state(np.array([0.3, -1.2, 1.0] * 3 + [0.0]), np.array([0.0] * 9 + [3.0]))
        energies = []
        for _ in range(400):
            simulation.advance(simulation.time_step_s)
            energies.append(simulation.data.energy.sum())
        assert energies[-1] < energies[0] - 0.05
        assert np.diff(energies).max() < 1e-6


class TestLatency:
    def test_a_goal_takes_effect_that_much_later_to_the_physics_step(self, robot):
        prompt = DClawSimulation(robot)
        late = DClawSimulation(robot, SimulationSettings(action_latency_s=0.0125))
        goals = START + 0.2
        prompt.advance(0.0125)
        prompt.write(goals, HAND)
        late.write(goals, HAND)
        prompt.advance(0.0875)
        late.advance(0.1)
        np.testing.assert_array_equal(late.read().position_rad, prompt.read().position_rad)
        assert late.time_ns == prompt.time_ns

    def test_longer_than_the_period_keeps_every_goal_in_order(self, robot):
        late = DClawSimulation(robot, SimulationSettings(action_latency_s=0.25))
        seen = []
        for step in range(6):
            late.write(np.full(10, float(step)), HAND)
            late.advance(0.1)
            seen.append(late.data.ctrl[0])
        assert seen == [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]

    def test_torque_off_does_not_wait_and_cancels_what_is_on_its_way(self, robot):
        late = DClawSimulation(robot, SimulationSettings(action_latency_s=0.05))
        late.write(START, HAND)
        late.advance(0.1)
        assert late.read().effort_nm[:9].any()
        late.write(START + 0.3, HAND)
        late.advance(0.025)
        late.write(START, NONE)
        for _ in range(40):
            assert not late.read().effort_nm.any()
            late.advance(late.time_step_s)

    def test_setting_the_state_forgets_what_is_on_its_way(self, robot):
        late = DClawSimulation(robot, SimulationSettings(action_latency_s=0.05))
        late.write(START + 0.3, HAND)
        late.set_state(START)
        late.advance(0.2)
        assert not late.read().effort_nm.any()


class TestNoise:
    def test_covers_its_range_and_no_more(self, robot):
        simulation = DClawSimulation(robot, SimulationSettings(observation_noise=0.05), seed=3)
        states = [simulation.read() for _ in range(2000)]
        position = np.array([state.position_rad for state in states]) - START
        velocity = np.array([state.velocity_rad_s for state in states])
        position_bound = 0.025 * np.array([0.96, 2 * np.pi / 3, np.pi] * 3 + [2 * np.pi])
        velocity_bound = 0.025 * np.array([4 * np.pi / 3] * 9 + [0.0])
        for values, bound in ((position, position_bound), (velocity, velocity_bound)):
            largest = np.abs(values).max(axis=0)
            assert (largest <= bound).all()
            assert (largest >= 0.98 * bound).all()
            np.testing.assert_allclose(values.mean(axis=0), 0.0, atol=0.06 * position_bound.max())

    def test_repeats_with_the_seed(self, robot):
        settings = SimulationSettings(observation_noise=0.05)
        first, same, other = (DClawSimulation(robot, settings, seed).read().position_rad for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, same)
        assert (first != other).all()

    def test_is_off_by_default(self, simulation):
        np.testing.assert_array_equal(simulation.read().position_rad, START)


class TestRandomise:
    def test_draws_stay_in_robels_ranges_and_do_not_add_up(self, simulation):
        rng = np.random.default_rng(0)
        model, mount = simulation.model, simulation.model.body("mount").pos.copy()
        draws = []
        for _ in range(200):
            simulation.randomise(rng)
            shift = model.body("mount").pos - mount
            kp = model.actuator_biasprm[:, 1]
            simulation.write(START, ALL)
            gains = -kp.copy()
            draws.append([*model.dof_damping, *model.dof_frictionloss, gains[0], *shift, *model.geom_friction[3]])
            assert len(set(gains[:9])) == 1
            assert gains[9] == 2.0
            assert (model.geom_friction == model.geom_friction[0]).all()
        draws = np.array(draws)
        low = np.array([0.005] * 10 + [0.001] * 10 + [1.0] + [-0.01] * 3 + [0.8, 0.003, 0.00005])
        high = np.array([0.1] * 10 + [0.005] * 10 + [3.0] + [0.01] * 3 + [1.2, 0.007, 0.00015])
        assert (draws >= low).all()
        assert (draws <= high).all()
        assert (np.ptp(draws, axis=0) > 0.9 * (high - low)).all()

    def test_switches_observation_noise_on(self, simulation):
        simulation.randomise(np.random.default_rng(0))
        assert simulation.observation_noise == dclaw.RANDOM_OBSERVATION_NOISE == 0.05

    def test_repeats_with_the_seed(self, robot):
        results = []
        for seed in (5, 5, 6):
            simulation = DClawSimulation(robot)
            simulation.randomise(np.random.default_rng(seed))
            simulation.write(START, HAND)
            simulation.advance(0.5)
            results.append(simulation.data.qpos.copy())
        np.testing.assert_array_equal(results[0], results[1])
        assert (results[0] != results[2]).any()

    def test_keeps_the_torque_as_it_is_and_the_coloured_lobe_too(self, simulation):
        colour = simulation.model.geom("valve_lobe0").rgba.copy()
        simulation.write(START, HAND)
        simulation.randomise(np.random.default_rng(0))
        simulation.advance(0.1)
        assert simulation.read().effort_nm[:9].any()
        assert simulation.read().effort_nm[9] == 0.0
        np.testing.assert_array_equal(simulation.model.geom("valve_lobe0").rgba, colour)


def test_the_same_commands_give_the_same_motion(robot):
    results = []
    for _ in range(2):
        simulation, rng = DClawSimulation(robot), np.random.default_rng(0)
        for _ in range(30):
            simulation.write(np.append(rng.uniform(-0.45, 0.45, 9), 0.0), HAND)
            simulation.advance(0.1)
        results.append(simulation.read().position_rad)
    np.testing.assert_array_equal(*results)


def test_the_mark_on_the_floor_shows_the_target(simulation):
    simulation.mark_target(np.pi / 2)
    simulation.set_state(START)
    x, y, _ = simulation.site_position_m(["target"])[0]
    assert x == pytest.approx(0.0, abs=1e-9)
    assert y > 0.05
