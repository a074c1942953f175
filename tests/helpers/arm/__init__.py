"""A third robot and its task, made by docs/adding-a-robot.md and docs/adding-a-task.md and by nothing else."""

import os
import shutil
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from robot_bridge.simulation import MODELS
from robot_bridge.simulation.mujoco_robot import MujocoRobot
from sac_learner.graph.stacks import STACKS, Stack
from valve_task.tasks import Outcome, Start, Task, Variant
from valve_task.tasks.variants import _TASKS

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]

# Joint, axis, length [m] and mass [kg] of the link after it.
_LINKS = (
    ("base", "0 0 1", 0.1, 0.3),
    ("shoulder", "0 1 0", 0.2, 0.3),
    ("elbow", "0 1 0", 0.2, 0.2),
    ("wrist_1", "0 1 0", 0.05, 0.1),
    ("wrist_2", "0 0 1", 0.05, 0.1),
    ("wrist_3", "0 1 0", 0.05, 0.1),
)


class ArmSimulation(MujocoRobot):
    """Hinges and position servos named as the robot file's joints; its weight pulls at all of them."""

    def __init__(self, robot, settings, seed=0, epoch_ns=0):
        none = np.zeros(len(_LINKS))
        ranges = {"position_range_rad": none, "velocity_range_rad_s": none}
        super().__init__(_mjcf(robot), robot, settings, **ranges, start_rad=none, seed=seed, epoch_ns=epoch_ns)

    def randomise(self, rng):
        self.model.dof_damping[:] = rng.uniform(0.5, 1.5, self.model.nv)


def _mjcf(robot):
    servos = "".join(
        f'<position name="{name}" joint="{name}" kp="{kp}"/>'
        for name, kp in zip(robot.joint_names, robot.kp_nm_rad, strict=True)
    )
    return f"""<mujoco><compiler angle="radian"/><option timestep="0.0025"/>
      <worldbody><camera name="front" pos="0 -1.5 0.6" xyaxes="1 0 0 0 0 1"/>{_link(0.3, *_LINKS)}</worldbody>
      <actuator>{servos}</actuator></mujoco>"""


def _link(height, link, *further):
    name, axis, length, mass = link
    return f"""<body pos="0 0 {height}">
      <joint name="{name}" axis="{axis}" damping="1.0" armature="0.01"/>
      <geom type="capsule" size="0.02" fromto="0 0 0 0 0 {length}" mass="{mass}" contype="0" conaffinity="0"/>
      {_link(length, *further) if further else ""}</body>"""


class ReachTask(Task):
    """Observation: joint positions, errors (target minus position), last action."""

    reward_terms = ("error",)

    @property
    def observation_size(self):
        return 3 * self.action_size

    def draw(self, rng):
        self._target = rng.uniform(self.actions.low_rad, self.actions.high_rad)
        return Start(self.reset_pose_rad, self.reset_pose_rad, None)

    def observe(self, state, step, last_action):
        errors = self._target - state.position_rad
        return np.concatenate([state.position_rad, errors, last_action]).astype(np.float32)

    def error(self, state, step):
        return float(np.abs(self._target - state.position_rad).mean())

    def evaluate(self, state, step, action):
        error = self.error(state, step)
        counts = self._counts(state.position_rad, state.velocity_rad_s)
        return Outcome(-error, (-error,), error, error < self.variant.success_tolerance_rad, False, counts)


VARIANT = Variant(
    robot="arm",
    task_file="arm_reach",
    horizon_steps=40,
    control_period_s=0.05,
    success_tolerance_rad=0.1,
    action_centre_rad=(0.0,) * 6,
    action_half_range_rad=(1.0,) * 6,
    reset_pose_rad=(0.3, 0.8, -1.2, 0.5, 0.2, -0.4),
)


def install(monkeypatch, prefix):
    """The two files, where `make setup` puts those of config/, and a line in each table, as the guides say."""
    (prefix / "share/ament_index/resource_index/packages").mkdir(parents=True)
    (prefix / "share/ament_index/resource_index/packages/sac_learner").touch()
    config = prefix / "share/sac_learner/config"
    shutil.copytree(REPOSITORY / "config", config)
    shutil.copy(HERE / "arm.yaml", config / "robots")
    shutil.copy(HERE / "arm_reach.yaml", config / "tasks")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{prefix}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}")
    monkeypatch.setitem(MODELS, "arm", ("helpers.arm", "ArmSimulation"))
    monkeypatch.setitem(_TASKS, "ArmReach", (ReachTask, VARIANT))
    # what `valve_task.env` does with every line of that table
    spec = EnvSpec("rosac/ArmReach-v0", "valve_task.env:RobotTaskEnv", kwargs={"name": "ArmReach"})
    monkeypatch.setitem(gymnasium.registry, spec.id, spec)
    stack = Stack("arm_reach", "An arm reaches a pose", ("ArmReach",), "ArmReach", default_steps=10_000)
    monkeypatch.setitem(STACKS, stack.name, stack)
