"""The motors against hand computations with the figures of bullet3's motor.py."""

import numpy as np
import pytest
from robot_bridge.simulation.motor_model import History, MotorModel

STEP_S = 0.004


def motors(thermal_cutout=True, count=3, kp=1.0, kd=0.015):
    return MotorModel(count, kp, kd, STEP_S, thermal_cutout)


def test_duty_cycle_of_the_pd_loop():
    duty = motors().duty(np.array([0.3, 5.0, -5.0]), np.array([0.1, 0.0, 0.0]), np.array([2.0, 0.0, 0.0]))
    np.testing.assert_allclose(duty, [1.0 * 0.2 - 0.015 * 2.0, 1.0, -1.0])


class TestTorque:
    def test_at_rest_in_the_first_part_of_the_table(self):
        # 0.1 x 16 V / 0.186 ohm = 8.602 A; 10 A give 1 Nm
        torque = motors().torque_nm(np.array([0.1, -0.1, 0.0]), np.zeros(3), True)
        np.testing.assert_allclose(torque, [0.8602, -0.8602, 0.0], atol=1e-4)

    # Every point of motor.py's table, the middle between each two, and beyond the last; 86.02 A = 16 V / 0.186 ohm.
    @pytest.mark.parametrize("sign", [1.0, -1.0])
    @pytest.mark.parametrize(
        ("current_a", "torque_nm"),
        [
            (0.0, 0.0),
            (5.0, 0.5),
            (10.0, 1.0),
            (15.0, 1.45),
            (20.0, 1.9),
            (25.0, 2.175),
            (30.0, 2.45),
            (35.0, 2.725),
            (40.0, 3.0),
            (45.0, 3.125),
            (50.0, 3.25),
            (55.0, 3.375),
            (60.0, 3.5),
            (61.0, 3.5),
            (86.02, 3.5),
        ],
    )
    def test_table_of_saturation(self, current_a, torque_nm, sign):
        duty = sign * current_a * 0.186 / 16.0
        torque = motors(count=1).torque_nm(np.array([duty]), np.zeros(1), True)
        assert torque[0] == pytest.approx(sign * torque_nm, abs=1e-9)

    def test_back_emf(self):
        # (16 - 0.0954 x 150) / 0.186 = 9.086 A; at 16 / 0.0954 = 167.7 rad/s nothing is left
        model = motors(count=2)
        torque = model.torque_nm(np.ones(2), np.array([150.0, 16.0 / 0.0954]), True)
        np.testing.assert_allclose(torque, [0.9086, 0.0], atol=1e-3)
        # turned from outside it brakes
        assert (model.torque_nm(np.zeros(2), np.array([5.0, -5.0]), True) * [1, -1] < 0).all()

    def test_voltage_viscosity_and_strength(self):
        model = motors()
        model.voltage_v, model.viscous_v_s = 14.0, 0.05
        model.strength = np.array([0.8, 1.0, 1.2])
        # (0.1 x 14 - 0.1454 x 2) / 0.186 = 5.963 A
        np.testing.assert_allclose(
            model.torque_nm(np.full(3, 0.1), np.full(3, 2.0), True), 0.5963 * model.strength, atol=1e-4
        )


class TestHeat:
    def steps(self, model, duty, count, torque_on=True):
        for _ in range(count):
            torque = model.torque_nm(np.array(duty), np.zeros(len(duty)), torque_on)
        return torque

    def test_a_motor_that_is_off_stays_cold_however_far_its_goal_is(self):
        model = motors(count=2)
        assert self.steps(model, [1.0, 1.0], 300, np.array([False, True])).tolist() == [0.0, 0.0]
        assert model.cut_out.tolist() == [False, True]

    def test_more_than_a_second_of_heavy_load_switches_that_motor_off(self):
        model = motors(count=2)
        assert (self.steps(model, [1.0, 0.1], 250) > 0).all()
        assert not model.cut_out.any()
        assert self.steps(model, [1.0, 0.1], 1).tolist() == [0.0, pytest.approx(0.8602, abs=1e-4)]
        assert model.cut_out.tolist() == [True, False]
        assert self.steps(model, [0.1, 0.1], 10)[0] == 0.0  # and it stays off
        model.cool_down()
        assert self.steps(model, [0.1, 0.1], 1)[0] > 0

    def test_a_pause_in_between_counts_anew(self):
        model = motors(count=1)
        for _ in range(3):
            self.steps(model, [1.0], 200)
            self.steps(model, [0.1], 1)
        assert not model.cut_out.any()

    def test_can_be_switched_off(self):
        model = motors(thermal_cutout=False, count=1)
        assert self.steps(model, [1.0], 500)[0] == 3.5


class TestHistory:
    def filled(self):
        history = History(1, 0.02, STEP_S)
        for value in range(20):
            history.add(np.array([float(value)]))
        return history

    @pytest.mark.parametrize(
        ("latency_s", "expected"), [(0.0, 19.0), (0.004, 18.0), (0.003, 18.25), (0.02, 14.0), (0.018, 14.5)]
    )
    def test_straight_line_between_two_rows(self, latency_s, expected):
        assert self.filled().at(latency_s)[0] == pytest.approx(expected)

    def test_at_first_it_has_always_been_so(self):
        history = History(2, 0.02, STEP_S)
        history.fill(np.array([1.0, 2.0]))
        history.add(np.array([3.0, 3.0]))
        np.testing.assert_allclose(history.at(0.002), [2.0, 2.5])
        np.testing.assert_allclose(history.at(0.02), [1.0, 2.0])

    def test_what_it_gives_is_a_copy(self):
        history = self.filled()
        history.at(0.0)[0] = -1.0
        assert history.at(0.0)[0] == 19.0
