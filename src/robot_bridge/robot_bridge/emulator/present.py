"""The registers that show how a servo does: moving, trajectory, output, current or load, speed, position, health."""

from __future__ import annotations

import struct

from robot_bridge.dynamixel.control_table import FULL_PWM, LOAD_UNIT, VELOCITY_UNIT_RAD_S
from robot_bridge.emulator.rules import POSITION_MODES
from robot_bridge.emulator.servo import RAD_PER_TICK, Servo

# Registers moving .. present_temperature, which lie side by side in every X-series servo.
_ADDRESS, _LAYOUT = 122, struct.Struct("<BBhhiiiiHB")
_FROZEN_ADDRESS, _FROZEN_LAYOUT = 144, struct.Struct("<HB")  # of a stale encoder: what still changes
_INT16, _INT32 = 2**15 - 1, 2**31 - 1
# Register moving_status: this close to the goal a servo has arrived, this far from its trajectory it does not follow
# [ticks]. Own figures: the e-manual says "a predefined value".
_ARRIVED_TICKS, _ASTRAY_TICKS = 10, 100


def show_present(
    servo: Servo, threshold: int, ticks: int, speed: int, current_a: float, output: float, volts: int, warmth: int
) -> None:
    """Store what a servo does now.

    Args:
        servo: whose registers.
        threshold: register moving_threshold.
        ticks: position, homing offset included.
        speed: in units of its register, as are volts and warmth.
        current_a: [A].
        output: part of the supply that reaches the motor, -1 to 1.
        volts: supply.
        warmth: temperature.
    """
    volts, warmth = min(max(volts, 0), 2**16 - 1), min(max(warmth, 0), 255)
    if servo.frozen:
        servo.store_block(_FROZEN_ADDRESS, _FROZEN_LAYOUT.pack(volts, warmth))
        return
    shown = current_a / servo.model.current_unit_a if servo.model.current_unit_a else output / LOAD_UNIT
    counts, profile = round(shown), servo.profile
    data = _LAYOUT.pack(
        profile is not None or abs(speed) > threshold,
        _moving_status(servo, ticks),
        round(FULL_PWM * output),
        min(max(counts, -_INT16), _INT16),
        min(max(speed, -_INT32), _INT32),
        min(max(ticks, -_INT32), _INT32),
        round(profile.velocity_rad_s / VELOCITY_UNIT_RAD_S) if profile else 0,
        round(profile.position_rad / RAD_PER_TICK) if profile else servo.get("goal_position"),
        volts,
        warmth,
    )
    servo.store_block(_ADDRESS, data)


def _moving_status(servo: Servo, ticks: int) -> int:
    """Register moving_status of a servo that stands there: arrived, profile in progress, astray, its shape."""
    if servo.get("operating_mode") not in POSITION_MODES:
        return 0
    goal, profile = servo.get("goal_position"), servo.profile
    status = int(abs(goal - ticks) <= _ARRIVED_TICKS)
    trajectory = goal
    if profile is not None:
        trajectory = profile.position_rad / RAD_PER_TICK
        status |= 2 | profile.shape << 4
    return status | (8 if abs(trajectory - ticks) > _ASTRAY_TICKS else 0)
