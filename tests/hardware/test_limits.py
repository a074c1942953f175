"""Measured values beyond the limits of the robot file, through the real bridge on emulated servos."""

import dataclasses

import numpy as np
import pytest
from helpers.commander import LEGS, ROBOT, stamp
from helpers.patience import best_of
from helpers.rig import Rig
from sac_interfaces.msg import SafetyState

pytestmark = pytest.mark.ros


# A hand that stands bears itself with 4% of its current limit and sways with 7%; free joints need none, and 2%.
SHARE = {ROBOT.name: 0.05, LEGS.name: 0.01, "loads": 0.01}
# From the first command that leads beyond a limit, or from arming where the joint stands there already; sways reach
# their top speed after 0.4 s, a controlled stop holds for 0.3 s.
STOPS_WITHIN_S = 2.0


# Servos that show a load instead of a current; e-manual: 1.5 Nm at 1.4 A, 12 V.
LOADS = dataclasses.replace(
    LEGS,
    name="loads",
    safety=dataclasses.replace(LEGS.safety, temperature_stop_c=[65.0]),
    servos=dataclasses.replace(
        LEGS.servos,
        model=["XL430-W250"] * 8,
        stall_current_a=[1.4] * 8,
        current_limit_a=[1.3] * 8,
        torque_constant_nm_a=[1.07] * 8,
        position_p_gain=[640] * 8,
    ),
)


@pytest.mark.parametrize(
    ("robot", "cause"),
    [
        *((robot, cause) for robot in (ROBOT, LEGS) for cause in ("joint_speed", "motor_current")),
        (LOADS, "motor_current"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_measured_value_beyond_its_limit_stops_the_robot(robot, cause):
    limits = {
        "joint_speed": {"robot.safety.speed_stop_rad_s": [0.3]},
        "motor_current": {
            "robot.safety.current_stop_share": SHARE[robot.name],
            "robot.safety.current_time_s": 0.0,
        },
    }
    with Rig(robot, **limits[cause]) as rig:
        commander = rig.commander
        commander.connect(simulated=False)

        def stop_s():
            commander.goals = None
            commander.until(rig.restored, "disarmed after a reset")
            commander.call("safety/arm")
            stands, count = commander.states[-1].position[: len(robot.joint_names)], len(commander.states)
            commander.goals = lambda state: stands
            commander.until(lambda: len(commander.states) > count + 30, "states of a robot that stands")
            assert not rig.stopped, list(commander.safety[-1].causes_detail)
            since_s = rig.now_s()
            commander.goals = rig.sway
            detail = rig.until_stopped_by(cause)
            assert "joint '" in detail and "limit" in detail
            assert ("% load" in detail) == (robot is LOADS)
            return rig.until_safe_s(since_s)

        assert best_of(5, stop_s, STOPS_WITHIN_S) < STOPS_WITHIN_S
        rig.assert_rests_after_reset()


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


@pytest.mark.parametrize("robot", [ROBOT, LEGS], ids=lambda robot: robot.name)
def test_a_joint_that_is_found_outside_its_range_stops_the_robot(robot):
    with Rig(robot) as rig:
        rig.commander.connect(simulated=False)
        low = rig.commander.states[-1].position[0] + 0.05  # less than what arming allows
        limits = {"robot.position_min_rad": [low, *robot.position_min_rad[1:]], "robot.safety.position_margin_rad": 0.0}
        rig.restart_bridge(**limits)

        def stop_s():
            rig.commander.until(rig.restored, "disarmed after a reset")
            since_s = rig.now_s()
            rig.commander.call("safety/arm")
            detail = rig.until_stopped_by("joint_range")
            assert f"joint '{robot.joint_names[0]}' is at" in detail and "outside its range" in detail
            return rig.until_safe_s(since_s)

        assert best_of(5, stop_s, STOPS_WITHIN_S) < STOPS_WITHIN_S
        assert "safety/reset" in rig.commander.call("safety/arm", expect=False)


def test_a_joint_that_sank_out_of_its_range_is_not_switched_on():
    """Its servo would pull it back at full speed."""
    joint, high = 1, -0.4  # it sinks from -1 to 0
    highest = [high if i == joint else value for i, value in enumerate(ROBOT.position_max_rad)]
    for _ in range(5):
        with Rig(ROBOT, **{"robot.position_max_rad": highest, "robot.safety.command_timeout_periods": 20.0}) as rig:
            rig.commander.connect(simulated=False)
            if rig.commander.try_call("safety/arm").success:  # a slow machine lets it sink before
                assert_not_switched_on(rig, joint, high)
                return
    raise AssertionError("it was never armed in time")


def assert_not_switched_on(rig, joint, high):
    commander, effort = rig.commander, [float(i != joint) for i in range(len(ROBOT.joint_names))]

    def sunk():
        commander.send(commander.states[-1], effort=effort)
        return rig.joints()[joint] > high + ROBOT.safety.switch_on_margin_rad + 0.03

    commander.until(sunk, "the finger sinks without torque")
    assert not rig.stopped
    commander.send(commander.states[-1])
    detail = rig.until_stopped_by("joint_range")
    assert f"joint '{ROBOT.joint_names[joint]}' is to be switched on" in detail
    commander.until(lambda: not any(s["torque_on"] for s in rig.emulator.status()["servos"]), "torque is off")
    assert rig.joints()[joint] > high + ROBOT.safety.switch_on_margin_rad, "it was pulled back"
    commander.until(rig.restored, "disarmed after a reset")
    assert "outside its range" in commander.call("safety/arm", expect=False)


@pytest.mark.parametrize("robot", [ROBOT, LEGS], ids=lambda robot: robot.name)
def test_commands_that_answer_old_states_hold_the_robot(robot):
    with Rig(robot, **{"robot.safety.command_timeout_periods": 20.0}) as rig:
        commander = rig.commander
        commander.connect(simulated=False)
        old = commander.states[-1]
        commander.until(lambda: stamp(commander.states[-1]) > stamp(old) + 500_000_000, "newer states")
        commander.call("safety/arm")
        start = rig.joints()
        own = len(robot.joint_names)

        def held():
            commander.send(old, position=[value + 0.3 for value in old.position[:own]])
            return commander.safety[-1].state == SafetyState.HOLD

        commander.until(held, "hold")
        assert list(commander.safety[-1].causes) == ["stale_command"]
        assert "its stamp is of no recent state" in commander.safety[-1].causes_detail[0]
        assert all(servo["torque_on"] for servo in rig.emulator.status()["servos"][:own])
        assert np.abs(rig.joints() - start).max() < 0.1
        commander.until_armed()
