"""The robot file: joints, ids, ranges, calibration, limits and gains of one robot. No robot's name is known to code."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rosac_common.settings import SettingsError, from_mapping, load_block, setting

from robot_bridge.body_limits import BodyLimits
from robot_bridge.leg_kinematics import LEGS, LegGeometry
from robot_bridge.safety_limits import SafetyLimits
from robot_bridge.servos import ServoSettings


@dataclasses.dataclass(frozen=True)
class RobotSettings:
    """The block `robot` of a robot file. Lists hold one value per joint, in the order of `joint_names`.

    Auxiliary joints belong to the robot's surroundings (a valve): their position is always read, and a motor turns them
    only while a command names them (resets).

    Raises:
        SettingsError: no joints, a name or id twice, lists of unequal length, a range that is empty, legs that cannot
            be built, or servos that switch themselves off before the robot is stopped.
    """

    name: str = setting("", "name of the robot")
    simulation_model: str = setting("", "which MuJoCo model stands in for it (robot_bridge.simulation); empty = none")
    joint_names: list[str] = setting([], "names of the joints, in the order of every joint vector")
    joint_ids: list[int] = setting([], "bus id of each joint's servo", minimum=0, maximum=252)
    position_min_rad: list[float] = setting([], "lowest position that a command may ask for [rad]")
    position_max_rad: list[float] = setting([], "highest position that a command may ask for [rad]")
    position_offset_rad: list[float] = setting([], "joint position = direction x servo angle + offset [rad]")
    direction: list[int] = setting([], "+1, or -1 where the servo turns the other way", choices=(-1, 1))
    speed_limit_rad_s: list[float] = setting([], "highest speed that a command may ask for [rad/s]", minimum=0.0)
    kp_nm_rad: list[float] = setting([], "gain of the simulated position servo [Nm/rad]", minimum=0.0)
    joint_symmetries: list[int] = setting(
        [],
        "ways to turn or mirror robot and surroundings that change nothing, one row of all joints each, the identity "
        "among them: +-(j + 1) at place i means that joint i takes the position, or its negative, that joint j had",
    )
    five_bar_m: list[float] = setting(
        [],
        "five-bar legs of two motors each (robot_bridge.leg_kinematics): lengths from motor to knee, rear knee to pin, "
        "front knee to pin, rear knee to foot [m]; commands that lead out of their workspace are refused; empty = none",
        minimum=0.001,
    )
    reset_procedure: str = setting(
        "straight",
        "how a robot that stays where it is gets to the start of an episode: straight, all joints under torque; "
        "fingers, ROBEL's way for fingers of three joints (top, middle, bottom), which go limp to slip off a valve",
        choices=("straight", "fingers"),
    )
    auxiliary_joint_names: list[str] = setting([], "names of the auxiliary joints")
    auxiliary_joint_ids: list[int] = setting([], "bus id of each auxiliary servo", minimum=0, maximum=252)
    auxiliary_position_min_rad: list[float] = setting([], "as position_min_rad, for the auxiliary joints [rad]")
    auxiliary_position_max_rad: list[float] = setting([], "as position_max_rad, for the auxiliary joints [rad]")
    auxiliary_position_offset_rad: list[float] = setting([], "as position_offset_rad, for the auxiliary joints [rad]")
    auxiliary_direction: list[int] = setting([], "as direction, for the auxiliary joints", choices=(-1, 1))
    auxiliary_speed_limit_rad_s: list[float] = setting(
        [], "as speed_limit_rad_s, for the auxiliary joints [rad/s]", minimum=0.0
    )
    auxiliary_kp_nm_rad: list[float] = setting([], "as kp_nm_rad, for the auxiliary joints [Nm/rad]", minimum=0.0)
    auxiliary_equal_parts: list[int] = setting(
        [],
        "each auxiliary joint looks the same after a turn by 2 pi over this, but for a mark; empty = after a full turn",
        minimum=1,
        maximum=100,
    )
    servos: ServoSettings = dataclasses.field(default_factory=ServoSettings)
    safety: SafetyLimits = dataclasses.field(default_factory=SafetyLimits)
    body: BodyLimits = dataclasses.field(default_factory=BodyLimits)

    def __post_init__(self) -> None:
        problems = _problems(self, "") + _problems(self, "auxiliary_")
        if not self.joint_names:
            problems = ["robot.joint_names is empty: pass a robot file, such as config/robots/dclaw.yaml"]
        problems += _symmetry_problems(self)
        if self.five_bar_m and (len(self.five_bar_m) != 4 or len(self.joint_names) != 2 * len(LEGS)):
            problems.append(
                f"robot.five_bar_m holds {len(self.five_bar_m)} lengths for {len(self.joint_names)} joints: give 4 "
                f"lengths, and two joints for each of {', '.join(LEGS)}"
            )
        elif self.legs is not None and (problem := self.legs.impossible()):
            problems.append(f"robot.five_bar_m is {self.five_bar_m}: {problem}")
        if self.reset_procedure == "fingers" and len(self.joint_names) % 3:
            problems.append(
                f"robot.reset_procedure is 'fingers' with {len(self.joint_names)} joints: fingers have three each, "
                "top, middle and bottom; choose 'straight' for any other robot"
            )
        if self.auxiliary_equal_parts and len(self.auxiliary_equal_parts) != len(self.auxiliary_joint_names):
            problems.append(
                f"robot.auxiliary_equal_parts has {len(self.auxiliary_equal_parts)} values: give one for each of the "
                f"{len(self.auxiliary_joint_names)} auxiliary joints, or none"
            )
        count = len(self.all_joint_names)
        for name in ("temperature_stop_c", "speed_stop_rad_s"):
            given = len(getattr(self.safety, name))
            if given not in (1, count):
                problems.append(
                    f"robot.safety.{name} has {given} values: give one for all joints, or one for each of the {count}, "
                    "the auxiliary ones last"
                )
        problems += _repeated("names", [*self.joint_names, *self.auxiliary_joint_names])
        problems += _repeated("ids", [*self.joint_ids, *self.auxiliary_joint_ids])
        if problems:
            raise SettingsError(f"robot '{self.name}': " + "; ".join(problems))
        self.servos.check(count)
        self._check_temperatures()

    def _check_temperatures(self) -> None:
        """A servo that switches itself off lets its joint go, and must be restarted: the robot is to stop before."""
        for name, stop_c, model in zip(self.all_joint_names, self.hottest_c, self.servos.models, strict=False):
            shutdown_c = model.register("temperature_limit").default
            if stop_c >= shutdown_c:
                raise SettingsError(
                    f"robot '{self.name}': robot.safety.temperature_stop_c is {stop_c:g} for joint '{name}'; its "
                    f"servo, {model.name}, switches itself off at {shutdown_c}: give less"
                )

    @property
    def legs(self) -> LegGeometry | None:
        """The five-bar legs; None: it has none."""
        return LegGeometry(*self.five_bar_m) if self.five_bar_m else None

    @property
    def hottest_c(self) -> list[float]:
        """Temperature above which each joint's motor stops the robot [C], in the order of `all_joint_names`."""
        return self._of_each(self.safety.temperature_stop_c)

    @property
    def fastest_rad_s(self) -> list[float]:
        """Speed above which each joint stops the robot [rad/s], in the order of `all_joint_names`."""
        return self._of_each(self.safety.speed_stop_rad_s)

    def _of_each(self, given: list[float]) -> list[float]:
        return given if len(given) > 1 else given * len(self.all_joint_names)

    @property
    def all_joint_ids(self) -> list[int]:
        """Bus ids in the order of `all_joint_names`."""
        return [*self.joint_ids, *self.auxiliary_joint_ids]

    @property
    def all_joint_names(self) -> list[str]:
        """The robot's joints, then the auxiliary ones: the order of `joint_states`."""
        return [*self.joint_names, *self.auxiliary_joint_names]


def _symmetry_problems(robot: RobotSettings) -> list[str]:
    """Rows of joint_symmetries that are no signed permutation of the joints and of the auxiliary joints."""
    flat, count, own = robot.joint_symmetries, len(robot.all_joint_names), len(robot.joint_names)
    if count and len(flat) % count:
        return [f"robot.joint_symmetries has {len(flat)} values, no multiple of the number of all joints, {count}"]
    rows = [flat[start : start + count] for start in range(0, len(flat), count)]
    identity = list(range(1, count + 1))
    problems = [
        f"robot.joint_symmetries: {row} must hold each of +-1 .. +-{own}, then of +-{own + 1} .. +-{count}, once"
        for row in rows
        if sorted(map(abs, row[:own])) + sorted(map(abs, row[own:])) != identity
    ]
    if rows and identity not in rows:
        problems.append(f"robot.joint_symmetries lacks the identity {identity}")
    return problems


def load_robot(path: Path) -> RobotSettings:
    """Read a robot file: a standard ROS 2 parameter file whose only block is `robot`, for every node (`/**`).

    Raises:
        SettingsError: file missing or malformed, unknown name, wrong type, value out of range, inconsistent lists.
    """
    values: dict[str, Any] = {}
    for name, value in load_block(path).items():
        if not name.startswith("robot."):
            raise SettingsError(f"{path}: '{name}' does not belong in a robot file; everything is under 'robot'")
        values[name.removeprefix("robot.")] = value
    return from_mapping(RobotSettings, values, str(path))


def _problems(robot: RobotSettings, prefix: str) -> list[str]:
    """Lists of the joints (prefix "") or of the auxiliary joints that do not fit together."""
    names: list[str] = getattr(robot, f"{prefix}joint_names")
    problems = []
    for field in (
        "joint_ids",
        "position_min_rad",
        "position_max_rad",
        "position_offset_rad",
        "direction",
        "speed_limit_rad_s",
        "kp_nm_rad",
    ):
        values = getattr(robot, prefix + field)
        if len(values) != len(names):
            problems.append(
                f"robot.{prefix}{field} has {len(values)} values, robot.{prefix}joint_names {len(names)}: give one each"
            )
        if not all(math.isfinite(value) for value in values):
            problems.append(f"robot.{prefix}{field} has a value that is not finite: {values}")
    lows, highs = getattr(robot, f"{prefix}position_min_rad"), getattr(robot, f"{prefix}position_max_rad")
    for name, low, high in zip(names, lows, highs, strict=False):
        if not low < high:
            problems.append(f"joint '{name}': position_min_rad {low} must be below position_max_rad {high}")
    for name, limit in zip(names, getattr(robot, f"{prefix}speed_limit_rad_s"), strict=False):
        if limit == 0:
            problems.append(f"joint '{name}': speed_limit_rad_s is 0; it could never move")
    return problems


def _repeated(what: str, values: Sequence[Any]) -> list[str]:
    twice = sorted({str(value) for value in values if list(values).count(value) > 1})
    return [f"joint {what} must be unique, given twice: {', '.join(twice)}"] if twice else []
