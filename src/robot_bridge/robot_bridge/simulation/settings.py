"""Settings of the simulated robots. Importing this does not load MuJoCo."""

from __future__ import annotations

import dataclasses

from rosac_common.settings import SettingsError, setting

from robot_bridge.simulation.terrain import TERRAINS


@dataclasses.dataclass(frozen=True)
class MinitaurRandomSettings:
    """The block `simulation.minitaur.random`: lowest and highest of each draw of MinitaurWalkRandomDynamics. Both the
    same switch a draw off. Ranges: bullet3, minitaur_env_randomizer_config.py.
    """

    body_mass: list[float] = setting(
        [0.8, 1.2], "times the mass of chassis and frames (bullet3: mass)", minimum=0.1, maximum=10.0
    )
    leg_mass: list[float] = setting(
        [0.8, 1.2],
        "times the mass of all that turns on the motors: rotors and links (bullet3: mass)",
        minimum=0.1,
        maximum=10.0,
    )
    inertia: list[float] = setting(
        [0.5, 1.5], "times the inertia, each body by itself (bullet3: inertia)", minimum=0.1, maximum=10.0
    )
    motor_strength: list[float] = setting(
        [0.8, 1.2],
        "times the torque, each motor by itself; of servos the position gain (bullet3: motor strength); at 2 servos on "
        "light legs diverge, at 4 direct drives do not stand (own measurement)",
        minimum=0.0,
        maximum=1.5,
    )
    voltage_v: list[float] = setting(
        [14.0, 16.8],
        "of the battery, in place of simulation.minitaur.voltage_v; not with servos [V] (bullet3: battery)",
        minimum=1.0,
        maximum=50.0,
    )
    viscous_v_s: list[float] = setting(
        [0.0, 0.05],
        "of the motors, adds to their back-EMF; not with servos [V s/rad] (bullet3: motor friction)",
        minimum=0.0,
        maximum=1.0,
    )
    foot_friction: list[float] = setting(
        [0.5, 1.25],
        "of all lower links; 1 otherwise (bullet3: lateral friction); below 0.01 the physics may diverge, without any "
        "it does (own measurement)",
        minimum=0.02,
        maximum=10.0,
    )
    knee_friction_nm: list[float] = setting(
        [0.0, 0.05], "of all knees; 0 otherwise [Nm] (bullet3: joint friction)", minimum=0.0, maximum=1.0
    )
    sensor_latency_s: list[float] = setting(
        [0.0, 0.04], "in place of simulation.minitaur.sensor_latency_s [s] (bullet3: latency)", minimum=0.0, maximum=0.1
    )

    def __post_init__(self) -> None:
        problems = [
            f"simulation.minitaur.random.{field.name} is {ends}: give the lowest and the highest value, such as "
            f"{field.default_factory()}; both the same switch this draw off"
            for field in dataclasses.fields(self)
            if len(ends := getattr(self, field.name)) != 2 or ends[0] > ends[1]
        ]
        if problems:
            raise SettingsError("; ".join(problems))


@dataclasses.dataclass(frozen=True)
class MinitaurSettings:
    """The block `simulation.minitaur`. Figures: bulletphysics/bullet3, pybullet_envs/minitaur."""

    figures: str = setting(
        "identified",
        "identified: 7.47 kg, as measured on a robot (minitaur_rainbow_dash.urdf); default: 6 kg (minitaur.urdf)",
        choices=("identified", "default"),
    )
    terrain: str = setting("flat", "ground in front of the robot (arXiv 1812.05905 learns on flat)", choices=TERRAINS)
    terrain_seed: int = setting(0, "places the blocks of terrain blocks", minimum=0)
    voltage_v: float = setting(16.0, "of the battery [V] (minitaur.py)", minimum=1.0, maximum=50.0)
    motor_kp: float = setting(
        1.0, "position gain, in parts of the full duty cycle [1/rad] (minitaur_extended_env.py)", minimum=0.0
    )
    motor_kd: float = setting(
        0.015, "velocity gain, in parts of the full duty cycle [s/rad] (minitaur_extended_env.py)", minimum=0.0
    )
    thermal_cutout: bool = setting(True, "more than 2.45 Nm for more than 1 s switches a motor off (minitaur.py)")
    pd_latency_s: float = setting(
        0.003,
        "age of what the motors' PD loop measures [s] (minitaur_extended_env.py)",
        minimum=0.0,
        maximum=0.02,
    )
    sensor_latency_s: float = setting(
        0.02,
        "age of joints and inertial sensor when they are read [s]; the odometry has none, it is for the reward "
        "(control_latency of minitaur_extended_env.py)",
        minimum=0.0,
        maximum=0.1,
    )
    position_noise_rad: float = setting(0.0, "standard deviation [rad] (minitaur.py)", minimum=0.0)
    velocity_noise_rad_s: float = setting(0.0, "standard deviation [rad/s] (minitaur.py)", minimum=0.0)
    torque_noise_nm: float = setting(0.0, "standard deviation [Nm] (minitaur.py)", minimum=0.0)
    orientation_noise_rad: float = setting(0.0, "standard deviation about each axis [rad] (minitaur.py)", minimum=0.0)
    rate_noise_rad_s: float = setting(0.0, "standard deviation about each axis [rad/s] (minitaur.py)", minimum=0.0)
    random: MinitaurRandomSettings = dataclasses.field(default_factory=MinitaurRandomSettings)


@dataclasses.dataclass(frozen=True)
class SimulationSettings:
    """The block `simulation`: what a simulated robot adds to ideal sensors and motors."""

    action_latency_s: float = setting(
        0.0,
        "time from command to motors, rounded to physics steps [s]; 0 as in ROBEL's simulation",
        minimum=0.0,
        maximum=1.0,
    )
    observation_noise: float = setting(
        0.0,
        "uniform sensor noise, full width as a part of each joint's range; 0 until randomised, then ROBEL's 0.05",
        minimum=0.0,
        maximum=1.0,
    )
    speed_stop_rad_s: float = setting(
        15.0,
        "counts in place of a lower robot.safety.speed_stop_rad_s [rad/s]: ROBEL's actuators know no top speed; own "
        "measurement under wild random actions: up to 12.4 with random dynamics, 2.8 without",
        minimum=0.01,
    )
    minitaur: MinitaurSettings = dataclasses.field(default_factory=MinitaurSettings)
