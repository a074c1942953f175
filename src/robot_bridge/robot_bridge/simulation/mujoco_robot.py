"""A robot made of a MuJoCo model: position servos, sensor noise, action latency, robot time. Knows no robot's name."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import mujoco
import numpy as np
import numpy.typing as npt

from robot_bridge.backend import BackendError, Flags, RobotState, Vector
from robot_bridge.robot import RobotSettings
from robot_bridge.simulation.rendering import OffscreenRenderer, RenderingUnavailable
from robot_bridge.simulation.settings import SimulationSettings


class MujocoRobot:
    """Steps a MuJoCo model whose hinges and position actuators are named as the robot's joints.

    Joint vectors have the order of `RobotSettings.all_joint_names`. Robot time starts at an epoch, advances with the
    physics and never goes back, also when the state is set.

    Args:
        mjcf: the model.
        robot: the robot file.
        settings: latency and noise.
        position_range_rad, velocity_range_rad_s: widths (joints,) that sensor noise is a part of; 0 = no noise.
        start_rad: positions at the start (joints,).
        seed: of the sensor noise.
        epoch_ns: robot time at the start [ns].
    """

    def __init__(
        self,
        mjcf: str,
        robot: RobotSettings,
        settings: SimulationSettings,
        *,
        position_range_rad: Vector,
        velocity_range_rad_s: Vector,
        start_rad: Vector,
        seed: int,
        epoch_ns: int = 0,
    ) -> None:
        self.model = mujoco.MjModel.from_xml_string(mjcf)
        # Without this MuJoCo answers a diverged state by silently starting anew.
        self.model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        self.data = mujoco.MjData(self.model)
        self._robot = robot
        self._qpos = np.array([self.model.joint(name).qposadr[0] for name in robot.all_joint_names])
        self._qvel = np.array([self.model.joint(name).dofadr[0] for name in robot.all_joint_names])
        self._actuator = np.array([self.model.actuator(name).id for name in robot.all_joint_names])
        self.time_step_s = float(self.model.opt.timestep)
        self._step_ns = round(self.time_step_s * 1e9)
        self._epoch_ns = epoch_ns
        self._steps = 0
        self._latency_steps = round(settings.action_latency_s / self.time_step_s)
        self._pending: collections.deque[tuple[int, Vector, Flags]] = collections.deque()
        self._kp = self.model.actuator_gainprm[self._actuator, 0].copy()
        self._torque_on = np.zeros(len(self._actuator), dtype=bool)
        self._limits: tuple[Vector, Vector] | None = None
        self.observation_noise = settings.observation_noise
        self._position_range = position_range_rad
        self._velocity_range = velocity_range_rad_s
        self._rng = np.random.default_rng(seed)
        self._start_rad = np.array(start_rad)
        self._renderer: OffscreenRenderer | None = None
        self.open()

    def open(self) -> None:
        """Start pose, at rest, torque off. Time goes on from where it was."""
        self.set_state(self._start_rad)
        self._switch(np.zeros_like(self._torque_on))

    def close(self) -> None:
        """Torque off."""
        self._pending.clear()
        self._switch(np.zeros_like(self._torque_on))
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    @property
    def time_ns(self) -> int:
        """Robot time [ns], exact."""
        return self._epoch_ns + self._steps * self._step_ns

    def read(self) -> RobotState:
        """Joint positions, velocities (both with sensor noise) and motor torques now. Each call draws noise anew."""
        position = self.data.qpos[self._qpos]
        velocity = self.data.qvel[self._qvel]
        if self.observation_noise > 0:
            draws = self._rng.uniform(-0.5, 0.5, (2, len(position))) * self.observation_noise
            position += draws[0] * self._position_range
            velocity += draws[1] * self._velocity_range
        return RobotState(self.time_ns, position, velocity, self.data.actuator_force[self._actuator])

    def write(self, goals_rad: Vector, torque_on: Flags) -> None:
        """Position goals [rad] and torque per joint. Takes effect after the action latency; torque off at once."""
        off = self._torque_on & ~torque_on
        if off.any():
            self._switch(self._torque_on & torque_on)
            for _, _, pending in self._pending:
                pending &= torque_on
        self._pending.append((self._steps + self._latency_steps, np.array(goals_rad), np.array(torque_on)))
        self._apply_due()

    def poll_health(self) -> None:
        """Simulated motors have no temperature."""

    def recover(self) -> None:
        """Nothing that happens to it outlasts a stop."""

    def figures(self) -> dict[str, object]:
        """There is no connection to speak of."""
        return {}

    def advance(self, duration_s: float) -> None:
        """Advance the physics.

        Args:
            duration_s: a whole number of physics steps [s].

        Raises:
            BackendError: not a whole number of physics steps, or the physics diverged.
        """
        remaining = round(duration_s / self.time_step_s)
        if remaining < 0 or abs(remaining * self.time_step_s - duration_s) > 1e-9:
            raise BackendError(
                f"cannot advance by {duration_s} s: choose a multiple of the physics step, {self.time_step_s} s"
            )
        end = self._steps + remaining
        while self._steps < end:
            until = min(end, self._pending[0][0]) if self._pending else end
            self._integrate(until - self._steps)
            self._steps = until
            self._apply_due()
        if not np.isfinite(self.data.qpos).all():
            raise BackendError(
                "the physics diverged (a position is not finite): lower gains or speeds, or report the model"
            )

    def set_state(self, position_rad: Vector, velocity_rad_s: Vector | None = None) -> None:
        """Put all joints there, with no command pending. Time goes on.

        Args:
            position_rad: (joints,).
            velocity_rad_s: (joints,), or None: at rest.
        """
        self._pending.clear()
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._qpos] = position_rad
        self.data.qvel[self._qvel] = 0.0 if velocity_rad_s is None else velocity_rad_s
        self._place(position_rad)
        self._aim(position_rad)
        mujoco.mj_forward(self.model, self.data)

    def set_gains(self, kp_nm_rad: Vector) -> None:
        """Gains of the position servos (joints,) [Nm/rad]."""
        self._kp = np.array(kp_nm_rad)
        self._switch(self._torque_on)

    @property
    def gains_nm_rad(self) -> Vector:
        """Gains of the position servos (joints,) [Nm/rad]."""
        return self._kp.copy()

    def turn_back(self, joint: int, angle_rad: float) -> None:
        """Count a joint's position from elsewhere: whole turns less [rad], at the same place."""
        self.data.qpos[self._qpos[joint]] -= angle_rad

    def set_effort_limits(self, effort_nm: Vector, loss_nm_s: Vector) -> None:
        """The most that each servo gives at rest (joints,) [Nm], and what of it each rad/s takes (joints,) [Nm s]: a
        motor that turns is its own generator."""
        self.model.actuator_forcelimited[self._actuator] = True
        self._limits = np.array(effort_nm), np.array(loss_nm_s)

    def render(self, width: int = 640, height: int = 480, camera: str = "front") -> npt.NDArray[np.uint8]:
        """A picture (height, width, 3) from a camera of the model.

        Raises:
            RenderingUnavailable: the model has no such camera, or there is no OpenGL; the message says what to do.
        """
        known = [self.model.camera(number).name for number in range(self.model.ncam)]
        if camera not in known:
            raise RenderingUnavailable(f"the model has no camera '{camera}', only {known}: put one into its MJCF")
        if self._renderer is None or self._renderer.size != (width, height):
            if self._renderer is not None:
                self._renderer.close()
            self._renderer = OffscreenRenderer(self.model, width, height)
        return self._renderer.render(self.data, camera)

    def site_position_m(self, names: Sequence[str]) -> npt.NDArray[np.float64]:
        """Positions (sites, 3) of named points of the model in the world [m]."""
        return np.array([self.data.site(name).xpos for name in names])

    def _place(self, position_rad: Vector) -> None:
        """Put what else the model has where it belongs with the joints there."""

    def _integrate(self, steps: int) -> None:
        """Physics steps under the same goals."""
        if self._limits is None:
            mujoco.mj_step(self.model, self.data, steps)
            return
        for _ in range(steps):
            self._limit_effort()
            mujoco.mj_step(self.model, self.data)

    def _limit_effort(self) -> None:
        """What motors with limits give at this speed; one without torque gives nothing at any."""
        if self._limits is None:
            return
        effort_nm, loss_nm_s = self._limits
        lost_nm = np.where(self._torque_on, loss_nm_s * self.data.qvel[self._qvel], 0.0)
        self.model.actuator_forcerange[self._actuator, 0] = -effort_nm - lost_nm
        self.model.actuator_forcerange[self._actuator, 1] = effort_nm - lost_nm

    def _aim(self, goals_rad: Vector) -> None:
        """New goals for the motors."""
        self.data.ctrl[self._actuator] = goals_rad

    def _apply_due(self) -> None:
        while self._pending and self._pending[0][0] <= self._steps:
            _, goals, torque = self._pending.popleft()
            self._aim(goals)
            if (torque != self._torque_on).any():
                self._switch(torque)

    def _switch(self, torque_on: Flags) -> None:
        """A servo without torque is one without gain: force = kp * (goal - position)."""
        self._torque_on = torque_on
        gains = np.where(torque_on, self._kp, 0.0)
        self.model.actuator_gainprm[self._actuator, 0] = gains
        self.model.actuator_biasprm[self._actuator, 1] = -gains
        self.data.actuator_force[self._actuator[~torque_on]] = 0.0
