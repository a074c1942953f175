"""Settings of a task. Zero or an empty list means the task's own value (the table in `valve_task.tasks.variants`)."""

from __future__ import annotations

import dataclasses
import math

from rosac_common.settings import SettingsError, setting

# ROBEL = google-research/robel.


@dataclasses.dataclass(frozen=True)
class TurnRewardSettings:
    """Reward of Turn and Screw, a sum of named terms. Every default: ROBEL dclaw/turn.py, get_reward_dict."""

    distance: float = setting(-5.0, "times |target error| [1/rad] (ROBEL turn.py)")
    pose: float = setting(-1.0, "times the norm of joint positions minus reset pose [1/rad] (ROBEL turn.py)")
    velocity: float = setting(
        -1.0, "times the norm of the velocities at or above the threshold [s/rad] (ROBEL turn.py)"
    )
    velocity_threshold_rad_s: float = setting(0.5, "slower joints cost nothing [rad/s] (ROBEL turn.py)", minimum=0.0)
    near_bonus: float = setting(10.0, "while |target error| < near_rad (ROBEL turn.py)")
    near_rad: float = setting(0.25, "[rad] (ROBEL turn.py)", minimum=0.0, maximum=math.pi)
    close_bonus: float = setting(50.0, "while |target error| < close_rad, on top (ROBEL turn.py)")
    close_rad: float = setting(0.10, "[rad] (ROBEL turn.py)", minimum=0.0, maximum=math.pi)


@dataclasses.dataclass(frozen=True)
class PoseRewardSettings:
    """Reward of Pose, a sum of named terms. Every default: ROBEL dclaw/pose.py, get_reward_dict."""

    error: float = setting(-1.0, "times the norm of the joint errors [1/rad] (ROBEL pose.py)")
    velocity: float = setting(
        -0.1, "times the norm of the velocities at or above the threshold [s/rad] (ROBEL pose.py)"
    )
    velocity_threshold_rad_s: float = setting(
        math.pi, "slower joints cost nothing [rad/s] (ROBEL pose.py)", minimum=0.0
    )


@dataclasses.dataclass(frozen=True)
class WalkSettings:
    """Walking: actions, reward, end. EXTENDED = bulletphysics/bullet3, minitaur_extended_env.py.

    The reward is forward velocity and acceleration of the actions as in EXTENDED and safemrl, with the penalties that
    arXiv 1812.05905 names without figures (large pitch or roll, front legs folded under the body). All of it is times
    20, so that a step of good walking is worth as much as one of the valve tasks.
    """

    swing_range_rad: float = setting(
        0.5, "actions of +-1 swing a leg by so much [rad] (EXTENDED)", minimum=0.01, maximum=1.5
    )
    extension_centre_rad: float = setting(2.0, "extension of action 0 [rad] (EXTENDED)", minimum=0.2, maximum=2.9)
    extension_range_rad: float = setting(
        0.5, "actions of +-1 stretch or bend a leg by so much [rad] (EXTENDED)", minimum=0.01, maximum=1.5
    )
    velocity: float = setting(
        20.0,
        "times |goal| - |c - forward velocity of the body|, with c the goal or the velocity that is asked for, and the "
        "most that may be if that is beyond the goal [s/m] (google-research, safemrl: 1)",
    )
    goal_m_s: float = setting(
        0.5,
        "velocity to walk with [m/s] (EXTENDED's limit: there, more earns the same; here it earns less, because a "
        "robot that learned to run with 1 m/s fell on slopes and stairs: own measurement)",
        minimum=0.0,
        maximum=1.0,
    )
    acceleration: float = setting(
        -2.0, "times the mean magnitude of the second difference of the leg angles commanded [1/rad] (EXTENDED: -0.1)"
    )
    lean: float = setting(
        -10.0,
        "times the excess of |roll| and of |pitch| over lean_rad [1/rad] (own figure: less than walking is worth, or "
        "the learner would rather fall)",
    )
    lean_rad: float = setting(
        0.3, "more is a large pitch or roll [rad] (bullet3, minitaur_reactive_env.py, ends there)", minimum=0.0
    )
    fold: float = setting(
        -10.0, "times the excess of each front leg's swing over fold_rad [1/rad] (own figure: as lean)"
    )
    fold_rad: float = setting(
        0.6, "a front leg swung farther back folds under the body [rad] (own figure: EXTENDED ends at 0.8)"
    )
    fallen_upright: float = setting(
        0.85,
        "the episode ends when the body's z axis points less upwards than this (bullet3, minitaur_gym_env.py)",
        minimum=-1.0,
        maximum=1.0,
    )
    folded_rad: float = setting(
        1.2,
        "or when a leg is swung farther than this, to the front or the rear [rad] (EXTENDED: 0.8, front legs only; own "
        "figure: random actions swing up to 1.0, and one that swings on does not come back)",
        minimum=0.0,
    )
    success_speed_m_s: float = setting(
        0.3,
        "an episode succeeds with this mean speed and no fall [m/s] (own figure: safemrl's goal velocity)",
        minimum=0.0,
    )
    start_spread_rad: float = setting(
        0.1,
        "swing and extension of each leg at the start differ by up to so much [rad] (own figure)",
        minimum=0.0,
        maximum=0.3,
    )
    command_range_m_s: list[float] = setting(
        [-0.4, 0.4],
        "MinitaurWalkCommand: lowest and highest velocity that is drawn [m/s] (own figure)",
        minimum=-1.0,
        maximum=1.0,
    )
    smoothing_episodes: int = setting(
        0,
        "in the first so many episodes of a session of training, not of an evaluation, the actions are smoothed (arXiv "
        "1812.11103: 50, which minitaur_walk has on a port; a simulated robot need not be spared)",
        minimum=0,
    )
    smoothing: float = setting(
        0.5, "part of the last action that a smoothed one keeps (own figure)", minimum=0.0, maximum=0.99
    )

    def __post_init__(self) -> None:
        asked = self.command_range_m_s
        if len(asked) != 2 or not asked[0] <= asked[1]:
            raise SettingsError(f"task.walk.command_range_m_s is {list(asked)}; it must be [lowest, highest]")


@dataclasses.dataclass(frozen=True)
class TaskSettings:
    """The block `task`: which task, and what is changed about it."""

    name: str = setting(
        "DClawTurn", "name of the task: docs/tasks.md lists them (default: the task of arXiv 1812.05905)"
    )
    horizon_steps: int = setting(0, "control steps of an episode; 0 = the task's own", minimum=0)
    control_period_s: float = setting(0.0, "one control step [s]; 0 = the task's own", minimum=0.0, maximum=1.0)
    success_tolerance_rad: float = setting(
        0.0, "success while the error is below this [rad]; 0 = the task's own", minimum=0.0, maximum=math.pi
    )
    initial_valve_rad: list[float] = setting(
        [],
        "lowest and highest valve angle at the start [rad]; empty = the task's own",
        minimum=-math.pi,
        maximum=math.pi,
    )
    target_valve_rad: list[float] = setting(
        [],
        "Turn: lowest and highest target angle [rad]; empty = the task's own",
        minimum=-2 * math.pi,
        maximum=2 * math.pi,
    )
    target_velocity_rad_s: list[float] = setting(
        [], "Screw: lowest and highest speed of the target [rad/s]; empty = the task's own", minimum=-10.0, maximum=10.0
    )
    action_centre_rad: list[float] = setting([], "joint goals of action 0 [rad]; empty = the task's own")
    action_half_range_rad: list[float] = setting(
        [], "joint goals of action +-1 lie this far from the centre [rad]; empty = the task's own", minimum=0.0
    )
    reset_pose_rad: list[float] = setting([], "joint positions after the reset [rad]; empty = the task's own")
    limit_margin_rad: float = setting(
        math.radians(5.0),
        "counter near_joint_limit: closer to a limit than this [rad] (ROBEL base_env.py)",
        minimum=0.0,
    )
    high_speed_rad_s: float = setting(
        1.0, "counter high_speed: faster than this [rad/s] (ROBEL base_env.py)", minimum=0.0
    )
    turn_reward: TurnRewardSettings = dataclasses.field(default_factory=TurnRewardSettings)
    pose_reward: PoseRewardSettings = dataclasses.field(default_factory=PoseRewardSettings)
    walk: WalkSettings = dataclasses.field(default_factory=WalkSettings)
