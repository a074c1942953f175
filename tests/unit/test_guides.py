"""docs/adding-a-robot.md and docs/adding-a-task.md, followed with a third robot: an arm that sinks without torque."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from helpers import arm
from helpers.recorder import Recorder
from robot_bridge.gate_types import GateState
from robot_bridge.simulation import make_simulation
from robot_bridge.simulation.settings import SimulationSettings
from sac_learner.graph.stacks import STACKS, complete_arguments, resolve
from stable_baselines3.common.env_checker import check_env as sb3_check
from valve_task.machine import StepMachine
from valve_task.machine_io import GateView, Phase

POSE = np.array(arm.VARIANT.reset_pose_rad)
TOLERANCE_RAD = np.radians(5.0)


@pytest.fixture(autouse=True)
def installed(monkeypatch, tmp_path):
    arm.install(monkeypatch, tmp_path / "prefix")


def test_its_environment_passes_both_checkers():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*A Box observation space m(in|ax)imum value is")
        environment = gymnasium.make("rosac/ArmReach-v0", disable_env_checker=True).unwrapped
        gymnasium_check(environment, skip_render_check=True)
        sb3_check(environment)


def test_its_resets_keep_all_joints_under_torque_and_reach_the_pose(monkeypatch):
    written = []
    write = arm.ArmSimulation.write
    monkeypatch.setattr(
        arm.ArmSimulation,
        "write",
        lambda robot, goals, torque_on: written.append(torque_on.copy()) or write(robot, goals, torque_on),
    )
    environment = gymnasium.make("rosac/ArmReach-v0", disable_env_checker=True).unwrapped
    rng = np.random.default_rng(0)
    environment.reset(seed=0)
    for _ in range(3):
        ended = False
        while not ended:
            *_, ended, _ = environment.step(rng.uniform(-1, 1, 6).astype(np.float32))
        observation, info = environment.reset()
        assert observation[:6] == pytest.approx(POSE, abs=TOLERANCE_RAD)
        assert info["reset_attempts"] == 1
    assert len(written) > 3 * 20
    assert np.all(written)


def test_its_stack_starts_from_the_same_files_and_its_task_node_holds_it_too(tmp_path):
    stack = STACKS["arm_reach"]
    graph = resolve(stack, complete_arguments(stack, {}), "r", tmp_path / "r")
    settings, environment = graph.parameters["task"], gymnasium.make("rosac/ArmReach-v0").unwrapped
    assert graph.parameters["learner"].observation_size == environment.observation_space.shape[0]
    out = Recorder()
    machine = StepMachine(settings, out, lambda: 0.0, "session")
    assert machine.task.variant == environment.task.variant
    assert machine.task.horizon_steps == 20  # as the task file says, where the table has 40
    assert settings.reset.pose_time_s == environment._reset_settings.pose_time_s == 4.0

    simulation = make_simulation(settings.robot, SimulationSettings(), seed=0, epoch_ns=0)
    machine.on_state(simulation.read())
    machine.on_gate(GateView(int(GateState.ARMED), (), ()))
    while machine.phase is Phase.RESETTING:
        _, goals_rad, torque_on = out.commands[-1]
        assert torque_on.all()
        simulation.write(goals_rad, torque_on)
        simulation.advance(machine.task.control_period_s)
        machine.on_state(simulation.read())
        assert simulation.time_ns < 10e9, machine.reset_progress
    assert out.observations[0].observation[:6] == pytest.approx(POSE, abs=TOLERANCE_RAD)
    assert not out.problems
