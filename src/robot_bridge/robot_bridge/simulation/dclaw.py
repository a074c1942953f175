"""The D'Claw and its valve in MuJoCo, with the dynamics randomisation of ROBEL's RandomDynamics tasks."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from robot_bridge.robot import RobotSettings
from robot_bridge.simulation.dclaw_model import dclaw_mjcf
from robot_bridge.simulation.mujoco_robot import MujocoRobot
from robot_bridge.simulation.settings import SimulationSettings

# ROBEL (google-research/robel) dclaw/base_env.py: ranges that its observation noise is a part of. The valve's velocity
# has no range there, so it has no noise.
_POSITION_RANGES = [2 * 0.48, 2 * math.pi / 3, math.pi] * 3 + [2 * math.pi]
_VELOCITY_RANGES = [4 * math.pi / 3] * 9 + [0.0]
# ROBEL dclaw/turn.py: the pose that an episode starts from.
_START_POSE = [0.0, -math.pi / 3, math.pi / 3] * 3 + [0.0]

# ROBEL dclaw/turn.py, DClawTurnRandomDynamics: low, high.
RANDOM_DAMPING = (0.005, 0.1)
RANDOM_FRICTION_LOSS = (0.001, 0.005)
RANDOM_KP = (1.0, 3.0)
RANDOM_FRICTION = ((0.8, 0.003, 0.00005), (1.2, 0.007, 0.00015))  # slide, spin, roll
RANDOM_MOUNT_SHIFT = (-0.01, 0.01)
RANDOM_COLOUR = (0.2, 0.9)
RANDOM_OBSERVATION_NOISE = 0.05


class DClawSimulation(MujocoRobot):
    """Nine finger joints, then the valve. At valve angle 0 the coloured lobe points to +x, which is right in pictures
    of both cameras, `front` and `top`; angles grow anticlockwise seen from above.

    Args:
        robot: the robot file.
        settings: latency and noise.
        seed: of the sensor noise.
        epoch_ns: robot time at the start [ns].
    """

    def __init__(
        self, robot: RobotSettings, settings: SimulationSettings | None = None, seed: int = 0, epoch_ns: int = 0
    ) -> None:
        super().__init__(
            dclaw_mjcf(robot),
            robot,
            settings or SimulationSettings(),
            position_range_rad=np.array(_POSITION_RANGES),
            velocity_range_rad_s=np.array(_VELOCITY_RANGES),
            start_rad=np.array(_START_POSE),
            seed=seed,
            epoch_ns=epoch_ns,
        )
        self._mount_position = self.model.body("mount").pos.copy()
        self._mount = self.model.body("mount").id
        self._valve = robot.auxiliary_joint_names[0]
        self._valve_kp = robot.auxiliary_kp_nm_rad

    def randomise(self, rng: np.random.Generator) -> None:
        """Draw damping, friction, gains, mount position, colours and turn observation noise on, as ROBEL does.

        Every draw starts from the model's own figures, so that draws do not add up. The coloured lobe keeps its colour
        (it is what the task is about), the valve's motor its gain (ROBEL has none).
        """
        model = self.model
        model.dof_damping[:] = rng.uniform(*RANDOM_DAMPING, model.nv)
        model.dof_frictionloss[:] = rng.uniform(*RANDOM_FRICTION_LOSS, model.nv)
        model.geom_friction[:] = rng.uniform(*RANDOM_FRICTION)
        model.body_pos[self._mount] = self._mount_position + rng.uniform(*RANDOM_MOUNT_SHIFT, 3)
        for name in ("palm", f"{self._valve}_hub", f"{self._valve}_lobe1", f"{self._valve}_lobe2"):
            model.geom(name).rgba[:3] = rng.uniform(*RANDOM_COLOUR, 3)
        self.set_gains(np.concatenate([np.full(9, rng.uniform(*RANDOM_KP)), self._valve_kp]))
        self.observation_noise = RANDOM_OBSERVATION_NOISE

    def fingertips_m(self) -> np.ndarray:
        """Positions (3, 3) of the fingertips in the world [m]."""
        fingers = [name.rsplit("_", 1)[0] for name in self._robot.joint_names[::3]]
        return self.site_position_m([f"{finger}_tip" for finger in fingers])

    def mark_target(self, angle_rad: float) -> None:
        """Turn the green mark on the floor to the angle that the coloured lobe should have."""
        self.model.body("target").quat[:] = [math.cos(angle_rad / 2), 0.0, 0.0, math.sin(angle_rad / 2)]
        mujoco.mj_kinematics(self.model, self.data)  # pictures show what that places, else with the next step only
