"""Robot files by name, for commands about servos."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from robot_bridge.robot import RobotSettings, load_robot
from rosac_common.settings import SettingsError


def find_robot_file(name: str) -> Path:
    """The robot file of a name in config/robots, or of a path that ends in .yaml; links are followed.

    Raises:
        SettingsError: there is no such file.
    """
    folder = Path(get_package_share_directory("sac_learner")) / "config" / "robots"
    path = Path(name) if name.endswith(".yaml") else folder / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise SettingsError(f"there is no robot file {path}; give a path that ends in .yaml, or one of: {known}")
    return path.resolve()


def load_servo_robot(path: Path) -> RobotSettings:
    """A robot with servos.

    Raises:
        SettingsError: a faulty file, or one that describes no servos.
    """
    robot = load_robot(path)
    if not robot.servos.present:
        raise SettingsError(f"{path} has no servos: robot.servos.model is empty")
    return robot
