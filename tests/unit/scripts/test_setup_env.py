"""The set-up: which ROS it takes, what it refuses, what it notices. Nothing is installed here."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

import setup_checks  # noqa: E402 - scripts/ is no package
import setup_env  # noqa: E402


@pytest.fixture(autouse=True)
def nothing_sourced(monkeypatch):
    for name in ("AMENT_PREFIX_PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "ROS_DISTRO"):
        monkeypatch.delenv(name, raising=False)


def installation(path, *packages):
    for package in packages:
        marker = path / "share/ament_index/resource_index/packages" / package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    return path


def test_wheels_of_jazzy_without_an_installation(tmp_path):
    ros = setup_checks.find_ros(tmp_path)
    assert (ros.distribution, ros.source, ros.from_wheels) == ("jazzy", "wheels", True)


def test_ros_distro_chooses_the_wheels(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    assert setup_checks.find_ros(tmp_path).distribution == "kilted"


def test_unknown_distribution_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "humble")
    with pytest.raises(setup_checks.SetupError, match=r"'humble'.*jazzy and kilted.*ROS_DISTRO=jazzy make setup"):
        setup_checks.find_ros(tmp_path)


def test_sourced_installation_is_taken_with_its_paths(tmp_path, monkeypatch):
    ros = installation(tmp_path / "ros", "rclpy")
    (ros / "lib").mkdir()
    monkeypatch.setenv("ROS_DISTRO", "lyrical")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(ros))
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/usr/lib:{ros}/lib")
    found = setup_checks.find_ros(tmp_path / "venv")
    assert (found.distribution, found.source, found.libraries) == ("lyrical", str(ros), [f"{ros}/lib"])


def test_sourced_environment_of_rosac_is_no_installation(tmp_path, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(installation(tmp_path / "venv", "rclpy", "sac_interfaces")))
    assert setup_checks.find_ros(tmp_path / "another").from_wheels


def test_missing_programs_are_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(setup_checks.SetupError, match=r"missing: g\+\+, cmake, make.*apt install g\+\+ cmake make"):
        setup_checks.check_system(setup_checks.find_ros(tmp_path))


def test_old_python_is_refused(monkeypatch):
    monkeypatch.setattr(setup_checks, "OLDEST_PYTHON", (3, 99))
    with pytest.raises(setup_checks.SetupError, match="is not supported"):
        setup_checks.check_python_version()


def test_what_was_not_made_here_is_not_removed(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(setup_checks.SetupError, match="did not make it"):
        setup_env.remove_environment(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_what_was_made_here_is_removed(tmp_path):
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / setup_env.LOG_NAME).touch()
    setup_env.remove_environment(venv)
    assert list(tmp_path.iterdir()) == []


def test_the_reason_of_a_rebuild_says_what_changed():
    old = {"ROS 2": "jazzy from wheels", "pinned versions": "a"}
    new = {"ROS 2": "kilted from wheels", "pinned versions": "a"}
    assert setup_env.difference(old, new) == "ROS 2 changed: jazzy from wheels -> kilted from wheels"


@pytest.mark.parametrize("distribution", setup_checks.WHEEL_DISTRIBUTIONS)
def test_one_version_of_every_package_for_each_distribution(tmp_path, distribution):
    lines = setup_env.selected(tmp_path, "constraints.txt", distribution).read_text().splitlines()
    names = [line.split("==")[0] for line in lines if line and not line.startswith("#")]
    assert len(names) == len(set(names)) > 200
    assert "ros-rclpy" in names


def test_a_broken_stamp_counts_as_none(tmp_path):
    (tmp_path / setup_env.STAMP_NAME).write_text("{")
    assert setup_env.read_stamp(tmp_path) == {}
