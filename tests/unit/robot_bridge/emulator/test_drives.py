"""Motion, warmth and watchdogs of the emulated servos."""

import dataclasses
import math

import numpy as np
import pytest
from helpers.emulated_bus import Host, make_robot, word
from robot_bridge.emulator.drives import AMBIENT_C, OVERLOAD_S
from robot_bridge.emulator.packets import BROADCAST_ID, Error, Instruction
from robot_bridge.emulator.plant import FreeJoints, make_plant
from robot_bridge.emulator.profile import Profile
from robot_bridge.simulation import make_simulation
from robot_bridge.simulation.settings import SimulationSettings

TICK = 2 * math.pi / 4096


def held(host, identifier=1, **registers):
    """Torque on, with these registers."""
    for name, value in registers.items():
        assert host.write(identifier, name, value) == Error.NONE, name
    assert host.write(identifier, "torque_enable", 1) == Error.NONE


def test_a_servo_goes_to_its_goal_and_no_other_moves(host):
    held(host)
    host.write(1, "goal_position", 2500)
    host.advance(1.0)
    assert host.read(1, "present_position") == pytest.approx(2500, abs=1)
    assert host.read(2, "present_position") == 2048
    assert host.read(1, "present_velocity") == 0


def test_a_goal_without_torque_moves_nothing(host):
    host.write(1, "goal_position", 2500)
    host.advance(0.5)
    assert host.read(1, "present_position") == 2048


def test_a_goal_from_before_is_followed_when_torque_comes_on(host):
    host.write(1, "goal_position", 2500)
    held(host)
    host.advance(1.0)
    assert host.read(1, "present_position") == pytest.approx(2500, abs=1)


@pytest.mark.parametrize("mode", [0, 1, 16])
def test_only_position_modes_give_torque(host, mode):
    held(host, operating_mode=mode)
    host.write(1, "goal_position", 2500)
    host.advance(0.5)
    assert host.read(1, "present_position") == 2048


def test_direction_and_offset_of_the_robot_file_count(robot):
    host = Host(robot)
    before = host.plant.read().position_rad[0]
    held(host, identifier=10)
    host.write(10, "goal_position", 1024 + 200)
    host.advance(1.0)
    assert before == pytest.approx(0.0, abs=1e-3)
    assert host.plant.read().position_rad[0] == pytest.approx(200 * TICK, abs=0.02)


def test_stiffness_follows_the_p_gain():
    torques = []
    for gain in (400, 800):
        host = Host(make_robot())
        held(host, position_p_gain=gain)
        host.write(1, "goal_position", 2048 + 300)
        host.advance(0.0025)
        torques.append(host.plant.read().effort_nm[0])
    assert torques[1] == pytest.approx(2.0 * 300 * TICK, rel=1e-6)
    assert torques[0] == pytest.approx(torques[1] / 2, rel=1e-6)


# Mode, registers -> the most that a motor with 2.3 A at full PWM draws; 2.69 mA a count.
LIMITS = [
    (3, {}, 2.3),
    (3, {"pwm_limit": 88, "goal_pwm": 44}, 2.3 * 44 / 885),
    (3, {"goal_pwm": 600, "pwm_limit": 88}, 2.3 * 88 / 885),
    (3, {"current_limit": 100, "goal_current": 50}, 2.3),  # acts in current-based modes only
    (4, {"current_limit": 100}, 2.3),
    (5, {"current_limit": 100}, 0.269),
    (5, {"goal_current": 50}, 0.1345),
    (5, {"goal_current": 500, "goal_pwm": 44}, 2.3 * 44 / 885),
]


@pytest.mark.parametrize(("mode", "registers", "most_a"), LIMITS)
def test_what_bounds_the_torque_in_each_mode(mode, registers, most_a):
    host = Host(dataclasses.replace(make_robot(), kp_nm_rad=[5.0] * 3))
    held(host, operating_mode=mode, **registers)
    host.write(1, "goal_position", 3000)
    host.advance(0.0025)
    host.plant._velocity[0] = 0.0
    assert host.plant.read().effort_nm[0] == pytest.approx(most_a * 1.3)
    assert host.read(1, "present_current") == round(most_a / 2.69e-3)
    assert host.read(1, "present_pwm") == round(885 * most_a / 2.3)


def test_a_load_is_shown_in_parts_of_the_full_output():
    host = Host(dataclasses.replace(make_robot("XL430-W250"), kp_nm_rad=[5.0] * 3))
    held(host, pwm_limit=443)
    host.write(1, "goal_position", 3000)
    host.advance(0.0025)
    host.plant._velocity[0] = 0.0
    assert host.read(1, "present_load") == 501  # 443 of 885
    host.plant._position[0] += 2.0
    host.advance(0.0025)
    host.plant._velocity[0] = 0.0
    assert host.read(1, "present_load") == -501


def test_speed_takes_torque():
    """All of it at the speed that the motor reaches without load, of which its share of the voltage leaves as much."""
    host = Host(make_robot())
    held(host, pwm_limit=443)
    host.write(1, "goal_position", 3900)
    speeds = []
    for _ in range(60):
        host.advance(0.0025)
        speeds.append(host.plant.read().velocity_rad_s[0])
    fastest_rad_s = 330 * 0.229 * 2 * math.pi / 60
    # 1.3 Nm/A x 2.3 A over 7.9 rad/s for the motor, 0.1 Nms of damping
    assert max(speeds) == pytest.approx(443 / 885 * fastest_rad_s / (1 + 0.1 * fastest_rad_s / 2.99), rel=0.01)
    assert host.read(1, "present_pwm") == pytest.approx(443, abs=3)
    assert host.read(1, "present_current") == pytest.approx(0.1 * max(speeds) / 1.3 / 2.69e-3, abs=3)
    assert host.write(1, "torque_enable", 0) == Error.NONE
    host.plant._velocity[0] = 20.0
    host.advance(0.0025)
    assert host.plant.read().effort_nm[0] == 0.0


# profiles


@pytest.mark.parametrize(("velocity", "acceleration"), [(0, 20), (30, 0), (30, 20)])
def test_a_profile_keeps_its_limits_and_arrives(velocity, acceleration):
    profile, speeds = Profile(0.0, 0.0, 2.0, velocity, acceleration), [0.0]
    for _ in range(4000):
        arrived = profile.advance(0.0025)
        speeds.append(profile.velocity_rad_s)
        assert profile.position_rad <= 2.0 + 1e-3
        if arrived:
            break
    assert arrived and profile.position_rad == 2.0
    limit = velocity * 0.0239808 if velocity else math.inf
    assert max(speeds) <= limit * 1.0001
    if acceleration:
        steepest = 214.577 * 2 * math.pi / 3600 * acceleration * 0.0025
        assert np.abs(np.diff(speeds[:-1])).max() <= steepest * 1.0001


def test_the_profile_registers_slow_a_servo_down(host):
    held(host, profile_velocity=20)
    host.write(1, "goal_position", 3072)
    host.advance(1.0)
    moved = host.read(1, "present_position") - 2048
    assert moved * TICK == pytest.approx(20 * 0.02398, rel=0.1)
    assert host.read(1, "velocity_trajectory") == 20
    assert (host.read(1, "moving"), host.read(1, "moving_status")) == (1, 1 << 4 | 2)  # on its way, a rectangle
    host.advance(5.0)
    assert host.read(1, "present_position") == pytest.approx(3072, abs=1)
    assert (host.read(1, "velocity_trajectory"), host.read(1, "position_trajectory")) == (0, 3072)
    assert (host.read(1, "moving"), host.read(1, "moving_status")) == (0, 1)  # arrived


def test_a_servo_that_does_not_follow_says_so(host):
    held(host, goal_pwm=1)
    host.write(1, "goal_position", 3000)
    host.advance(0.05)
    assert host.read(1, "moving_status") == 8
    assert host.read(1, "present_pwm") == 1


# clocks and goals


def test_a_servos_clock_counts_milliseconds_since_its_start(host):
    host.advance(1.5)
    assert host.read(2, "realtime_tick") == pytest.approx(1500, abs=1)
    host.bus.fault("stale_encoder", {"id": 2})
    host.advance(32.0)
    assert host.read(2, "realtime_tick") == pytest.approx(33_500 - 32_768, abs=1)
    host.bus.fault("reboot", {"id": 2})
    host.advance(0.2)
    assert host.read(2, "realtime_tick") == pytest.approx(200, abs=1)
    assert host.read(1, "realtime_tick") == pytest.approx(33_700 - 32_768, abs=1)


def test_what_servos_showed_and_held_when_they_were_read_together_is_told_once(host):
    host.advance(1.0)
    for goal in (2100, 2200):
        host.write(1, "goal_position", goal)
        host.read(1, "present_position")  # one alone
        host.send(BROADCAST_ID, Instruction.SYNC_READ, word(132) + word(4) + bytes([1, 2, 3]))
    told = [(1.0, [0.0, 0.0, 0.0], [ticks * TICK, 0.0, 0.0]) for ticks in (52, 152)]
    for (at_s, *angles), (expected_s, *expected) in zip(host.drives.take_readings(), told, strict=True):
        assert at_s == pytest.approx(expected_s)
        np.testing.assert_allclose(angles, expected, atol=1e-6)
    assert host.drives.take_readings() == []


# bus watchdog


def test_the_watchdog_stops_a_servo_that_hears_nothing(host):
    held(host, bus_watchdog=3, profile_velocity=20)
    host.write(1, "goal_position", 3072)
    host.advance(0.055, fed=False)
    assert host.servo(1).watchdog == 3
    host.advance(0.02, fed=False)
    assert (host.read(1, "bus_watchdog"), host.read(1, "profile_velocity")) == (-1, 0)
    stopped = host.read(1, "present_position")
    host.advance(1.0, fed=False)
    assert host.read(1, "present_position") == pytest.approx(stopped, abs=2)
    assert 2048 < stopped < 2148
    assert host.read(1, "torque_enable") == 1


def test_after_a_trip_goals_are_refused_until_the_watchdog_is_cleared(host):
    held(host, bus_watchdog=1)
    host.advance(0.05, fed=False)
    for name in ("goal_position", "goal_current", "goal_velocity", "goal_pwm"):
        assert host.write(1, name, 100) == Error.DATA_RANGE
    assert host.write(1, "bus_watchdog", 3) == Error.DATA_RANGE
    assert host.write(1, "bus_watchdog", 0) == Error.NONE
    assert host.write(1, "goal_position", 2100) == Error.NONE


def test_the_watchdog_is_fed_by_any_instruction_and_sleeps_without_torque(host):
    held(host, bus_watchdog=2)
    for _ in range(20):
        host.advance(0.03, fed=False)
        host.send(77, Instruction.PING)
    assert host.read(1, "bus_watchdog") == 2
    host.write(1, "torque_enable", 0)
    host.advance(1.0, fed=False)
    assert host.read(1, "bus_watchdog") == 2


# health


def test_a_stalled_servo_shuts_down_with_an_overload_and_needs_a_reboot(host):
    held(host, pwm_limit=50)
    host.plant.turn_back(0, 3.0)  # as if somebody held it far from its goal
    stuck = host.plant.read().position_rad[0]
    for _ in range(100):
        host.advance(0.0025)
        host.plant._position[0], host.plant._velocity[0] = stuck, 0.0
    assert host.read(1, "hardware_error_status") == 0
    while host.drives.now_s < OVERLOAD_S + 0.1:
        host.advance(0.0025)
        host.plant._position[0], host.plant._velocity[0] = stuck, 0.0
    assert host.ask(1, Instruction.PING)[0] == 0x80
    assert (host.read(1, "hardware_error_status"), host.read(1, "torque_enable")) == (32, 0)
    assert host.write(1, "torque_enable", 1) == Error.RESULT_FAIL
    assert host.ask(1, Instruction.REBOOT)[0] & 0x7F == 0
    assert host.write(1, "torque_enable", 1) == Error.NONE


def test_heat_comes_with_load_goes_with_time_and_shuts_down(host):
    held(host)
    host.drives.temperature_c[0] = 79.9
    host.write(1, "goal_position", 2100)
    host.advance(1.0)
    assert host.read(1, "torque_enable") == 1
    assert AMBIENT_C < host.drives.temperature_c[0] < 79.9
    host.drives.temperature_c[0] = 80.5
    host.advance(0.02)
    assert (host.read(1, "hardware_error_status"), host.read(1, "torque_enable")) == (4, 0)
    assert host.ask(1, Instruction.REBOOT)[0] & 0x7F == 0
    host.advance(0.02)
    assert host.read(1, "hardware_error_status") == 4, "still too hot"


def test_errors_outside_the_shutdown_mask_leave_torque_on(host):
    held(host)
    host.bus.fault("voltage", {"id": 1, "volts": 17.0})
    host.advance(0.02)
    assert (host.read(1, "hardware_error_status"), host.read(1, "torque_enable")) == (1, 1)


# the joints


def test_torque_on_counts_the_position_within_one_turn_again(host):
    host.plant.turn_back(0, -2.5 * 2 * math.pi)
    host.advance(0.0025)
    assert host.read(1, "present_position") == 2048 + 10_240
    held(host)
    assert host.read(1, "present_position") == 10_240 + 2048 - 3 * 4096
    assert host.plant.read().position_rad[0] == pytest.approx(-math.pi)


def test_the_hand_moves_over_the_bus_as_it_does_without(robot):
    """The same goals, given to the simulation and to servos that turn the same simulation: the same motion, to a tick
    of goals and registers, with the same motors: 2.59 Nm at rest, at 5.5 rad/s nothing.
    """
    direct = make_simulation(robot, SimulationSettings(), 0, 0)
    direct.set_effort_limits(np.full(10, 2.59), np.full(10, 2.59 / (230 * 0.229 * 2 * math.pi / 60)))
    host = Host(robot, make_plant(robot, SimulationSettings(), 0, 0))
    on = np.array([True] * 9 + [False])
    start = direct.read().position_rad
    rng = np.random.default_rng(0)
    for identifier in robot.joint_ids:
        held(host, identifier, position_p_gain=800)
    offsets = np.array(robot.position_offset_rad)
    worst = 0.0
    for _ in range(20):
        goals = start + np.append(rng.uniform(-0.2, 0.2, 9), 0.0)
        ticks = np.rint((goals[:9] - offsets) / TICK).astype(int)
        for identifier, tick in zip(robot.joint_ids, ticks.tolist(), strict=True):
            assert host.write(identifier, "goal_position", tick) == Error.NONE
        direct.write(goals, on)
        direct.advance(0.1)
        host.advance(0.1)
        read = [host.read(identifier, "present_position") for identifier in robot.joint_ids]
        worst = max(worst, np.abs(np.array(read) * TICK + offsets - direct.read().position_rad[:9]).max())
    assert worst < 3 * TICK


def test_randomised_gains_stay_randomised(robot):
    host = Host(robot, make_plant(robot, SimulationSettings(), 0, 0))
    host.drives.randomise(seed=3)
    held(host, 10)
    host.write(10, "goal_position", 1100)
    host.advance(0.0025)
    kp = host.plant.gains_nm_rad[0]
    assert kp != 2.0
    assert 1.0 <= kp <= 3.0


def test_free_joints_settle_at_their_goals():
    plant = FreeJoints(make_robot(), epoch_ns=5)
    plant.write(np.array([0.5, -0.5, 1.0]), np.array([True, True, False]))
    plant.advance(2.0)
    assert plant.read().position_rad == pytest.approx([0.5, -0.5, 0.0], abs=1e-3)
    assert plant.read().time_ns == 2_000_000_005
