"""The tasks as Gymnasium environments on the simulated robot, in process: the code of the task node without ROS.

Importing this module registers every task as `rosac/<name>-v0`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import gymnasium
import numpy as np
import numpy.typing as npt
from robot_bridge.backend import RobotState
from robot_bridge.loop import check_period
from robot_bridge.robot import RobotSettings, load_robot
from robot_bridge.settings import BridgeSettings
from robot_bridge.simulation import make_simulation
from robot_bridge.simulation.mujoco_robot import MujocoRobot
from robot_bridge.simulation.rendering import RenderingUnavailable
from robot_bridge.simulation.settings import SimulationSettings
from rosac_common.settings import flatten, from_mapping, to_mapping
from rosac_common.transition import EndReason, Source

from valve_task.episode import EpisodeLoop, ResetReport
from valve_task.installed import robot_parameters, task_parameters
from valve_task.reset import ResetPhase
from valve_task.resets import Reset, new_reset
from valve_task.settings import TaskNodeSettings
from valve_task.tasks import TASK_NAMES, make_task, task_file_of

__all__ = ["RenderingUnavailable", "ResetFailedError", "RobotTaskEnv"]

T = TypeVar("T")

# Resets in a row in which a motor switches itself off, before one is given up. Source: own choice; of 17,000 resets of
# MinitaurWalkRandomDynamics two had one.
_RESETS = 5

_AFRESH = "call reset(seed=...) to start the simulation anew"
_FRESH = np.zeros(1, dtype=np.float32)  # in process no reading has an age


def _node_settings(task: str, robot: str | Path | Mapping[str, Any] | None) -> TaskNodeSettings:
    """What the task node would have of the installed files, or of another robot."""
    if robot is None:
        block = robot_parameters(task)
    else:
        values = robot if isinstance(robot, Mapping) else to_mapping(load_robot(Path(robot)))
        block = flatten({"robot": values})
    files = f"config/robots and config/tasks/{task_file_of(task)}.yaml"
    return from_mapping(TaskNodeSettings, {**block, **task_parameters(task)}, files)


def _overlaid(settings: T, changes: Mapping[str, Any] | None, where: str) -> T:
    """Settings with some of them changed."""
    return from_mapping(type(settings), {**to_mapping(settings), **flatten(changes or {})}, where)


def _has_stopped(simulation: MujocoRobot) -> bool:
    """Whether a motor has switched itself off."""
    health = simulation.poll_health()
    return health is not None and bool(health.hardware_error.any())


def _check_simulation(robot: RobotSettings, settings: SimulationSettings, period_s: float) -> None:
    """What a simulation would refuse only in the first reset. To make one takes a few milliseconds.

    Raises:
        SettingsError: there is none of this robot or with these settings, or a control period is no whole number of its
            physics steps.
    """
    simulation = make_simulation(robot, settings, 0, 0)
    check_period(BridgeSettings(robot, settings, control_period_s=period_s), simulation)
    simulation.close()


class ResetFailedError(RuntimeError):
    """The simulated robot could not be brought to the start of an episode. The message names the joints."""


class RobotTaskEnv(gymnasium.Env[npt.NDArray[np.float32], npt.NDArray[np.float32]]):
    """One task on the simulated robot.

    Observations (float32) and actions (float32 in [-1, 1]) are those of the task: docs/tasks.md. Episodes are resets
    and steps of one continuous simulation, as on hardware; only `reset(seed=...)` starts the simulation anew. The
    horizon is a truncation. So is a motor that switches itself off, for that stops a robot on ROS 2, too; the next
    reset recovers it. `info` holds `is_success`, `error` [task.error_unit], whether a motor has `stopped` the episode,
    and each reward term as `reward/<name>`; `robot_time_s` counts the time [s] that a robot would have moved, resets
    included.

    Args:
        name: name of the task, such as DClawTurn.
        task: settings laid over those of the installed task file, which are the stack's, too; such as
            {"horizon_steps": 200}, with the names of `TaskSettings`.
        reset: settings of the reset procedure, likewise; the names of `ResetSettings`.
        simulation: settings of the simulated robot (latency, noise); the names of `SimulationSettings`.
        walk_reset: settings of the reset of a robot that walks, likewise; the names of `WalkResetSettings`.
        robot: another robot than the installed one that the task is made for: a robot file, or the names of
            `RobotSettings`.
        render_mode: None or "rgb_array".
        training: whether somebody learns from it: actions are shaped for that (`Task.shaped`), and only then.

    Raises:
        SettingsError: an unknown name or a bad value.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self,
        name: str,
        task: Mapping[str, Any] | None = None,
        reset: Mapping[str, Any] | None = None,
        simulation: Mapping[str, Any] | None = None,
        walk_reset: Mapping[str, Any] | None = None,
        robot: str | Path | Mapping[str, Any] | None = None,
        render_mode: str | None = None,
        training: bool = True,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is {render_mode!r}; it must be None or 'rgb_array'")
        node = _node_settings(name, robot)
        self._robot = node.robot
        self.task = make_task(_overlaid(node.task, {**(task or {}), "name": name}, "task"), self._robot)
        self._reset_settings = _overlaid(node.reset, reset, "reset")
        self._walk_reset_settings = _overlaid(node.walk_reset, walk_reset, "walk_reset")
        self._simulation_settings = from_mapping(SimulationSettings, simulation or {}, "simulation")
        _check_simulation(self._robot, self._simulation_settings, self.task.control_period_s)
        self._simulation: MujocoRobot | None = None
        self._training = training
        self._loop = EpisodeLoop(self.task, "gymnasium", training)
        self.robot_time_s = 0.0
        joints = len(self._robot.all_joint_names)
        self._goals = np.zeros(joints)
        self._torque_on = np.arange(joints) < len(self._robot.joint_names)
        self.symmetries = self.task.symmetries  # of observation and action, see Task.symmetries
        self.relabelling = self.task.relabelling
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": round(1 / self.task.control_period_s)}
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (self.task.action_size,), np.float32)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self.task.observation_size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Carry out the reset procedure.

        Raises:
            ResetFailedError: the procedure failed.
        """
        super().reset(seed=seed)
        self._loop.abandon()
        if seed is not None:
            self._loop = EpisodeLoop(self.task, "gymnasium", self._training)
        if seed is not None or self._simulation is None:
            self.close()
            noise_seed = int(self.np_random.integers(2**32))
            self._simulation = make_simulation(self._robot, self._simulation_settings, noise_seed, 0)
        state, report = self._brought_to_the_start(self._simulation)
        observation = self._loop.begin(state, _FRESH, report).observation
        info = {"error": self._loop.record.initial_error, "reset_attempts": report.attempts}
        return observation, info

    def _brought_to_the_start(self, simulation: MujocoRobot) -> tuple[RobotState, ResetReport]:
        for _ in range(_RESETS):
            if _has_stopped(simulation):
                simulation.recover()
            if self.task.random_dynamics:
                simulation.randomise(self.np_random)
            state, reset = self._carry_out(simulation)
            if not _has_stopped(simulation):
                break
        else:
            raise ResetFailedError(f"a motor switched itself off in each of {_RESETS} resets; {_AFRESH}")
        if reset.phase is ResetPhase.FAILED:
            raise ResetFailedError(f"{reset.failure}; {_AFRESH}")
        return state, reset.report

    def _carry_out(self, simulation: MujocoRobot) -> tuple[RobotState, Reset]:
        """One reset, with all its attempts, until it is done or has failed."""
        reset = new_reset(self.task, self._robot, self._reset_settings, self._walk_reset_settings, self.np_random)
        state = simulation.read()
        while (command := reset.step(state)) is not None:
            if reset.wants_put_back:
                simulation.put_back()
                reset.put_back_done()
            else:
                simulation.write(command.goals_rad, command.torque_on)
                self._advance(simulation)
            state = simulation.read()
        return state, reset

    def step(
        self, action: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One control step.

        Raises:
            ActionError: the action has the wrong size or is not finite.
            gymnasium.error.ResetNeeded: the episode has ended, or no reset has brought the robot to the start of one.
        """
        if not self._loop.running:
            raise gymnasium.error.ResetNeeded("the episode has ended (or none has begun): call reset() before step()")
        simulation = self._simulation
        goals = self._loop.act(action, Source.POLICY, 0)
        self._goals[: len(goals)] = goals
        simulation.write(self._goals, self._torque_on)
        self._advance(simulation)
        stopped = _has_stopped(simulation)
        if stopped:
            transition = self._loop.end(EndReason.SAFETY_STOP, simulation.read(), goals, _FRESH)
        else:
            transition = self._loop.settle(simulation.read(), goals, _FRESH)
        outcome = self._loop.outcome
        info = {"is_success": self._loop.record.success, "error": outcome.error, "stopped": stopped}
        for name, value in zip(self.task.reward_terms, outcome.terms, strict=True):
            info[f"reward/{name}"] = value
        return (
            transition.next_observation,
            transition.reward,
            transition.end_reason is EndReason.TERMINATED,
            transition.end_reason in (EndReason.TIME_LIMIT, EndReason.SAFETY_STOP),
            info,
        )

    def _advance(self, simulation: MujocoRobot) -> None:
        simulation.advance(self.task.control_period_s)
        self.robot_time_s += self.task.control_period_s

    def render(self) -> npt.NDArray[np.uint8] | None:
        """A picture of the robot, (480, 640, 3), in render_mode "rgb_array"; a green mark is the target of a valve.

        Raises:
            RenderingUnavailable: no camera `front` or no OpenGL for off-screen pictures; the message says what to do.
        """
        if self.render_mode is None or self._simulation is None:
            return None
        observation = self._loop.observation
        marked_rad = None if observation is None else self.task.marked_rad(observation.step)
        if marked_rad is not None:
            self._simulation.mark_target(marked_rad)
        return self._simulation.render()

    @property
    def simulation(self) -> MujocoRobot:
        """The simulated robot, for measurements that no observation holds: contacts, torques, where the body is.

        Raises:
            gymnasium.error.ResetNeeded: `reset` makes the first one.
        """
        if self._simulation is None:
            raise gymnasium.error.ResetNeeded("there is no simulation yet: call reset() first")
        return self._simulation

    def close(self) -> None:
        """Release the renderer. The episode is over; `reset` begins with a new simulation."""
        self._loop.abandon()
        if self._simulation is not None:
            self._simulation.close()
            self._simulation = None


for _name in TASK_NAMES:
    gymnasium.register(f"rosac/{_name}-v0", entry_point="valve_task.env:RobotTaskEnv", kwargs={"name": _name})
