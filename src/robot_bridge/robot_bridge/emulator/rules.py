"""Which values a servo takes in which state, and the error codes for the others (e-manual, page Protocol 2.0)."""

from __future__ import annotations

from collections.abc import Callable

from robot_bridge.dynamixel.control_table import POSITION_CONTROL, Model, Register
from robot_bridge.emulator.packets import Error

TRIPPED = -1  # register bus_watchdog after it has stopped the servo
EXTENDED_POSITION, CURRENT_BASED_POSITION = 4, 5
# Position, extended position and current-based position control; the emulator gives no torque in the others.
POSITION_MODES = (POSITION_CONTROL, EXTENDED_POSITION, CURRENT_BASED_POSITION)
_OPERATING_MODES = (0, 1, *POSITION_MODES, 16)
_CURRENT_MODES = (0, CURRENT_BASED_POSITION)  # of models with current registers only
_GOALS = ("goal_pwm", "goal_current", "goal_velocity", "goal_position")
# A goal whose size another register limits.
LIMITED_BY = {"goal_pwm": "pwm_limit", "goal_current": "current_limit", "goal_velocity": "velocity_limit"}


def refusal(model: Model, get: Callable[[str], int], register: Register, value: int) -> Error:
    """The error of a write to a register that can be written.

    Args:
        model: of the servo.
        get: reads its registers.
        register, value: what is to be written.
    """
    name = register.name
    if register.eeprom and get("torque_enable"):
        return Error.ACCESS
    if get("bus_watchdog") == TRIPPED and (name in _GOALS or (name == "bus_watchdog" and value)):
        return Error.DATA_RANGE
    if name == "operating_mode" and value not in _modes(model):
        return Error.DATA_RANGE
    if _outside(value, register.minimum, register.maximum):
        return Error.DATA_RANGE
    if _outside(value, *_limits(get, name)):
        return Error.DATA_LIMIT
    if name == "torque_enable" and value and get("hardware_error_status") & get("shutdown"):
        return Error.RESULT_FAIL
    return Error.NONE


def _modes(model: Model) -> list[int]:
    has_current = "goal_current" in model.registers
    return [mode for mode in _OPERATING_MODES if has_current or mode not in _CURRENT_MODES]


def _limits(get: Callable[[str], int], name: str) -> tuple[int | None, int | None]:
    """What other registers limit a goal to."""
    if name == "goal_position" and get("operating_mode") == POSITION_CONTROL:
        return get("min_position_limit"), get("max_position_limit")
    if name in LIMITED_BY:
        high = get(LIMITED_BY[name])
        return -high, high
    return None, None


def _outside(value: int, low: int | None, high: int | None) -> bool:
    return (low is not None and value < low) or (high is not None and value > high)
