#!/usr/bin/env python3
"""Sets up the virtual environment of rosac: Python packages, ROS 2 and the built workspace. `make setup` calls it.

ROS 2 comes from a sourced installation where there is one, else from wheels (jazzy, or what ROS_DISTRO says). The
virtual environment is also the install prefix of colcon, so that programs are in <venv>/lib/<package>/, launch files
and settings in <venv>/share/sac_learner/, and Python packages are linked to their sources.

A stamp holds what the environment was made from; it is written last, so what was interrupted is done again.
Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import setup_checks
from setup_checks import Ros, SetupError

ROOT = Path(__file__).resolve().parent.parent
WORKSPACE = ROOT / "ros2_ws"
PACKAGES = ("rosac_common", "robot_bridge", "valve_task", "sac_learner")
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt", "requirements-ros.txt")
LAYOUT = 1  # raise it when this script makes an environment that older ones do not match
LOG_NAME = "rosac_setup.log"  # marks a directory as made here, so that it may be removed
STAMP_NAME = "rosac_setup.json"
RECORD_NAME = "rosac_environment.json"  # read by rosac_common.environment


def digest(paths: list[Path], names: list[Path] = ()) -> str:
    """Hashes the contents of paths, and of names only that they are there."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    for path in sorted(names):
        total.update(f"{path.relative_to(ROOT)}\n".encode())
    return total.hexdigest()[:16]


def environment_inputs(venv: Path, ros: Ros) -> dict[str, str]:
    """Says what the Python packages and ROS 2 in the environment depend on, in words for the reason of a rebuild."""
    return {
        "place": str(venv),
        "Python": f"{sys.version.split()[0]} of {sys.base_prefix}",
        "ROS 2": f"{ros.distribution} from {ros.source}",
        "pinned versions": digest([ROOT / "constraints.txt", *(ROOT / name for name in REQUIREMENTS)]),
        "layout": str(LAYOUT),
    }


def workspace_inputs() -> dict[str, str]:
    """Says what the build of the workspace depends on; Python modules are linked and therefore not part of it."""
    interfaces = WORKSPACE / "src" / "sac_interfaces"
    described = [
        ROOT / "src" / package / name for package in PACKAGES for name in ("package.xml", "setup.py", "setup.cfg")
    ]
    linked = [*(ROOT / "launch").rglob("*.launch.py"), *(ROOT / "config").rglob("*.yaml")]
    return {
        "messages": digest([path for path in interfaces.rglob("*") if path.is_file()]),
        "package descriptions": digest(described),
        "list of launch files and settings": digest([], linked),
    }


def read_stamp(venv: Path) -> dict[str, dict[str, str]]:
    try:
        return json.loads((venv / STAMP_NAME).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def write_atomically(path: Path, content: object) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)


def difference(old: dict[str, str], new: dict[str, str]) -> str:
    """Names what changed between two sets of inputs."""
    parts = []
    for name in new:
        if old.get(name) != new[name]:
            shown = f": {old.get(name)} -> {new[name]}" if name in ("place", "Python", "ROS 2") else ""
            parts.append(f"{name} changed{shown}")
    return ", ".join(parts)


def run_group(command: list[str], environment: dict[str, str], cwd: Path, log: BinaryIO) -> int:
    """Runs a command as a process group, so that an interrupt leaves no grandchild that goes on writing."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, env=environment, cwd=cwd, start_new_session=True, **streams)
    try:
        return process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def run(venv: Path, title: str, command: list[str], environment: dict[str, str], cwd: Path = ROOT) -> None:
    """Runs one step with its output in the log; shows the end of the log when it fails."""
    print(f"setup: {title} ...", end="", flush=True)
    started = time.monotonic()
    path = venv / LOG_NAME
    with path.open("ab") as log:
        log.write(f"\n$ {' '.join(command)}\n".encode())
        log.flush()
        begin = log.tell()
        status = run_group(command, environment, cwd, log)
    print(f" {time.monotonic() - started:.0f} s" if status == 0 else " failed", flush=True)
    if status != 0:
        with path.open("rb") as log:
            log.seek(begin)
            tail = log.read().decode(errors="replace").splitlines()[-40:]
        print("\n".join(tail), file=sys.stderr)
        raise SetupError(f"the step failed with status {status}; its last lines are above, all of it is in {path}")


def check_own(venv: Path) -> None:
    """Refuses to touch a directory that was not made here."""
    if venv.exists() and not (venv / LOG_NAME).is_file() and any(venv.iterdir()):
        raise SetupError(
            f"{venv} exists, but `make setup` did not make it. Remove it, or choose another: make VENV=.venv2"
        )


def remove_environment(venv: Path) -> None:
    """Moves it away first: half a removed environment must not look like one that was not made here."""
    check_own(venv)
    removed = venv.with_name(f"{venv.name}.removed")
    shutil.rmtree(removed, ignore_errors=True)
    if venv.exists():
        venv.rename(removed)
        shutil.rmtree(removed)


def build_environment() -> dict[str, str]:
    """Returns the environment for pip: no sourced Python packages, which would pass for installed ones."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
    return {name: value for name, value in os.environ.items() if name not in dropped}


def create_environment(venv: Path, ros: Ros) -> None:
    """Makes the virtual environment and installs the pinned packages."""
    remove_environment(venv)
    venv.mkdir(parents=True)
    (venv / LOG_NAME).touch()
    environment = build_environment()
    run(venv, "create the virtual environment", [sys.executable, "-m", "venv", str(venv)], environment)
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    constraints = selected(venv, "constraints.txt", ros.distribution)
    names = REQUIREMENTS if ros.from_wheels else REQUIREMENTS[:-1]
    for name in names:
        command += ["-r", str(selected(venv, name, ros.distribution))]
    run(venv, "install Python packages (1 to 10 minutes)", [*command, "-c", str(constraints)], environment)
    if ros.from_wheels:
        correct_exported_paths(venv)


def selected(venv: Path, name: str, distribution: str) -> Path:
    """Copies a requirements or constraints file without the lines for other distributions (`ros-x==1  # kilted`)."""
    others = tuple(f"# {other}" for other in setup_checks.WHEEL_DISTRIBUTIONS if other != distribution)
    lines = (ROOT / name).read_text().splitlines()
    path = venv / name
    path.write_text("\n".join(line for line in lines if not line.rstrip().endswith(others)) + "\n")
    return path


def correct_exported_paths(venv: Path) -> None:
    """Replaces the directories of the machine that built the ROS wheels in their CMake files by this environment's."""
    program = (
        "import re, sys, sysconfig, numpy, pathlib\n"
        "for path in pathlib.Path(sys.prefix, 'share').rglob('*.cmake'):\n"
        "    text = path.read_text()\n"
        "    new = re.sub(r'/opt/python/[^\";) ]*/numpy/_core/include', lambda _: numpy.get_include(), text)\n"
        "    new = re.sub(r'/opt/python/[^\";) ]*/include/python3[.0-9]+', "
        "lambda _: sysconfig.get_path('include'), new)\n"
        "    new == text or path.write_text(new)\n"
    )
    run(venv, "adapt ROS 2", [str(venv / "bin" / "python"), "-c", program], build_environment())


def build_workspace(venv: Path, ros: Ros, clean: bool) -> None:
    """Builds the messages and links the packages into the environment with colcon."""
    output = venv / "colcon"
    if clean:
        shutil.rmtree(output / "build" / "sac_interfaces", ignore_errors=True)
        for stale in [*venv.glob("*/sac_interfaces*"), *venv.glob("lib/python3*/site-packages/sac_interfaces*")]:
            shutil.rmtree(stale) if stale.is_dir() and not stale.is_symlink() else stale.unlink()
    environment = build_environment()
    paths = [str(venv), *ros.prefixes] if ros.from_wheels else ros.prefixes
    environment["PATH"] = f"{venv / 'bin'}{os.pathsep}{environment['PATH']}"
    environment["AMENT_PREFIX_PATH"] = os.pathsep.join(paths)
    environment["CMAKE_PREFIX_PATH"] = os.pathsep.join(paths)
    environment["LD_LIBRARY_PATH"] = os.pathsep.join([f"{venv}/lib"] if ros.from_wheels else ros.libraries)
    if ros.python_paths:
        environment["PYTHONPATH"] = os.pathsep.join(ros.python_paths)
    command = [str(venv / "bin" / "colcon"), "--log-base", str(output / "log"), "build", "--base-paths", "src"]
    command += ["--merge-install", "--symlink-install", "--install-base", str(venv)]
    command += ["--build-base", str(output / "build"), "--event-handlers", "console_direct+", "--cmake-args"]
    command += ["-DBUILD_TESTING=OFF", "-DCMAKE_BUILD_TYPE=Release", f"-DPython3_EXECUTABLE={venv}/bin/python"]
    run(venv, "build the messages and link the packages (1 minute)", command, environment, WORKSPACE)
    for package in PACKAGES:
        for path in (venv / "share" / package).rglob("*"):
            if path.is_symlink() and not path.exists():
                path.unlink()  # a launch file or settings that the repository no longer has


def write_links(venv: Path, ros: Ros) -> None:
    """Puts the packages on the path of the environment's Python and records what a process needs to use ROS."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site_packages = venv / "lib" / version / "site-packages"
    lines = [str(ROOT / "src" / package) for package in PACKAGES]
    lines += [str(venv / "colcon" / "build" / package) for package in PACKAGES]  # entry points: *.egg-info
    (site_packages / "rosac.pth").write_text("\n".join([*lines, *ros.python_paths]) + "\n")
    record = {"distribution": ros.distribution, "source": ros.source, "prefixes": ros.prefixes}
    record |= {"libraries": ros.libraries, "python_paths": ros.python_paths, "site_packages": str(site_packages)}
    write_atomically(venv / RECORD_NAME, record)


def set_up(venv: Path) -> None:
    """Brings the environment up to date: from nothing, only the workspace, or not at all."""
    setup_checks.check_python_version()
    ros = setup_checks.find_ros(venv)
    stamp = read_stamp(venv)
    wanted = {"environment": environment_inputs(venv, ros), "workspace": workspace_inputs()}
    described = f"ROS 2 {wanted['environment']['ROS 2']}, Python {sys.version.split()[0]}"
    if stamp == wanted:
        print(f"setup: {venv.name} is up to date ({described})")
        return
    setup_checks.check_system(ros)
    check_own(venv)
    if stamp.get("environment") != wanted["environment"]:
        if stamp:
            print(f"setup: rebuilding {venv.name}: {difference(stamp['environment'], wanted['environment'])}")
        elif venv.exists():
            print(f"setup: rebuilding {venv.name}: an earlier set-up did not finish")
        create_environment(venv, ros)
        stamp = {"environment": wanted["environment"]}
    elif stamp.get("workspace"):
        print(f"setup: rebuilding the workspace: {difference(stamp['workspace'], wanted['workspace'])}")
    clean = stamp.pop("workspace", {}).get("messages") != wanted["workspace"]["messages"]
    write_atomically(venv / STAMP_NAME, stamp)
    build_workspace(venv, ros, clean)
    write_links(venv, ros)
    write_atomically(venv / STAMP_NAME, wanted)
    print(f"setup: {venv.name} is ready ({described})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="where the environment is made")
    parser.add_argument("--clean", action="store_true", help="remove the environment instead")
    arguments = parser.parse_args()
    if sys.prefix != sys.base_prefix:  # inside a virtual environment, perhaps the one to be rebuilt
        os.execv(sys._base_executable, [sys._base_executable, *sys.argv])
    venv = (ROOT / arguments.venv).absolute()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lock = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: waiting for another set-up of this repository", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        remove_environment(venv) if arguments.clean else set_up(venv)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; the next `make setup` does the rest", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
