"""The robot file: the D'Claw's figures, and every way to get one wrong."""

import dataclasses
import math

import pytest
import yaml
from robot_bridge.robot import RobotSettings, load_robot
from robot_bridge.safety_limits import SafetyLimits
from rosac_common.settings import SettingsError, from_mapping, to_mapping


def test_dclaw_has_the_published_ids_ranges_and_limits(robot):
    assert len(robot.joint_names) == 9
    assert robot.joint_ids == [10, 11, 12, 20, 21, 22, 30, 31, 32]
    assert robot.auxiliary_joint_names == ["valve"]
    assert robot.auxiliary_joint_ids == [50]
    assert robot.position_max_rad == [0.48, 1.57, 1.57] * 3
    assert robot.position_min_rad == [-0.48, -1.57, -1.57] * 3
    assert robot.position_offset_rad == pytest.approx([-math.pi / 2, -math.pi, -math.pi] * 3)
    assert robot.speed_limit_rad_s == pytest.approx([2 * math.pi / 3] * 9)
    assert robot.kp_nm_rad == [2.0] * 9
    assert robot.all_joint_names == [*robot.joint_names, "valve"]


def test_survives_being_a_flat_mapping_of_ros_parameters(robot):
    assert from_mapping(RobotSettings, to_mapping(robot)) == robot


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joint_ids": [10, 11]}, "joint_ids has 2 values, robot.joint_names 9"),
        ({"position_min_rad": [0.5, -1.57, -1.57] * 3}, "'finger1_top': position_min_rad 0.5 must be below"),
        ({"position_max_rad": [math.inf, 1.57, 1.57] * 3}, "position_max_rad has a value that is not finite"),
        ({"joint_ids": [10, 10, 12, 20, 21, 22, 30, 31, 32]}, "ids must be unique, given twice: 10"),
        ({"auxiliary_joint_names": ["finger1_top"]}, "names must be unique, given twice: finger1_top"),
        ({"auxiliary_joint_ids": [32]}, "ids must be unique, given twice: 32"),
        ({"speed_limit_rad_s": [0.0] * 9}, "'finger1_top': speed_limit_rad_s is 0"),
        ({"auxiliary_direction": []}, "auxiliary_direction has 0 values"),
        ({"auxiliary_equal_parts": [3, 3]}, "auxiliary_equal_parts has 2 values: give one for each of the 1"),
        (
            {"safety": SafetyLimits(speed_stop_rad_s=[4.0] * 9)},
            "speed_stop_rad_s has 9 values: .* each of the 10",
        ),
        (
            {"safety": SafetyLimits(temperature_stop_c=[70.0, 75.0])},
            "temperature_stop_c has 2 values: .* each of the 10",
        ),
        ({"joint_names": []}, "joint_names is empty: pass a robot file"),
    ],
)
def test_inconsistent_lists_are_named(robot, changes, message):
    with pytest.raises(SettingsError, match=message):
        dataclasses.replace(robot, **changes)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (
            [0.05, 0.3, 0.1, 0.3],
            "differ by 0.2 m, limit 0.0989 m: .*no further apart than 0.1 m; give lower links that",
        ),
        ([0.1, 0.3, 0.1, 0.3], "differ by 0.2 m, limit 0.198 m"),
        ([0.1, 0.09, 0.09, 0.09], "are 0.18 m together, and must be longer than 0.2 m.*: give longer lower links"),
    ],
)
def test_legs_that_cannot_be_built_are_refused(robot_file, lengths, message):
    minitaur = load_robot(robot_file.with_name("minitaur.yaml"))
    with pytest.raises(SettingsError, match=rf"five_bar_m is \[{lengths[0]}.*: its lower links {message}"):
        dataclasses.replace(minitaur, five_bar_m=lengths)


def test_fingers_come_in_threes(robot_file):
    legs = load_robot(robot_file.with_name("legs.yaml"))
    with pytest.raises(SettingsError, match="'fingers' with 8 joints: fingers have three each.*choose 'straight'"):
        dataclasses.replace(legs, reset_procedure="fingers")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("direction", [2] * 9, "'direction' is 2; it must be one of -1, 1"),
        ("joint_ids", [300, 11, 12, 20, 21, 22, 30, 31, 32], "'joint_ids' is 300; it must be in 0 .. 252"),
        ("joint_idz", [1], "unknown setting 'joint_idz'; did you mean 'joint_ids'?"),
    ],
)
def test_values_of_a_file_are_checked_and_the_file_is_named(robot_file, tmp_path, name, value, message):
    content = yaml.safe_load(robot_file.read_text())
    content["/**"]["ros__parameters"]["robot"][name] = value
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(SettingsError, match=message) as error:
        load_robot(path)
    assert "other.yaml" in str(error.value)


def test_a_robot_file_holds_nothing_else(robot_file, tmp_path):
    content = yaml.safe_load(robot_file.read_text())
    content["/**"]["ros__parameters"]["auto_arm"] = True
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(SettingsError, match="'auto_arm' does not belong in a robot file"):
        load_robot(path)
    content["bridge"] = content.pop("/**")
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(SettingsError, match="exactly the node pattern"):
        load_robot(path)
