"""Emulated servos for tests of `rosac bus`; their joints touch nothing, so that they stand where they are."""

import dataclasses
from pathlib import Path

from robot_bridge.robot import RobotSettings, load_robot
from robot_bridge.servos import ServoSettings

ROBOTS = Path(__file__).parents[2] / "config" / "robots"
# How far the horns of a hand that somebody has put together are off [ticks].
HORNS = (3, -12, 20, 0, 8, -5, -17, 6, 11)
RAD_PER_TICK = 2.0 * 3.141592653589793 / 4096


def one_new_servo():
    """A servo as it left the factory, but for its baud rate, which the emulator gets as an option."""
    servos = ServoSettings(
        model=["XH430-V210"],
        stall_current_a=[0.7],
        current_limit_a=[0.46],
        torque_constant_nm_a=[3.7],
        position_p_gain=[900],
        position_i_gain=[0],
        position_d_gain=[0],
        voltage_v=24.0,
    )
    return RobotSettings(
        name="new",
        joint_names=["new"],
        joint_ids=[1],
        position_min_rad=[-1.0],
        position_max_rad=[1.0],
        position_offset_rad=[-3.141592653589793],
        direction=[1],
        speed_limit_rad_s=[1.0],
        kp_nm_rad=[2.0],
        servos=servos,
    )


def assembled_hand():
    """The hand at 0 rad, with horns that are not quite where the robot file says."""
    robot = load_robot(ROBOTS / "dclaw.yaml")
    offsets = zip(robot.position_offset_rad, HORNS, strict=True)
    actual = [offset_rad - ticks * RAD_PER_TICK for offset_rad, ticks in offsets]
    return dataclasses.replace(robot, simulation_model="", joint_symmetries=[], position_offset_rad=actual)
