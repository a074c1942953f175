"""Units, signs and offsets are exact to the tick over the whole range."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from robot_bridge.dynamixel.models import MODELS
from robot_bridge.dynamixel.units import RAD_PER_TICK, Units

# Extended position control counts to 256 turns either way (e-manual).
TICKS = st.integers(-1_048_575, 1_048_575)
REGISTERS = sorted(
    {register for model in MODELS.values() for register in model.registers.values()}, key=lambda r: (r.name, r.address)
)


def everywhere(robot, value):
    return np.full(len(robot.all_joint_names), value)


def test_figures_of_the_e_manual(robot):
    units = Units(robot)
    assert round(math.degrees(RAD_PER_TICK), 3) == 0.088
    one = units.velocity_rad_s(everywhere(robot, 1))
    assert one == pytest.approx(everywhere(robot, 0.229 * 2 * math.pi / 60))
    # XH430-V210, ROBEL dclaw/base_env.py: 1.34 mA; stall torque of the e-manual: 2.6 Nm at 0.7 A.
    assert units.current_a(everywhere(robot, 100)) == pytest.approx(everywhere(robot, 0.134))
    assert units.effort_nm(everywhere(robot, 0.7)) == pytest.approx(everywhere(robot, 2.6), rel=0.01)


def test_calibration_of_robel(robot):
    """ROBEL: offset -pi/2 for the top servos, -pi for all others; so 0 rad is tick 1024 or 2048."""
    zero = Units(robot).ticks(everywhere(robot, 0.0))
    assert zero.tolist() == [1024, 2048, 2048] * 3 + [2048]


def test_a_servo_turned_round_counts_backwards(servo_robot):
    units = Units(servo_robot)
    more = units.position_rad(everywhere(servo_robot, 2100)) > units.position_rad(everywhere(servo_robot, 2000))
    faster = units.velocity_rad_s(everywhere(servo_robot, 5)) > 0
    direction = [*servo_robot.direction, *servo_robot.auxiliary_direction]
    assert more.tolist() == faster.tolist() == [sign > 0 for sign in direction]
    assert (units.current_a(everywhere(servo_robot, 5)) > 0).tolist() == faster.tolist()


@given(ticks=TICKS, direction=st.sampled_from([-1, 1]), offset=st.floats(-2 * math.pi, 2 * math.pi))
def test_every_tick_survives_the_way_to_radians_and_back(robot, ticks, direction, offset):
    changed = dataclasses.replace(
        robot,
        direction=[direction] * 9,
        auxiliary_direction=[direction],
        position_offset_rad=[offset] * 9,
        auxiliary_position_offset_rad=[offset],
    )
    units = Units(changed)
    raw = everywhere(changed, ticks)
    assert (units.ticks(units.position_rad(raw)) == raw).all()


@given(angle=st.floats(-1000.0, 1000.0))
def test_a_goal_is_missed_by_half_a_tick_at_most(robot, angle):
    units = Units(robot)
    reached = units.position_rad(units.ticks(everywhere(robot, angle)))
    assert np.abs(reached - angle).max() <= RAD_PER_TICK / 2 + 1e-9


@given(register=st.sampled_from(REGISTERS), data=st.data())
def test_registers_are_little_endian_two_s_complement(register, data):
    bits = 8 * register.size
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if register.signed else (0, (1 << bits) - 1)
    value = data.draw(st.integers(low, high))
    encoded = register.encode(value)
    assert len(encoded) == register.size
    assert sum(byte << 8 * place for place, byte in enumerate(encoded)) == value % (1 << bits)
    assert register.decode(encoded) == value


def test_minus_one_is_minus_one():
    """ROBEL adds 2^32 - 1 to negative goals, which misses them by a tick."""
    goal = MODELS["XM430-W210"].register("goal_position")
    assert goal.encode(-1) == b"\xff\xff\xff\xff"
    assert goal.encode(-2048) == b"\x00\xf8\xff\xff"
    with pytest.raises(OverflowError):
        goal.encode(1 << 31)
