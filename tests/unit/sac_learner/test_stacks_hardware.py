"""Arguments backend and port: what follows from them, and which combinations are refused with the remedy."""

from pathlib import Path

import pytest
from rosac_common.settings import SettingsError
from sac_learner.graph.stacks import STACKS, Graph, complete_arguments, resolve

STACK = STACKS["dclaw_valve"]


def graph(tmp_path: Path, **given: str) -> Graph:
    return resolve(STACK, complete_arguments(STACK, given), "r", tmp_path / "r")


def test_a_simulation_runs_in_lockstep_and_arms_itself(tmp_path: Path) -> None:
    bridge = graph(tmp_path).parameters["bridge"]
    assert (bridge.backend, bridge.bus.port, bridge.time_base, bridge.auto_arm) == ("mujoco", "", "lockstep", True)


def test_the_emulator_runs_in_lockstep_and_arms_itself(tmp_path: Path) -> None:
    made = graph(tmp_path, backend="dynamixel", port="emulator").parameters
    bridge = made["bridge"]
    assert (bridge.bus.port, bridge.time_base, bridge.auto_arm) == ("emulator", "lockstep", True)
    assert made["task"].time_base == "lockstep"


def test_the_emulator_runs_in_real_time_if_asked(tmp_path: Path) -> None:
    given = {"backend": "dynamixel", "port": "emulator", "time_base": "realtime"}
    assert graph(tmp_path, **given).parameters["bridge"].time_base == "realtime"


def test_a_real_port_is_real_time_and_armed_by_a_person(tmp_path: Path) -> None:
    made = graph(tmp_path, backend="dynamixel", port="/dev/ttyUSB0").parameters
    bridge = made["bridge"]
    assert (bridge.bus.port, bridge.time_base, bridge.auto_arm) == ("/dev/ttyUSB0", "realtime", False)
    assert made["task"].time_base == "realtime"


def test_motors_that_wear_are_spared_at_first(tmp_path: Path) -> None:
    walking = STACKS["minitaur_walk"]
    own = tmp_path / "servos.yaml"
    own.write_text((Path(__file__).parents[3] / "config/robots/minitaur_servos.yaml").read_text())
    for port, episodes in (("emulator", 0), ("/dev/ttyUSB0", 50)):
        given = {"backend": "dynamixel", "port": port, "params": str(own)}
        made = resolve(walking, complete_arguments(walking, given), "r", tmp_path / "r")
        assert made.parameters["task"].task.walk.smoothing_episodes == episodes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "dynamixel"}, "there is no port: give /dev/ttyUSB0, or emulator"),
        ({"port": "/dev/ttyUSB0"}, "bus.port is /dev/ttyUSB0, but backend is mujoco: use backend dynamixel"),
        (
            {"backend": "dynamixel", "port": "/dev/ttyUSB0", "time_base": "lockstep"},
            "time does not wait for /dev/ttyUSB0: use realtime",
        ),
    ],
)
def test_combinations_that_cannot_work_are_refused(tmp_path: Path, given: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        graph(tmp_path, **given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("auto_arm: true", "the robot on /dev/ttyUSB0 is armed by a person"),
        ("state_rate_hz: 20.0", "would trip the servos' bus watchdog of 0.08 s .* give at least 25"),
    ],
)
def test_own_parameters_cannot_make_a_robot_unsafe(tmp_path: Path, text: str, message: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"/**/bridge:\n  ros__parameters:\n    {text}\n")
    with pytest.raises(SettingsError, match=message):
        graph(tmp_path, backend="dynamixel", port="/dev/ttyUSB0", params=str(own))
