"""MJCF of the Minitaur from primitives, with the ground it walks on. Lengths in m, masses in kg, angles in rad.

Figures: bulletphysics/bullet3, `data/quadruped/minitaur_rainbow_dash.urdf` (identified on the real robot) and
`minitaur.urdf` (default). The default file's inertias are place-holders; here they follow from its shapes. x is
forward, y left, z up. Robot parts touch the ground and not each other.
"""

from __future__ import annotations

import dataclasses
import math

from robot_bridge.leg_kinematics import DEFAULT_LEG, IDENTIFIED_LEG, LEGS, LegGeometry
from robot_bridge.robot import RobotSettings

# Five to a control step of 20 ms. Bullet's minitaur takes 1 to 3.3 ms.
TIME_STEP_S = 0.004
# minitaur.py sets -10; ours is the standard figure.
GRAVITY_M_S2 = 9.81
# ROBEL-SCENES, dclaw/assets/dependencies3xh.xml: of the joints that servos turn.
SERVO_ARMATURE_KG_M2, SERVO_DAMPING_NM_S = 0.001, 0.1

Size = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Part:
    """A rigid part: size of its box (cylinder: diameter, width, diameter), centre of mass in its own frame."""

    size: Size
    mass: float
    centre: Size = (0.0, 0.0, 0.0)
    inertia: Size | None = None  # about the centre of mass [kg m2]; None: that of the shape


@dataclasses.dataclass(frozen=True)
class Figures:
    """One Minitaur. Lower links: the centre of mass lies at `centre` from the knee."""

    leg: LegGeometry
    chassis: Part
    frame: Part
    frame_y: float
    frame_z: float
    motor: Part
    motor_x: float
    motor_y: float  # to both sides of the frame
    upper: Part
    rear: Part
    front: Part

    @property
    def mass(self) -> float:
        """Of the whole robot [kg]."""
        links = self.motor.mass + self.upper.mass
        return self.chassis.mass + 2 * self.frame.mass + 8 * links + 4 * (self.rear.mass + self.front.mass)


# Of the frame the file has mass and inertia only; the box is as long as the motors stand apart.
IDENTIFIED = Figures(
    leg=IDENTIFIED_LEG,
    chassis=Part((0.30, 0.13, 0.087), 3.353, (0.05, 0.0, 0.0), (0.006837, 0.027262, 0.029870)),
    frame=Part((0.475, 0.02, 0.05), 1.32, inertia=(0.004147, 0.040913, 0.041840)),
    frame_y=0.1265,
    frame_z=-0.0185,
    motor=Part((0.085, 0.021, 0.085), 0.072, inertia=(0.000114, 0.000218, 0.000114)),
    motor_x=0.2375,
    motor_y=0.0275,
    upper=Part((0.039, 0.008, 0.129), 0.034, (0.0, 0.0, 0.045), (3.877e-5, 4.220e-5, 3.6e-6)),
    rear=Part((0.017, 0.009, 0.240), 0.086, (0.0, 0.0, 0.12), (3.246e-4, 3.264e-4, 2.2e-6)),
    front=Part((0.017, 0.009, 0.216), 0.072, (0.0, 0.0, 0.1), (2.317e-4, 2.333e-4, 2.0e-6)),
)
DEFAULT = Figures(
    leg=DEFAULT_LEG,
    chassis=Part((0.34, 0.14, 0.07), 3.0),
    frame=Part((0.42, 0.02, 0.05), 0.1),
    frame_y=0.10,
    frame_z=0.0,
    motor=Part((0.0868, 0.026, 0.0868), 0.25),
    motor_x=0.21,
    motor_y=0.025,
    upper=Part((0.039, 0.008, 0.129), 0.05, (0.0, 0.0, 0.06)),
    rear=Part((0.01, 0.01, 0.2), 0.05, (0.0, 0.0, 0.1)),
    front=Part((0.01, 0.01, 0.2), 0.05, (0.0, 0.0, 0.1)),
)
FIGURES = {"identified": IDENTIFIED, "default": DEFAULT}

# The lower links are capsules of this radius for the ground: half the width of their boxes.
FOOT_RADIUS = 0.0085
_COLOURS = {
    "body": "0.36 0.37 0.41 1",
    "motor": "0.2 0.2 0.22 1",
    "link": "0.75 0.75 0.72 1",
    "front": "0.93 0.45 0.1 1",
}


def minitaur_mjcf(robot: RobotSettings, figures: Figures, ground: str) -> str:
    """The MJCF of robot and ground. The motors are position servos where the robot file describes servos, else they
    give the torque that they are told.

    Args:
        robot: eight joints, leg by leg in the order of `leg_kinematics.LEGS`, the left motor first.
        figures: of the robot.
        ground: geoms of the world body.

    Raises:
        ValueError: another number of joints.
    """
    if len(robot.joint_names) != 8 or robot.auxiliary_joint_names:
        raise ValueError(
            f"the Minitaur model needs 8 joints and no auxiliary joint; robot '{robot.name}' has "
            f"{len(robot.joint_names)} and {len(robot.auxiliary_joint_names)}: set another robot.simulation_model"
        )
    drive = ""
    if robot.servos.present:
        drive = f'armature="{SERVO_ARMATURE_KG_M2}" damping="{SERVO_DAMPING_NM_S}"'
    legs = "".join(_leg(figures, i, robot.joint_names[2 * i : 2 * i + 2], drive) for i in range(4))
    frames = "".join(
        _body(f"frame_{side}", (0.0, y, figures.frame_z), figures.frame, "body")
        for side, y in (("left", figures.frame_y), ("right", -figures.frame_y))
    )
    closures = "".join(f'<connect site1="{leg}_rear_pin" site2="{leg}_front_pin" solref="0.01 1"/>' for leg in LEGS)
    motors = "".join(
        f'<position name="{name}" joint="{name}" kp="{kp}"/>'
        if robot.servos.present
        else f'<motor name="{name}" joint="{name}"/>'
        for name, kp in zip(robot.joint_names, robot.kp_nm_rad, strict=True)
    )
    return f"""
<mujoco model="minitaur">
  <compiler angle="radian" autolimits="true" inertiafromgeom="auto" fusestatic="true"/>
  <option timestep="{TIME_STEP_S}" gravity="0 0 {-GRAVITY_M_S2}" integrator="implicitfast" solver="Newton"
          iterations="20" tolerance="1e-8" cone="pyramidal" jacobian="dense"/>
  <visual>
    <headlight ambient="0.35 0.35 0.35" diffuse="0.45 0.45 0.45"/>
    <quality numslices="16" numstacks="8" numquads="1"/>
  </visual>
  <asset>
    <texture type="skybox" builtin="flat" rgb1="0.92 0.94 0.96" width="16" height="96"/>
    <texture name="squares" type="2d" builtin="checker" rgb1="0.62 0.64 0.66" rgb2="0.55 0.57 0.6"
             width="64" height="64"/>
    <material name="ground" texture="squares" texrepeat="2 2" texuniform="true"/>
  </asset>
  <default>
    <geom condim="3" friction="1 0.005 0.0001" rgba="{_COLOURS["body"]}" contype="0" conaffinity="1"
          priority="1"/>
    <default class="ground"><geom contype="1" conaffinity="0" priority="0" material="ground" rgba="1 1 1 1"/></default>
    <default class="seen"><geom contype="0" conaffinity="0"/></default>
  </default>
  <worldbody>
    <light pos="0 -1 3" dir="0.1 0.3 -1" castshadow="false" diffuse="0.35 0.35 0.35" specular="0.1 0.1 0.1"/>
    {ground}
    <body name="chassis">
      <freejoint name="body"/>
      <camera name="front" mode="trackcom" pos="0 -1.1 0.45" xyaxes="1 0 0 0 0.35 0.94" fovy="50"/>
      <camera name="top" mode="trackcom" pos="0 0 1.6" xyaxes="1 0 0 0 1 0" fovy="50"/>
      <site name="imu"/>
      {_inertial(figures.chassis)}
      <geom name="chassis" type="box" size="{_half(figures.chassis.size)}" mass="{figures.chassis.mass}"/>
      <geom class="seen" type="box" size="0.01 {figures.chassis.size[1] / 2} 0.01" mass="0" rgba="{_COLOURS["front"]}"
            pos="{figures.chassis.size[0] / 2} 0 0.02"/>
      {frames}
      {legs}
    </body>
  </worldbody>
  <equality>{closures}</equality>
  <actuator>{motors}</actuator>
  <sensor><accelerometer name="imu" site="imu"/></sensor>
</mujoco>"""


def _leg(figures: Figures, index: int, names: list[str], drive: str) -> str:
    """Both halves of a leg, the left motor's first; `drive`: attributes of the motors' joints. Both halves lie in the
    plane of the frame: they cross there, which nothing notices.
    """
    leg = LEGS[index]
    x = figures.motor_x if leg.startswith("front") else -figures.motor_x
    left = leg.endswith("left")
    y = figures.frame_y if left else -figures.frame_y
    length = figures.leg
    rear = ("rear", -1, figures.rear, length.rear_m, length.foot_m)
    # a little short of the pin, so that the foot alone stands on the ground
    front = ("front", 1, figures.front, length.front_m, length.front_m - 2 * FOOT_RADIUS)
    halves = (rear, front) if left else (front, rear)
    return "".join(
        f"""
      <body name="{leg}_{half}_motor" pos="{x} {y} {figures.frame_z}">
        <joint name="{name}" axis="0 {axis} 0" {drive}/>
        {_motor(figures.motor, motor_y)}
        {_body(f"{leg}_{half}_upper", (0.0, 0.0, 0.0), figures.upper, "link", collides=False)}
        <body name="{leg}_{half}_lower" pos="0 0 {length.upper_m}">
          <joint name="{leg}_{half}_knee" axis="0 {axis} 0"/>
          <site name="{leg}_{half}_pin" pos="0 0 {pin}" size="0.004"/>
          {_inertial(part)}
          <geom name="{leg}_{half}_lower" type="capsule" size="{FOOT_RADIUS}" rgba="{_COLOURS["link"]}"
                fromto="0 0 0 0 0 {end - FOOT_RADIUS}" mass="{part.mass}"/>
          <site name="{leg}_{half}_toe" pos="0 0 {end - FOOT_RADIUS}" size="0.004"/>
        </body>
      </body>"""
        for name, motor_y, (half, axis, part, pin, end) in zip(
            names, (figures.motor_y, -figures.motor_y), halves, strict=True
        )
    )


def _motor(motor: Part, y: float) -> str:
    """The turning half of a motor. It is a body of its own, so that its inertia adds to that of the link."""
    radius, half_width = motor.size[0] / 2, motor.size[1] / 2
    return f"""<body pos="0 {y} 0">{_inertial(motor)}
          <geom type="cylinder" size="{radius} {half_width}" euler="{math.pi / 2} 0 0" mass="{motor.mass}"
                rgba="{_COLOURS["motor"]}"/></body>"""


def _body(name: str, position: Size, part: Part, colour: str, collides: bool = True) -> str:
    kind = "" if collides else 'class="seen" '
    return f"""<body name="{name}" pos="{_text(position)}">{_inertial(part)}
        <geom {kind}type="box" size="{_half(part.size)}" pos="{_text(part.centre)}" mass="{part.mass}"
              rgba="{_COLOURS[colour]}"/></body>"""


def _inertial(part: Part) -> str:
    """Nothing where the shape decides."""
    if part.inertia is None:
        return ""
    return f'<inertial pos="{_text(part.centre)}" mass="{part.mass}" diaginertia="{_text(part.inertia)}"/>'


def _half(size: Size) -> str:
    return _text((size[0] / 2, size[1] / 2, size[2] / 2))


def _text(values: Size) -> str:
    return " ".join(f"{value:.9g}" for value in values)
