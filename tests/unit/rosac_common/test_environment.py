"""The environment for child processes: what is sourced is kept, what is missing is added, what cannot work is said."""

import json
import os
import subprocess
import sys

import pytest

from rosac_common import environment


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """A virtual environment as `make setup` leaves it, made from the installation `ros`."""
    ros = tmp_path / "ros"
    own = tmp_path / "venv"
    (own / "share/ament_index/resource_index/packages").mkdir(parents=True)
    (own / "share/ament_index/resource_index/packages/rosac_common").touch()
    record = {"distribution": "jazzy", "source": str(ros), "prefixes": [str(ros)], "site_packages": f"{own}/site"}
    record |= {"libraries": [f"{ros}/lib"], "python_paths": [f"{ros}/python"]}
    (own / environment.RECORD_NAME).write_text(json.dumps(record))
    monkeypatch.setattr(sys, "prefix", str(own))
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    return own


def test_nothing_sourced_gets_everything(prefix):
    made = environment.ros_environment({"PATH": "/bin"})
    ros = prefix.parent / "ros"
    assert made["AMENT_PREFIX_PATH"] == f"{prefix}:{ros}"
    assert made["LD_LIBRARY_PATH"] == f"{prefix}/lib:{ros}/lib"
    assert made["PATH"] == f"{prefix}/bin:/bin"
    assert made["ROS_DISTRO"] == "jazzy"


def test_what_is_sourced_stays_in_its_order(prefix):
    ros = prefix.parent / "ros"
    sourced = {"PATH": "/bin", "AMENT_PREFIX_PATH": f"/other:{ros}", "LD_LIBRARY_PATH": f"/other/lib:{prefix}/lib"}
    made = environment.ros_environment(sourced)
    assert made["AMENT_PREFIX_PATH"] == f"{prefix}:/other:{ros}"
    assert made["LD_LIBRARY_PATH"] == f"/other/lib:{prefix}/lib:{ros}/lib"
    assert environment.ros_environment(made) == made, "applying it twice changes nothing"


def test_a_plain_workspace_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert environment.ros_environment({"A": "1"}) == {"A": "1"}


def test_another_rclpy_is_refused_with_the_remedy(prefix, tmp_path):
    (tmp_path / "humble" / "rclpy").mkdir(parents=True)
    (tmp_path / "humble" / "rclpy" / "__init__.py").touch()
    with pytest.raises(RuntimeError, match=r"humble.*make setup"):
        environment.ros_environment({"PYTHONPATH": str(tmp_path / "humble")})


def test_executable_searches_sourced_prefixes_first(prefix, tmp_path, monkeypatch):
    for root in (prefix, tmp_path / "overlay"):
        program = root / "lib" / "valve_task" / "task"
        program.parent.mkdir(parents=True)
        program.touch(0o755)
    assert environment.executable("valve_task", "task") == prefix / "lib/valve_task/task"
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "overlay"))
    assert environment.executable("valve_task", "task") == tmp_path / "overlay/lib/valve_task/task"


def test_missing_executable_names_what_where_and_the_remedy(prefix):
    with pytest.raises(FileNotFoundError, match=r"'task' of package 'valve_task' in .*/valve_task.*make setup"):
        environment.executable("valve_task", "task")


def test_missing_package_names_the_remedy(prefix):
    assert environment.prefix() == prefix
    with pytest.raises(FileNotFoundError, match="'sac_learner' is not installed in .*make setup"):
        environment.share("sac_learner")


@pytest.mark.ros
def test_messages_and_rclpy_work_in_an_empty_environment(tmp_path):
    """A child with nothing but HOME, as a service manager starts it."""
    program = (
        "from rosac_common.environment import ensure_ros_environment as ensure; ensure(); "
        "import rclpy; from sac_interfaces.msg import Transition; "
        "rclpy.init(); node = rclpy.create_node('alone'); node.create_publisher(Transition, 'replay', 1); print('made')"
    )
    empty = {"HOME": str(tmp_path), "ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
    result = subprocess.run([sys.executable, "-c", program], env=empty, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "made\n"), result.stderr
