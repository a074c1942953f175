import math

import numpy as np
import pytest
from rosac_common.settings import SettingsError, from_mapping, to_mapping
from valve_task.machine_io import HealthView
from valve_task.rest import RestSettings, ThermalPause
from valve_task.settings import TaskNodeSettings


class Thermometer:
    """A pause whose temperatures and clock are moved by hand."""

    def __init__(self, **settings):
        self.now_s = 0.0
        self.pause = ThermalPause(RestSettings(**settings), lambda: self.now_s)

    def read(self, *temperature_c):
        names = tuple(f"joint{i}" for i in range(len(temperature_c)))
        self.pause.receive(HealthView(names, np.array(temperature_c)))
        return self.pause


def test_a_robot_that_tells_no_temperatures_never_rests():
    t = Thermometer()
    t.now_s = 1e6
    assert (t.pause.due, t.pause.over, t.pause.is_silent, t.pause.silence_s) == (False, True, False, 0.0)


def test_one_warm_motor_is_enough_and_all_must_cool_down():
    t = Thermometer(above_c=65.0, below_c=50.0)
    assert not t.read(64.0, 65.0, 30.0).due
    assert t.read(30.0, 65.1, 55.0).due
    text = t.pause.describe()
    assert "joint1 65 C, joint2 55 C" in text
    assert "below 50 C" in text
    assert "joint0" not in text
    assert not t.read(30.0, 49.0, 50.0).over
    assert t.read(30.0, 49.0, 49.9).over


def test_a_motor_that_was_never_read_counts_for_nothing():
    t = Thermometer()
    assert not t.read(math.nan, math.nan).due
    assert t.read(math.nan, 66.0).due
    assert t.read(math.nan, 40.0).over


def test_silence_is_not_coolness():
    t = Thermometer(health_timeout_s=5.0)
    t.read(40.0)
    t.now_s = 4.9
    assert (t.pause.over, t.pause.is_silent) == (True, False)
    t.now_s = 5.1
    assert (t.pause.over, t.pause.is_silent) == (False, True)
    t.pause.forget()
    assert (t.pause.due, t.pause.is_silent) == (False, False)


def test_limits_that_do_not_fit_are_refused(robot):
    with pytest.raises(SettingsError, match=r"rest.below_c is 70 C; it must be below rest.above_c, 65 C"):
        RestSettings(below_c=70.0)
    values = {f"robot.{name}": value for name, value in to_mapping(robot).items()}
    with pytest.raises(SettingsError, match=r"rest.above_c is 80 C.*temperature_stop_c, 75 C"):
        from_mapping(TaskNodeSettings, {**values, "rest.above_c": 80.0})
