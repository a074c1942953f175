"""Joint offsets from a robot that stands in a known pose."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from rosac_common.settings import SettingsError

from robot_bridge.backend import BackendError
from robot_bridge.dynamixel.bus import DynamixelBus
from robot_bridge.dynamixel.connection import Servo, read_register, servos_of, set_register
from robot_bridge.dynamixel.control_table import POSITION_CONTROL, TICKS_PER_REVOLUTION
from robot_bridge.dynamixel.tools.findings import Commands, RefusedError
from robot_bridge.dynamixel.tools.robot_file import replace_lists
from robot_bridge.dynamixel.units import RAD_PER_TICK
from robot_bridge.robot import RobotSettings

# Looks at each joint; between them it must not move further than a hand that lets go (own figures) [ticks].
LOOKS = 5
STILL_TICKS = 4
_DECIMALS = 6  # of an offset [rad]: finer than a thousandth of a tick
# What the bridge sets too: the servo counts from its own zero, and its own way round.
_PLAIN = {"operating_mode": POSITION_CONTROL, "drive_mode": 0, "homing_offset": 0}


@dataclasses.dataclass(frozen=True)
class JointOffset:
    """Old and new calibration of one joint."""

    joint: str
    identifier: int
    ticks: int  # register present_position, within one turn
    pose_rad: float  # where the joint stands
    old_rad: float
    new_rad: float

    @property
    def change_ticks(self) -> int:
        """New minus old offset, to the nearest tick."""
        return round((self.new_rad - self.old_rad) / RAD_PER_TICK)


def servos_to_calibrate(robot: RobotSettings, joints: Sequence[str]) -> list[Servo]:
    """Servos of some joints (of all, if none is named), whatever their ranges are now.

    Raises:
        RefusedError: no such joint.
    """
    names = robot.all_joint_names
    unknown = [name for name in joints if name not in names]
    if unknown:
        raise RefusedError(f"there is no joint '{unknown[0]}'; {robot.name} has {', '.join(names)}")
    rows = zip(names, robot.all_joint_ids, robot.servos.models, strict=True)
    return [Servo(name, i, model, dict(_PLAIN)) for name, i, model in rows if not joints or name in joints]


def parse_pose(words: Sequence[str], robot: RobotSettings) -> dict[str, float]:
    """Where each joint stands [rad], of words such as "valve=1.57", or "1.57" for all joints; 0 where nothing is said.

    Raises:
        RefusedError: no such joint, or no number.
    """
    pose = dict.fromkeys(robot.all_joint_names, 0.0)
    for word in words:
        name, sign, value = word.rpartition("=")
        try:
            angle_rad = float(value)
        except ValueError:
            raise RefusedError(f"'{word}' is no pose: write JOINT=RAD, or RAD for all joints") from None
        if sign and name not in pose:
            raise RefusedError(f"there is no joint '{name}'; {robot.name} has {', '.join(pose)}")
        pose |= {name: angle_rad} if sign else dict.fromkeys(pose, angle_rad)
    return pose


def release(bus: DynamixelBus, servos: Sequence[Servo]) -> None:
    """Torque off, so that the joints can be moved by hand.

    Raises:
        BackendError: a servo does not answer or does not let go.
    """
    for servo in servos:
        set_register(bus, servo, "torque_enable", 0)


def require_plain_counting(bus: DynamixelBus, servos: Sequence[Servo], commands: Commands) -> None:
    """Check that the servos count as they will under the bridge.

    Raises:
        RefusedError: a servo has an offset or a direction of its own, which the bridge will remove.
    """
    for servo in servos:
        for name, wanted in servo.settings.items():
            value = read_register(bus, servo, name)
            if value != wanted:
                raise RefusedError(
                    f"{servo}: {name} is {value}, the bridge will set it to {wanted}, and the servo will count from "
                    f"elsewhere: {commands('check', '--fix')} first"
                )


def read_still(bus: DynamixelBus, servos: Sequence[Servo]) -> dict[int, int]:
    """Register present_position of each servo, by id, within one turn.

    Raises:
        BackendError: a servo does not answer, or its joint moves.
    """
    result = {}
    for servo in servos:
        looks = [read_register(bus, servo, "present_position") for _ in range(LOOKS)]
        if max(looks) - min(looks) > STILL_TICKS:
            raise BackendError(
                f"{servo} moves: {min(looks)} to {max(looks)} ticks in {LOOKS} looks: hold it still and try again"
            )
        result[servo.identifier] = int(np.median(looks)) % TICKS_PER_REVOLUTION
    return result


def offsets(robot: RobotSettings, ticks: Mapping[int, int], pose_rad: Mapping[str, float]) -> list[JointOffset]:
    """New offsets of the joints whose ticks are given by id: joint position = direction x servo angle + offset."""
    direction = [*robot.direction, *robot.auxiliary_direction]
    old_rad = [*robot.position_offset_rad, *robot.auxiliary_position_offset_rad]
    result = []
    for i, (name, identifier) in enumerate(zip(robot.all_joint_names, robot.all_joint_ids, strict=True)):
        if identifier not in ticks:
            continue
        new_rad = round(pose_rad[name] - direction[i] * ticks[identifier] * RAD_PER_TICK, _DECIMALS)
        result.append(JointOffset(name, identifier, ticks[identifier], pose_rad[name], old_rad[i], new_rad))
    return result


def calibrated(robot: RobotSettings, found: Sequence[JointOffset]) -> RobotSettings:
    """The robot with these offsets; where one has not moved by a tick, the old one stays as it is.

    Raises:
        RefusedError: a joint's range would lie beyond the one turn of its servo.
    """
    new = {joint.joint: joint.new_rad for joint in found if joint.change_ticks}
    own = [new.get(n, v) for n, v in zip(robot.joint_names, robot.position_offset_rad, strict=True)]
    names, values = robot.auxiliary_joint_names, robot.auxiliary_position_offset_rad
    auxiliary = [new.get(n, v) for n, v in zip(names, values, strict=True)]
    changed = dataclasses.replace(robot, position_offset_rad=own, auxiliary_position_offset_rad=auxiliary)
    try:
        servos_of(changed)
    except SettingsError as error:
        raise RefusedError(
            f"{error}. Does the robot stand in the pose that was named? Else turn the horn: where the middle of "
            f"the range shall be, `rosac bus scan` should show about tick {TICKS_PER_REVOLUTION // 2}"
        ) from error
    return changed


def rewrite(text: str, robot: RobotSettings) -> str:
    """The robot file's text with the robot's offsets."""
    lists = {"robot.position_offset_rad": robot.position_offset_rad}
    if robot.auxiliary_joint_names:
        lists["robot.auxiliary_position_offset_rad"] = robot.auxiliary_position_offset_rad
    return replace_lists(text, lists)
