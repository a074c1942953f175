"""The block robot.servos: its figures, and every way to get it wrong."""

import dataclasses

import pytest
from robot_bridge.dynamixel.connection import servos_of, watchdog_ticks
from robot_bridge.dynamixel.models import MODELS
from robot_bridge.dynamixel.units import RAD_PER_TICK
from robot_bridge.robot import RobotSettings
from robot_bridge.servos import ServoSettings
from rosac_common.settings import SettingsError, from_mapping, to_mapping


def test_dclaw_is_of_the_servos_whose_page_robel_names(robot):
    assert robot.servos.model == ["XH430-V210"] * 10
    assert robot.servos.baud_rate == 1_000_000
    assert robot.servos.models[0].current_unit_a == 1.34e-3


def test_survives_being_a_flat_mapping_of_ros_parameters(servo_robot):
    assert from_mapping(RobotSettings, to_mapping(servo_robot)) == servo_robot


def test_a_robot_without_the_block_has_no_servos(robot):
    assert not dataclasses.replace(robot, servos=ServoSettings()).servos.present


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ["XH430-V210"]}, "robot.servos.model has 1 values for 10 joints"),
        ({"position_p_gain": []}, "position_p_gain has 0 values for 10 joints"),
        ({"model": []}, "robot.servos.stall_current_a is given but robot.servos.model is empty"),
        ({"stall_current_a": [0.0] * 10}, "stall_current_a must be above 0"),
        ({"current_limit_a": [1.0] * 10}, r"current_limit_a is 1; a motor that draws 0.7 A .*takes 0.00079 to 0.7 A"),
        ({"current_limit_a": [0.0] * 10}, "current_limit_a must be above 0"),
        ({"current_limit_a": [0.0005] * 10}, "takes 0.00079 to 0.7 A"),
        ({"torque_constant_nm_a": [0.0] * 10}, "torque_constant_nm_a must be above 0"),
        ({"profile_velocity_rad_s": 6.0}, r"profile_velocity_rad_s is 6; XH430-V210 takes 0.023981 to 5.5156, or 0"),
        ({"profile_velocity_rad_s": 0.01}, r"profile_velocity_rad_s is 0.01; XH430-V210 takes 0.023981 to 5.5156"),
        ({"profile_acceleration_rad_s2": 0.1}, r"acceleration_rad_s2 is 0.1; XH430-V210 takes 0.37451 to 12271, or 0"),
        ({"profile_acceleration_rad_s2": 13000.0}, r"acceleration_rad_s2 is 13000; XH430-V210 takes 0.37451 to 12271"),
        ({"bus_watchdog_s": 0.05}, "bus_watchdog_s is 0.05; servos count it in steps of 0.02"),
        ({"return_delay_us": 3}, "return_delay_us is 3; servos count it in steps of 2"),
        ({"baud_rate": 4_500_000}, "dynamixel-sdk for Python ends at 4000000"),
    ],
)
def test_values_that_no_servo_takes_are_named(robot, changes, message):
    with pytest.raises(SettingsError, match=message):
        dataclasses.replace(robot, servos=dataclasses.replace(robot.servos, **changes))


def test_unknown_models_are_refused(robot):
    values = {**to_mapping(robot), "servos.model": ["AX-12A"] * 10}
    with pytest.raises(SettingsError, match="must be one of XM430-W210"):
        from_mapping(RobotSettings, values)


def test_what_is_written_to_the_servos(servo_robot):
    servos = servos_of(servo_robot)
    assert [servo.identifier for servo in servos] == servo_robot.all_joint_ids
    for servo in servos:
        assert servo.settings["operating_mode"] == 3
        assert 0 <= servo.settings["min_position_limit"] < servo.settings["max_position_limit"] <= 4095
        for name, value in servo.settings.items():
            register = servo.model.register(name)
            assert register.minimum is None or register.minimum <= value <= register.maximum, name
    assert watchdog_ticks(servo_robot) == 4


@pytest.mark.parametrize("model", ["XH430-V210", "XL430-W250"])
def test_the_limit_of_the_current_is_one_of_the_pwm_and_never_rounded_up(robot, model):
    """Whether or not the model measures a current; register current_limit does not act in position control."""
    servos = dataclasses.replace(robot.servos, model=[model] * 10)
    cool = dataclasses.replace(robot.safety, temperature_stop_c=[65.0])
    settings = servos_of(dataclasses.replace(robot, servos=servos, safety=cool))[0].settings
    assert settings["pwm_limit"] == settings["goal_pwm"] == 581  # 885 x 0.46 A / 0.7 A = 581.6
    assert "current_limit" not in settings
    assert list(settings)[0] == "operating_mode", "a switch to another mode resets limits and gains"


def test_a_range_beyond_one_turn_is_refused(robot):
    wide = dataclasses.replace(
        robot, position_max_rad=[3.2, *robot.position_max_rad[1:]], position_offset_rad=[0.0] * 9
    )
    with pytest.raises(SettingsError, match=r"joint 'finger1_top': its range is ticks -313 .. 2086 of servo 10"):
        servos_of(wide)


@pytest.mark.parametrize("end", ["low", "high"])
def test_a_range_so_close_to_the_end_of_the_turn_that_a_joint_may_be_switched_on_beyond_is_refused(robot, end):
    """There its servo would take it round the other way."""

    def made(ticks, **margins):
        offset_rad = -0.48 - ticks * RAD_PER_TICK if end == "low" else 0.48 - (4095 - ticks) * RAD_PER_TICK
        safety = dataclasses.replace(robot.safety, **margins)
        offsets = [offset_rad, *robot.position_offset_rad[1:]]
        return servos_of(dataclasses.replace(robot, position_offset_rad=offsets, safety=safety))

    ticks = "162 .. 788" if end == "low" else "3307 .. 3933"
    message = rf"'finger1_top': its range is ticks {ticks} of servo 10, limit 163 .. 3932: .* 0.25 rad outside"
    with pytest.raises(SettingsError, match=message):
        made(162)
    made(163)
    made(162, switch_on_margin_rad=0.1)
    with pytest.raises(SettingsError, match="0.3 rad outside"):
        made(163, arming_margin_rad=0.3)


@pytest.mark.parametrize(("offset_rad", "ticks"), [(2.0, "-1239 .. -652"), (-7.0, "4628 .. 5215")])
def test_an_auxiliary_range_that_its_servo_never_reaches_is_refused(robot, offset_rad, ticks):
    low, high, offset = [0.1], [1.0], [offset_rad]
    robot = dataclasses.replace(robot, auxiliary_position_min_rad=low, auxiliary_position_max_rad=high)
    servos_of(robot)
    with pytest.raises(
        SettingsError, match=rf"'valve': its range is ticks {ticks} of servo 50, limit 0 .. 4095: .*cal"
    ):
        servos_of(dataclasses.replace(robot, auxiliary_position_offset_rad=offset))


@pytest.mark.parametrize(
    ("model", "stop_c", "message"),
    [
        ("XH430-V210", 80.0, "is 80 for joint 'finger1_top'; its servo, XH430-V210, switches itself off at 80: give"),
        ("XL330-M288", 75.0, "is 75 for joint 'finger1_top'; its servo, XL330-M288, switches itself off at 70: give"),
    ],
)
def test_a_temperature_at_which_the_servo_has_switched_itself_off_is_refused(robot, model, stop_c, message):
    def made(temperature_c):
        servos = dataclasses.replace(robot.servos, model=[model] * 10)
        safety = dataclasses.replace(robot.safety, temperature_stop_c=[temperature_c])
        return dataclasses.replace(robot, servos=servos, safety=safety)

    made(stop_c - 6.0)
    with pytest.raises(SettingsError, match=message):
        made(stop_c)


def test_every_model_has_what_the_driver_uses():
    for model in MODELS.values():
        for name in ("present_position", "present_velocity", "goal_position", "bus_watchdog", "hardware_error_status"):
            assert model.register(name) == MODELS["XM430-W210"].register(name) or name == "present_position"
        assert model.register("present_velocity").address == 128
        assert model.register("present_position").address == 132
        assert model.register("present_input_voltage").address == 144
        assert model.register("present_temperature").address == 146
