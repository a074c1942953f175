import math

import numpy as np
import pytest
from rosac_common.settings import SettingsError
from valve_task.teleop import Teleop, TeleopSettings

HELD, FREE = [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]
AXES = [0.1, 0.2, 0.3, 0.4, -0.5]


def test_axes_act_while_the_button_is_held():
    teleop = Teleop(TeleopSettings(), 9)
    assert teleop.action(0.0) is None
    assert teleop.receive(AXES, HELD, 1.0) is None
    assert teleop.action(1.1) == pytest.approx([0.1, 0.2, -0.5] * 3)
    teleop.receive(AXES, FREE, 1.2)
    assert teleop.action(1.2) is None


def test_a_silent_joystick_acts_no_longer():
    teleop = Teleop(TeleopSettings(joy_timeout_s=0.5), 9)
    teleop.receive(AXES, HELD, 1.0)
    assert teleop.action(1.5) is not None
    assert teleop.action(1.501) is None


def test_mapping_scale_and_clip():
    teleop = Teleop(TeleopSettings(axes=[-1, 0, 1], scale=[1.0, -1.0, 0.5], deadman_button=0), 3)
    teleop.receive([2.0, 0.4], [1], 0.0)
    assert teleop.action(0.0) == pytest.approx([0.0, -1.0, 0.2])
    assert teleop.action(0.0).dtype == np.float32


@pytest.mark.parametrize(
    ("axes", "buttons", "message"),
    [
        (AXES, [1], "1 buttons"),
        ([0.0], HELD, "1 axes"),
        ([0.0, math.nan, 0.0, 0.0, 0.0], HELD, "not finite"),
    ],
)
def test_a_wrong_message_releases_the_robot(axes, buttons, message):
    teleop = Teleop(TeleopSettings(), 9)
    teleop.receive(AXES, HELD, 0.0)
    assert message in teleop.receive(axes, buttons, 0.1)
    assert teleop.action(0.1) is None


def test_lists_must_fit_the_action():
    with pytest.raises(SettingsError, match="teleop.axes has 2 values, the action has 9"):
        Teleop(TeleopSettings(axes=[0, 1]), 9)
