"""The motions of a reset, as data. `robot.reset_procedure` of the robot file says which plan a robot gets.

straight: all joints under torque, out of the way if the task asks for that, then to the start pose; if a joint is not
there, again.

fingers: the hardware procedure of google-research/robel, dclaw/scripted_reset.py, for fingers of three joints: take
them out of the way with soft top and bottom joints while the valve's motor turns the valve to its start, go to the
start pose, and if a joint is not there, disentangle and try again.
"""

from __future__ import annotations

import dataclasses
import enum
import math

import numpy as np
import numpy.typing as npt
from robot_bridge.robot import RobotSettings
from rosac_common.settings import setting

from valve_task.tasks import Start

Vector = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class ResetSettings:
    """The block `reset`. Defaults from ROBEL (google-research/robel, dclaw/scripted_reset.py) unless said otherwise."""

    tolerance_rad: float = setting(
        math.radians(5.0), "each joint and the valve end within this of the start [rad] (GOOD_ERROR_TOL)", minimum=0.001
    )
    arrived_rad: float = setting(
        math.radians(1.0),
        "a motion ends when this close to its goal [rad] (hardware_robot.py, wait tolerance)",
        minimum=0.0,
    )
    still_rad_s: float = setting(
        0.05, "or when every joint is slower than this [rad/s] (own figure: 0.3 degrees in 0.1 s)", minimum=0.0
    )
    clear_time_s: float = setting(
        1.0, "longest wait for the fingers to clear the valve [s] (MINIMUM_CLAW_RESET_TIME)", minimum=0.0
    )
    pose_time_s: float = setting(
        3.0, "longest motion to the start pose [s] (hardware_robot.py, wait time-out)", minimum=0.0
    )
    valve_time_s: float = setting(10.0, "longest motion of the valve [s] (reset_to_states, timeout=10)", minimum=0.0)
    disentangle_time_s: float = setting(
        0.75, "each of the four disentangling motions [s] (DISENTANGLE_INTERVAL_TIME)", minimum=0.0
    )
    disentangle_top_rad: float = setting(
        math.pi / 4, "top joints go here to free the others, clipped to their range [rad] (TOP_DISENTANGLE_RESET_POS)"
    )
    retries: int = setting(3, "further attempts before a start is given up (MAX_RESET_RETRIES)", minimum=0)
    draws: int = setting(
        3, "starts tried before a human is asked (own figure: 1 in 150 drawn poses has fingers touching)", minimum=1
    )


class ResetPhase(enum.Enum):
    """What the reset is doing."""

    ASIDE = "going out of the way"
    STRAIGHT = "going straight to the start pose"
    CLEAR = "taking the fingers off the valve"
    SPREAD = "top and bottom joints to the start pose, middle joints still out"
    POSE = "going to the start pose"
    REST = "disentangling: all torque off"
    FREE_TOP = "disentangling: top joints"
    FREE_MIDDLE = "disentangling: middle joints"
    FREE_BOTTOM = "disentangling: bottom joints"
    RELEASE = "letting the valve go"
    DONE = "done"
    FAILED = "failed"


# What a hot robot still does before its torque goes off.
BEFORE_REST = (ResetPhase.ASIDE, ResetPhase.STRAIGHT, ResetPhase.CLEAR)


@dataclasses.dataclass(frozen=True)
class Motion:
    """One phase: goals and torque of all joints, the auxiliary ones included, and when it is over."""

    phase: ResetPhase
    goals_rad: Vector
    torque_on: Flags
    waits: tuple[tuple[Flags, float], ...] = ()  # joints that it waits for, and for how long at most [s]
    lasts_s: float = 0.0  # at least


@dataclasses.dataclass(frozen=True)
class Plan:
    """The motions of one reset."""

    target_rad: Vector
    checked: Flags  # joints that must be at the target in the end
    own: Flags  # joints of the robot, not of its surroundings
    way: tuple[Motion, ...]  # to the target
    again: tuple[Motion, ...]  # before the way is tried once more
    release: tuple[Motion, ...]  # at the target


def make_plan(robot: RobotSettings, settings: ResetSettings, start: Start) -> Plan:
    """The plan of a robot.

    Args:
        robot: its ranges clip the goals, its `reset_procedure` chooses the plan.
        settings: times.
        start: where to bring it; without an angle the auxiliary joints are left alone.

    Raises:
        ValueError: the task has drawn a start for another number of joints.
    """
    joints, auxiliary = len(robot.joint_names), len(robot.auxiliary_joint_names)
    drawn = [np.size(values) for values in start if values is not None]
    if drawn != [joints, joints, auxiliary][: len(drawn)]:
        raise ValueError(
            f"Task.draw returned a Start of {drawn} values (pose, clear pose, auxiliary joints); robot '{robot.name}' "
            f"has {joints} joints and {auxiliary} auxiliary ones: return one value for each"
        )
    low = np.array([*robot.position_min_rad, *robot.auxiliary_position_min_rad])
    high = np.array([*robot.position_max_rad, *robot.auxiliary_position_max_rad])
    own = np.arange(joints + auxiliary) < joints
    turned = ~own if start.auxiliary_rad is not None else np.zeros_like(own)
    angles = np.zeros(auxiliary) if start.auxiliary_rad is None else start.auxiliary_rad
    target = np.clip(np.concatenate([start.pose_rad, angles]), low, high)
    clear = np.clip(np.concatenate([start.clear_rad, angles]), low, high)
    return _PLANS[robot.reset_procedure](settings, target, clear, own, turned, high)


def _straight(settings: ResetSettings, target: Vector, clear: Vector, own: Flags, turned: Flags, high: Vector) -> Plan:
    checked = own | turned
    waits = ((own, settings.pose_time_s), (turned, settings.valve_time_s if turned.any() else 0.0))
    aside = Motion(ResetPhase.ASIDE, clear, checked, waits)
    to_pose = Motion(ResetPhase.STRAIGHT, target, checked, waits)
    way = (to_pose,) if np.array_equal(clear, target) else (aside, to_pose)
    release = (Motion(ResetPhase.RELEASE, target, own),) if turned.any() else ()
    return Plan(target, checked, own, way, (), release)


def _fingers(settings: ResetSettings, target: Vector, clear: Vector, own: Flags, turned: Flags, high: Vector) -> Plan:
    top, middle, bottom = (own & (np.arange(len(own)) % 3 == i) for i in range(3))
    checked = own | turned
    waits = ((middle, settings.clear_time_s), (turned, settings.valve_time_s))
    way = [Motion(ResetPhase.CLEAR, clear, middle | turned, waits)]
    spread = np.where(middle, clear, target)
    if not np.array_equal(spread, target):
        way.append(Motion(ResetPhase.SPREAD, spread, checked, ((own, settings.pose_time_s),)))
    way.append(Motion(ResetPhase.POSE, target, checked, ((checked, settings.pose_time_s),)))
    freeing = clear.copy()
    freeing[top] = np.minimum(settings.disentangle_top_rad, high[top])
    again = (
        (ResetPhase.REST, np.zeros_like(own)),
        (ResetPhase.FREE_TOP, top),
        (ResetPhase.FREE_MIDDLE, top | middle),
        (ResetPhase.FREE_BOTTOM, top | middle | bottom),
    )
    return Plan(
        target,
        checked,
        own,
        tuple(way),
        tuple(Motion(phase, freeing, torque_on, (), settings.disentangle_time_s) for phase, torque_on in again),
        (Motion(ResetPhase.RELEASE, target, own),),
    )


_PLANS = {"straight": _straight, "fingers": _fingers}
