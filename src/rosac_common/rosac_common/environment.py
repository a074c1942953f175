"""Finds ROS 2 and rosac's own programs, whether or not anything is sourced. Standard library only.

`make setup` builds one prefix, the virtual environment, that holds Python, ROS 2 (or a link to the sourced
installation) and the rosac packages. It records in `<prefix>/rosac_environment.json` what a process needs to use them.
Three cases:

- Virtual environment, nothing sourced: the record supplies every variable.
- Virtual environment, something sourced: what is sourced is kept, the own prefix goes in front.
- A plain colcon workspace (no record): its setup.bash has done everything, nothing is changed.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

RECORD_NAME = "rosac_environment.json"
_REEXECUTED = "_ROSAC_ENVIRONMENT"  # value: the prefix that the process was re-executed for
_WHEELS_BOOTSTRAPPED = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"  # the wheels' own re-execution is done or not needed


def _record() -> dict | None:
    """Reads what `make setup` recorded of the virtual environment that runs this; None outside of one."""
    path = Path(sys.prefix) / RECORD_NAME
    return json.loads(path.read_text()) if path.is_file() else None


def _entries(value: str | None) -> list[str]:
    return [entry for entry in (value or "").split(os.pathsep) if entry]


def _merged(first: Iterable[str], then: Iterable[str]) -> str:
    return os.pathsep.join(dict.fromkeys([*first, *then]))


def _prefixes(environment: Mapping[str, str]) -> list[Path]:
    """Lists the prefixes to search: those sourced, then the virtual environment's own."""
    own = [sys.prefix] if _record() else []
    return [Path(entry) for entry in dict.fromkeys([*_entries(environment.get("AMENT_PREFIX_PATH")), *own])]


def ros_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns an environment in which rclpy, the messages and the installed programs of rosac work.

    base: the environment to extend, os.environ if None. Nothing that is set in it is taken away.
    """
    environment = dict(os.environ if base is None else base)
    record = _record()
    if record is None:
        return environment
    _refuse_other_ros(environment, record)
    own = sys.prefix

    def lead(name: str, front: list[str], back: list[str]) -> None:
        """Puts the entries of front that are missing first, those of back last."""
        present = _entries(environment.get(name))
        missing = [entry for entry in front if entry not in present]
        environment[name] = _merged([*missing, *present], back)

    lead("PATH", [f"{own}/bin"], [])
    lead("AMENT_PREFIX_PATH", [own], record["prefixes"])
    libraries = [str(path) for path in sorted(Path(record["site_packages"]).glob("ros_*.libs"))]
    lead("LD_LIBRARY_PATH", [f"{own}/lib"], [*libraries, *record["libraries"]])
    environment.setdefault("ROS_DISTRO", record["distribution"])
    environment.setdefault("ROS_VERSION", "2")
    environment.setdefault("ROS_PYTHON_VERSION", "3")
    environment[_WHEELS_BOOTSTRAPPED] = "1"
    return environment


def _refuse_other_ros(environment: Mapping[str, str], record: dict) -> None:
    """Stops with the remedy where another ROS than the one that `make setup` saw is sourced: they cannot be mixed."""
    for entry in _entries(environment.get("PYTHONPATH")):
        known = [record["site_packages"], *record["python_paths"]]
        if (Path(entry) / "rclpy" / "__init__.py").is_file() and os.path.realpath(entry) not in map(
            os.path.realpath, known
        ):
            raise RuntimeError(
                f"PYTHONPATH holds the rclpy of {entry}, but {sys.prefix} was made for ROS 2 "
                f"{record['distribution']} from {record['source']}. Run `make setup` in this shell, "
                "or use a shell in which that installation is not sourced."
            )


def ensure_ros_environment() -> None:
    """Gives this very process the environment of ros_environment().

    The dynamic linker reads LD_LIBRARY_PATH only at the start of a process: where that has to change, the interpreter
    is executed once more with the same arguments. Call it first in a program, before threads, files or output.
    """
    environment = ros_environment()
    missing = set(_entries(environment.get("LD_LIBRARY_PATH"))) - set(_entries(os.environ.get("LD_LIBRARY_PATH")))
    if missing and os.environ.get(_REEXECUTED) != sys.prefix:
        environment[_REEXECUTED] = sys.prefix
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, sys.orig_argv, environment)
    os.environ.update(environment)


def prefix() -> Path:
    """Returns the directory that rosac is installed in: it holds share/rosac_common."""
    return _prefix_of("rosac_common")


def share(package: str) -> Path:
    """Returns the installed share directory of a package, such as that of sac_learner with launch/ and config/."""
    return _prefix_of(package) / "share" / package


def _prefix_of(package: str) -> Path:
    searched = _prefixes(os.environ)
    for candidate in searched:
        if (candidate / "share" / "ament_index" / "resource_index" / "packages" / package).exists():
            return candidate
    raise FileNotFoundError(f"package {package!r} is not installed in {_listed(searched)}. {_REMEDY}")


def executable(package: str, name: str) -> Path:
    """Returns the installed program `<prefix>/lib/<package>/<name>`, as `ros2 run <package> <name>` would start it."""
    searched = [candidate / "lib" / package for candidate in _prefixes(os.environ)]
    for directory in searched:
        path = directory / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(f"no program {name!r} of package {package!r} in {_listed(searched)}. {_REMEDY}")


def _listed(paths: list[Path]) -> str:
    return ", ".join(map(str, paths)) or "any prefix (AMENT_PREFIX_PATH is empty)"


_REMEDY = "Run `make setup` in the repository, or source the setup.bash of the workspace that you built."
