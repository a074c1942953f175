"""Every reason for which the gate holds or stops the robot, with what it does then. docs/safety.md shows this table."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple


class Cause(enum.StrEnum):
    """The names in SafetyState.causes."""

    COMMAND_TIMEOUT = "command_timeout"
    STALE_COMMAND = "stale_command"
    BAD_COMMAND = "bad_command"
    OPERATOR_STOP = "operator_stop"
    HEARTBEAT_LOST = "heartbeat_lost"
    DEAD_MAN_RELEASED = "dead_man_released"
    MANAGER_LOST = "manager_lost"
    TASK_LOST = "task_lost"
    SECOND_GRAPH = "second_graph"
    JOINT_RANGE = "joint_range"
    JOINT_SPEED = "joint_speed"
    MOTOR_CURRENT = "motor_current"
    FROZEN_JOINT = "frozen_joint"
    TEMPERATURE = "temperature"
    HARDWARE_ERROR = "hardware_error"
    BODY_SENSOR = "body_sensor"
    UPSIDE_DOWN = "upside_down"
    READ_FAILED = "read_failed"
    STALE_STATE = "stale_state"
    CONNECTION_LOST = "connection_lost"
    ROBOT_FAILED = "robot_failed"
    BACKEND_FAILED = "backend_failed"


class Reaction(enum.Enum):
    """What the gate does about a cause. All but hold latch."""

    HOLD = "hold"
    CONTROLLED_STOP = "controlled stop, then torque off"
    TORQUE_OFF = "torque off"


class Rule(NamedTuple):
    """One line of the table."""

    reaction: Reaction
    limit: str  # setting that holds it
    why: str


RULES: Mapping[Cause, Rule] = {
    Cause.COMMAND_TIMEOUT: Rule(
        Reaction.HOLD, "robot.safety.command_timeout_periods, lockstep_command_timeout_s", "commands have ceased"
    ),
    Cause.STALE_COMMAND: Rule(Reaction.HOLD, "robot.safety.command_age_limit_periods", "commands answer old states"),
    Cause.BAD_COMMAND: Rule(Reaction.HOLD, "robot.safety.bad_command_limit", "commands are malformed"),
    Cause.OPERATOR_STOP: Rule(Reaction.TORQUE_OFF, "-", "safety/stop is true"),
    Cause.HEARTBEAT_LOST: Rule(
        Reaction.CONTROLLED_STOP, "robot.safety.heartbeat_timeout_s", "safety/heartbeat no longer beats"
    ),
    Cause.DEAD_MAN_RELEASED: Rule(
        Reaction.CONTROLLED_STOP, "robot.safety.dead_man_timeout_s", "safety/dead_man is false or silent"
    ),
    Cause.MANAGER_LOST: Rule(
        Reaction.CONTROLLED_STOP, "robot.safety.manager_timeout_s", "safety/manager no longer beats"
    ),
    Cause.TASK_LOST: Rule(Reaction.CONTROLLED_STOP, "robot.safety.task_timeout_s", "the task does not come back"),
    Cause.SECOND_GRAPH: Rule(
        Reaction.CONTROLLED_STOP, "-", "two publish joint_command when it is armed, or another bridge joint_states"
    ),
    Cause.JOINT_RANGE: Rule(
        Reaction.CONTROLLED_STOP,
        "robot.safety.position_margin_rad, switch_on_margin_rad",
        "a joint is outside its range, or is to be switched on there",
    ),
    Cause.JOINT_SPEED: Rule(
        Reaction.TORQUE_OFF, "robot.safety.speed_stop_rad_s, speed_time_s", "a joint moves too fast"
    ),
    Cause.MOTOR_CURRENT: Rule(
        Reaction.TORQUE_OFF, "robot.safety.current_stop_share, current_time_s", "a motor pushes against something"
    ),
    Cause.FROZEN_JOINT: Rule(
        Reaction.TORQUE_OFF,
        "robot.safety.frozen_time_s, frozen_goal_rad",
        "a joint shows the same values though its goal moved",
    ),
    Cause.TEMPERATURE: Rule(
        Reaction.CONTROLLED_STOP,
        "robot.safety.temperature_stop_c, temperature_timeout_s",
        "a motor is too warm, or nobody knows how warm",
    ),
    Cause.HARDWARE_ERROR: Rule(Reaction.TORQUE_OFF, "-", "a motor reports an error of its own"),
    Cause.BODY_SENSOR: Rule(
        Reaction.CONTROLLED_STOP,
        "robot.body.imu_timeout_s, odometry_timeout_s, stamp_tolerance_s, fastest_m_s",
        "imu/data or odom is silent, late, senseless or jumps",
    ),
    Cause.UPSIDE_DOWN: Rule(Reaction.TORQUE_OFF, "robot.body.arm_upright", "a robot on its back was to be armed"),
    Cause.READ_FAILED: Rule(
        Reaction.TORQUE_OFF, "robot.safety.read_failures_hold, read_failures_stop", "the joints cannot be read"
    ),
    Cause.STALE_STATE: Rule(Reaction.TORQUE_OFF, "robot.safety.state_timeout_s", "no fresh joint state"),
    Cause.CONNECTION_LOST: Rule(
        Reaction.TORQUE_OFF, "-", "the port is gone, or not there at the start; the servos' bus watchdog stops them"
    ),
    Cause.ROBOT_FAILED: Rule(
        Reaction.TORQUE_OFF, "-", "the motors did not do as told: torque, a restart, their bus watchdog"
    ),
    Cause.BACKEND_FAILED: Rule(
        Reaction.TORQUE_OFF, "-", "an error nobody foresaw, or a robot that could not be set up or read at the start"
    ),
}
