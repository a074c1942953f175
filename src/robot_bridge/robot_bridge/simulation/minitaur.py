"""The Minitaur in MuJoCo: direct-drive motors or position servos, sensors with latency and noise, random dynamics."""

from __future__ import annotations

import mujoco
import numpy as np
from rosac_common.settings import SettingsError

from robot_bridge.backend import Flags, RobotHealth, RobotState, Vector
from robot_bridge.body_state import BodyState
from robot_bridge.leg_kinematics import LEGS, motor_angles, swing_extension
from robot_bridge.robot import RobotSettings
from robot_bridge.simulation.minitaur_model import FIGURES, FOOT_RADIUS, TIME_STEP_S, minitaur_mjcf
from robot_bridge.simulation.motor_model import History, MotorModel
from robot_bridge.simulation.mujoco_robot import MujocoRobot
from robot_bridge.simulation.settings import SimulationSettings
from robot_bridge.simulation.terrain import ground_mjcf

# bullet3, minitaur_reactive_env.py: swing 0 and extension 2 rad are where actions start from.
START_EXTENSION_RAD = 2.0

# Bit of the hardware error register of Dynamixel servos that means overheating; the safety gate knows it.
_OVERHEATED = np.uint8(0x04)

# Places in a row of the history: position, velocity, torque of the motors; quaternion, rates, acceleration of the body.
_POSITION, _VELOCITY, _TORQUE = slice(0, 8), slice(8, 16), slice(16, 24)
_QUATERNION, _RATES, _ACCELERATION = slice(24, 28), slice(28, 31), slice(31, 34)
_ROW = 34
# The model has the joints in the robot's order, each motor's before its knee's, after the body's: slices are views,
# which are faster than lists of places.
_MOTORS_QPOS, _MOTORS_QVEL = slice(7, None, 2), slice(6, None, 2)


class MinitaurSimulation(MujocoRobot):
    """Eight motors on four five-bar legs. It starts at the origin, faces +x and stands.

    A robot file with servos (`robot.servos`) gets position servos of gain `robot.kp_nm_rad`, one without direct-drive
    motors (:class:`MotorModel`).

    Args:
        robot: the robot file.
        settings: latency, noise, motors, ground.
        seed: of the sensor noise.
        epoch_ns: robot time at the start [ns].

    Raises:
        SettingsError: noise for which this robot has another setting.
    """

    def __init__(
        self, robot: RobotSettings, settings: SimulationSettings | None = None, seed: int = 0, epoch_ns: int = 0
    ) -> None:
        settings = settings or SimulationSettings()
        own = settings.minitaur
        if settings.observation_noise:
            raise SettingsError(
                f"simulation.observation_noise is {settings.observation_noise:g}; this robot's noise is set by "
                "simulation.minitaur.position_noise_rad and its neighbours: leave it 0"
            )
        self._own = own
        self._figures = FIGURES[own.figures]
        self._sensor_latency_s = own.sensor_latency_s
        oldest_s = max(own.sensor_latency_s, own.pd_latency_s, own.random.sensor_latency_s[1])
        self._history = History(_ROW, oldest_s, TIME_STEP_S)
        self._row = np.zeros(_ROW)
        self._goals = np.zeros(8)
        self.motors: MotorModel | None = None
        if not robot.servos.present:
            self.motors = MotorModel(8, own.motor_kp, own.motor_kd, TIME_STEP_S, own.thermal_cutout)
            self.motors.voltage_v = own.voltage_v
        super().__init__(
            minitaur_mjcf(robot, self._figures, ground_mjcf(own.terrain, own.terrain_seed)),
            robot,
            settings,
            position_range_rad=np.zeros(8),
            velocity_range_rad_s=np.zeros(8),
            start_rad=motor_angles(np.zeros(4), np.full(4, START_EXTENSION_RAD)),
            seed=seed,
            epoch_ns=epoch_ns,
        )
        self._own_mass, self._own_inertia = self.model.body_mass.copy(), self.model.body_inertia.copy()

    def read(self) -> RobotState:
        """Joints and body as the sensors see them now, late and with noise; the odometry is prompt and exact. Each call
        draws noise anew."""
        row, own = self._history.at(self._sensor_latency_s), self._own
        deviations = (own.position_noise_rad, own.velocity_noise_rad_s, own.torque_noise_nm)
        for part, deviation in zip((_POSITION, _VELOCITY, _TORQUE), deviations, strict=True):
            if deviation > 0:
                row[part] += self._rng.normal(0.0, deviation, 8)
        if own.rate_noise_rad_s > 0:
            row[_RATES] += self._rng.normal(0.0, own.rate_noise_rad_s, 3)
        quaternion = row[_QUATERNION] / np.linalg.norm(row[_QUATERNION])
        if own.orientation_noise_rad > 0:
            mujoco.mju_quatIntegrate(quaternion, self._rng.normal(0.0, own.orientation_noise_rad, 3), 1.0)
        # The odometry's. A free body's velocity is in the world's frame, its rates are in its own.
        qpos, qvel = self.data.qpos.copy(), self.data.qvel.copy()
        back, velocity = np.zeros(4), np.zeros(3)
        mujoco.mju_negQuat(back, qpos[3:7])
        mujoco.mju_rotVecQuat(velocity, qvel[:3], back)
        body = BodyState(
            self.time_ns,
            quaternion,
            row[_RATES],
            row[_ACCELERATION],
            qpos[:3],
            velocity,
            odometry_quaternion=qpos[3:7],
            odometry_rates_rad_s=qvel[3:6],
        )
        return RobotState(self.time_ns, row[_POSITION], row[_VELOCITY], row[_TORQUE], body=body)

    def poll_health(self) -> RobotHealth | None:
        """Which motors their heat has switched off. Neither temperature nor the time of a reading is simulated."""
        if self.motors is None:
            return None
        unknown = np.full(8, np.nan)
        errors = np.where(self.motors.cut_out, _OVERHEATED, np.uint8(0))
        return RobotHealth(unknown, np.full(8, self.motors.voltage_v), errors, unknown)

    def recover(self) -> None:
        """Back on its mark, with all motors cold and on again."""
        self.put_back()

    def put_back(self) -> None:
        """Back on its mark, standing and at rest, as a person would put it. Torque stays as it is; time goes on."""
        self.set_state(self._start_rad)

    def set_state(self, position_rad: Vector, velocity_rad_s: Vector | None = None) -> None:
        """Put the robot on its mark with its motors there, with no command pending. Time goes on.

        Args:
            position_rad: (joints,), inside the legs' workspace.
            velocity_rad_s: (joints,), or None: at rest.
        """
        super().set_state(position_rad, velocity_rad_s)
        if self.motors is not None:
            self.motors.cool_down()
        self._history.fill(self._measured())

    def randomise(self, rng: np.random.Generator) -> None:
        """Draw masses, inertias, motors, friction and latency anew, as bullet3's randomiser does, in the ranges of
        `simulation.minitaur.random`. Servos get a gain of their own in place of the motors' strength, battery and
        viscosity.

        Every draw starts from the model's own figures, so that draws do not add up. A draw that is switched off uses up
        its random number all the same: the others stay what they are. The control period is the task's and stays.
        """
        model, ranges = self.model, self._own.random
        of_body = np.arange(model.nbody) == model.body("chassis").id
        scale = np.where(of_body, rng.uniform(*ranges.body_mass), rng.uniform(*ranges.leg_mass))
        model.body_mass[:] = self._own_mass * scale
        model.body_inertia[:] = self._own_inertia * rng.uniform(*ranges.inertia, (model.nbody, 1))
        feet = [model.geom(f"{leg}_{half}_lower").id for leg in LEGS for half in ("rear", "front")]
        model.geom_friction[feet, 0] = rng.uniform(*ranges.foot_friction)
        model.dof_frictionloss[self._knee_dofs()] = rng.uniform(*ranges.knee_friction_nm)
        self._sensor_latency_s = rng.uniform(*ranges.sensor_latency_s)
        strength = rng.uniform(*ranges.motor_strength, 8)
        if self.motors is None:
            self.set_gains(strength * self._robot.kp_nm_rad)
        else:
            self.motors.strength = strength
            self.motors.viscous_v_s = rng.uniform(*ranges.viscous_v_s)
            self.motors.voltage_v = rng.uniform(*ranges.voltage_v)
        mujoco.mj_setConst(model, mujoco.MjData(model))

    def foot_contacts(self) -> Flags:
        """Which legs (4,) touch the ground."""
        halves = [(i, f"{leg}_{half}_lower") for i, leg in enumerate(LEGS) for half in ("rear", "front")]
        lower = {self.model.geom(name).id: i for i, name in halves}
        touching = np.zeros(4, dtype=bool)
        for geom in self.data.contact.geom.ravel():
            if int(geom) in lower:
                touching[lower[int(geom)]] = True
        return touching

    def figures(self) -> dict[str, object]:
        cut_out = 0 if self.motors is None else int(self.motors.cut_out.sum())
        return {"motors_cut_out": cut_out}

    def _knee_dofs(self) -> list[int]:
        return [int(self.model.joint(f"{leg}_{half}_knee").dofadr[0]) for leg in LEGS for half in ("rear", "front")]

    def _place(self, position_rad: Vector) -> None:
        """Knees where the motors put them, the body upright over its mark, the lowest foot on the ground."""
        swing, extension = swing_extension(np.asarray(position_rad))
        knees = self._figures.leg.knees(swing, extension)
        for i, leg in enumerate(LEGS):
            self.data.joint(f"{leg}_rear_knee").qpos = knees.rear_rad[i]
            self.data.joint(f"{leg}_front_knee").qpos = knees.front_rad[i]
        self.data.qpos[:7] = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
        mujoco.mj_kinematics(self.model, self.data)
        toes = self.site_position_m([f"{leg}_rear_toe" for leg in LEGS])
        self.data.qpos[2] = FOOT_RADIUS - toes[:, 2].min()

    def _aim(self, goals_rad: Vector) -> None:
        self._goals = np.array(goals_rad)
        if self.motors is None:
            super()._aim(goals_rad)

    def _switch(self, torque_on: Flags) -> None:
        if self.motors is None:
            super()._switch(torque_on)
            return
        self._torque_on = torque_on
        self.data.ctrl[self._actuator[~torque_on]] = 0.0
        self.data.actuator_force[self._actuator[~torque_on]] = 0.0

    def _integrate(self, steps: int) -> None:
        data, motors, velocity = self.data, self.motors, self.data.qvel[_MOTORS_QVEL]
        for _ in range(steps):
            if motors is not None:
                seen = self._history.at(self._own.pd_latency_s)
                duty = motors.duty(self._goals, seen[_POSITION], seen[_VELOCITY])
                data.ctrl[:] = motors.torque_nm(duty, velocity, self._torque_on)
            self._limit_effort()
            mujoco.mj_step(self.model, data)
            self._history.add(self._measured())

    def _measured(self) -> Vector:
        """The row of the history for now."""
        row, data = self._row, self.data
        row[_POSITION] = data.qpos[_MOTORS_QPOS]
        row[_VELOCITY] = data.qvel[_MOTORS_QVEL]
        row[_TORQUE] = data.actuator_force
        row[_QUATERNION] = data.qpos[3:7]
        row[_RATES] = data.qvel[3:6]
        row[_ACCELERATION] = data.sensordata
        return row
