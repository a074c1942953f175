"""Measured values beyond the limits of the robot file, through the real bridge on emulated servos."""

import numpy as np
import pytest
from helpers.commander import LEGS, ROBOT
from helpers.rig import Rig

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("parameters", "cause"),
    [
        ({"robot.safety.speed_stop_rad_s": 0.2}, "joint_speed"),
        ({"robot.safety.current_stop_share": 0.01, "robot.safety.current_time_s": 0.0}, "motor_current"),
    ],
)
@pytest.mark.parametrize("robot", [ROBOT, LEGS], ids=lambda robot: robot.name)
def test_a_measured_value_beyond_its_limit_stops_the_robot(robot, parameters, cause):
    with Rig(robot, **parameters) as rig:
        rig.commander.connect(simulated=False)
        since_s = rig.now_s()
        rig.commander.call("safety/arm")
        rig.commander.goals = rig.sway
        detail = rig.until_stopped_by(cause)
        assert rig.until_safe_s(since_s) < 10.0  # from when arming was asked for
        assert "joint '" in detail
        assert "limit" in detail
        rig.commander.goals = None
        rig.commander.until(rig.restored, "disarmed after a reset")


@pytest.mark.parametrize("robot", [ROBOT, LEGS], ids=lambda robot: robot.name)
def test_a_robot_with_a_joint_outside_its_range_is_not_armed(robot):
    """Its servo would pull the joint into the range at once."""
    with Rig(robot) as rig:
        rig.commander.connect(simulated=False)
        low = rig.commander.states[-1].position[0] + 0.2
        rig.restart_bridge(**{"robot.position_min_rad": [low, *robot.position_min_rad[1:]]})
        start = rig.joints()
        message = rig.commander.call("safety/arm", expect=False)
        assert f"joint '{robot.joint_names[0]}' is at" in message
        assert "move it back by hand" in message
        rig.commander.until_report()
        assert not any(servo["torque_on"] for servo in rig.emulator.status()["servos"])
        assert np.abs(rig.joints() - start)[0] < 0.1
