"""Looks at the machine before the set-up: the Python version, tools that are missing, the ROS 2 to use.

Standard library only, and importable by any Python 3, so that an unsupported one is told so.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

WHEEL_DISTRIBUTIONS = ("jazzy", "kilted")
DEFAULT_DISTRIBUTION = "jazzy"
OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON_OF_WHEELS = (3, 13)
OWN_PACKAGES = ("sac_interfaces", "rosac_common", "robot_bridge", "valve_task", "sac_learner")


class SetupError(Exception):
    """Something that the person at the keyboard has to change; the message says what and how."""


class Ros:
    """The ROS 2 to use: its distribution, where it comes from and the paths that it adds."""

    def __init__(self, distribution: str, prefixes: list[str]) -> None:
        self.distribution = distribution
        self.prefixes = prefixes  # of the installation, in the order of AMENT_PREFIX_PATH; none for wheels
        self.from_wheels = not prefixes
        self.source = next((prefix for prefix in prefixes if holds(prefix, "rclpy")), "wheels")
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        # RoboStack's Python packages are on no PYTHONPATH, those of apt are
        self.python_paths = self._own("PYTHONPATH", f"lib/{version}/site-packages")
        self.libraries = self._own("LD_LIBRARY_PATH", "lib")

    def _own(self, variable: str, folder: str) -> list[str]:
        """Lists the entries of a variable that lie in the installation, then this folder of each prefix."""
        inside = [path for path in entries(variable) if any(Path(path).is_relative_to(p) for p in self.prefixes)]
        return existing([*inside, *(f"{prefix}/{folder}" for prefix in self.prefixes)])


def entries(name: str) -> list[str]:
    return [entry for entry in os.environ.get(name, "").split(os.pathsep) if entry]


def holds(prefix: str, *packages: str) -> bool:
    return any(Path(prefix, "share", "ament_index", "resource_index", "packages", name).exists() for name in packages)


def existing(paths: list[str]) -> list[str]:
    return [path for path in dict.fromkeys(paths) if Path(path).is_dir()]


def find_ros(venv: Path) -> Ros:
    """Chooses the sourced installation, or the wheels of ROS_DISTRO (jazzy without one)."""
    distribution = os.environ.get("ROS_DISTRO", "")
    sourced = [
        path for path in existing(entries("AMENT_PREFIX_PATH")) if path != str(venv) and not holds(path, *OWN_PACKAGES)
    ]
    if any(holds(path, "rclpy") for path in sourced):
        if not distribution:
            raise SetupError("AMENT_PREFIX_PATH holds rclpy, but ROS_DISTRO is empty: source ROS 2 again")
        return Ros(distribution, sourced)
    distribution = distribution or DEFAULT_DISTRIBUTION
    if distribution not in WHEEL_DISTRIBUTIONS:
        raise SetupError(
            f"ROS_DISTRO is {distribution!r}, no ROS 2 installation is sourced, and wheels are set up for "
            f"{' and '.join(WHEEL_DISTRIBUTIONS)} only. Source the installation, or: ROS_DISTRO=jazzy make setup"
        )
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise SetupError(
            f"this is {sys.platform} on {platform.machine()}; the wheels of ROS 2 are for Linux on x86_64 only. "
            "Install ROS 2 Jazzy, source its setup.bash and run `make setup` again"
        )
    if sys.version_info[:2] > NEWEST_PYTHON_OF_WHEELS:
        raise_unsupported_python()
    return Ros(distribution, [])


def check_python_version() -> None:
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise_unsupported_python()


def works(program: str) -> bool:
    """Tells whether a program starts: version managers leave names on the path that do not."""
    return bool(shutil.which(program)) and subprocess.run([program, "--version"], capture_output=True).returncode == 0


def raise_unsupported_python() -> None:
    supported = [f"python3.{minor}" for minor in range(OLDEST_PYTHON[1], NEWEST_PYTHON_OF_WHEELS[1] + 1)]
    found = [name for name in supported if works(name)]
    remedy = f"make PYTHON={found[-1]} ..." if found else "apt install python3.12-venv python3.12-dev (or 3.11, 3.13)"
    raise SetupError(
        f"Python {platform.python_version()} ({sys.executable}) is not supported, Python 3.11 to 3.13 is. Use: {remedy}"
    )


def check_system(ros: Ros) -> None:
    """Names every missing program at once, with the command that installs them."""
    missing: dict[str, str] = {}  # what -> Debian package
    for program, package in {"c++": "g++", "cmake": "cmake", "make": "make"}.items():
        if shutil.which(program) is None:
            missing[package] = package
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        missing["venv of Python"] = f"{version}-venv"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing["headers of Python"] = f"{version}-dev"
    if missing:
        raise SetupError(f"missing: {', '.join(missing)}. Install with: sudo apt install {' '.join(missing.values())}")
    if not ros.from_wheels and not any(Path(path, "rclpy").is_dir() for path in ros.python_paths):
        raise SetupError(
            f"the sourced ROS 2 {ros.distribution} has no rclpy for Python {platform.python_version()} "
            f"({sys.executable}). Use the Python that it was built for: make PYTHON=/usr/bin/python3 ..."
        )
