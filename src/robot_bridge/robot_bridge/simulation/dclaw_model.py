"""MJCF of the D'Claw hand over its valve, from primitives. Lengths in m, masses in kg, angles in rad.

Figures: google-research/robel-scenes, `dclaw/assets/chain3xh.xml` and `dependencies3xh.xml` for the hand,
`dclaw_stations/assets/valve3.xml` for the valve. Geoms of class "seen" neither collide nor weigh anything.
"""

from __future__ import annotations

import math

from robot_bridge.robot import RobotSettings

TIME_STEP_S = 0.0025
MOUNT_HEIGHT = 0.335
PALM_MASS = 0.11

# Finger bases in the palm's frame, which is turned by pi about x so that the fingers hang down: position, yaw.
FINGER_BASES = (
    ((0.030, -0.052, 0.003), 0.52),
    ((0.030, 0.052, 0.003), 2.6),
    ((-0.060, 0.0, 0.003), -1.57),
)
# Along a finger: base to top joint, top to middle, middle to bottom, bottom to the site at the fingertip.
OFFSETS = (0.01425, 0.0675, 0.068, 0.076)
JOINT_RANGES = ((-0.45, 1.35), (-2.0, 2.0), (-2.0, 2.0))

SERVO = '<geom type="box" size="0.0175 0.015 0.024" pos="0 0 0.056" mass="0.093"/>'

LOBE_RADIUS, LOBE_HALF_LENGTH, LOBE_CENTRE, LOBE_HEIGHT = 0.021, 0.035, 0.0385, 0.054
VALVE_HEIGHT = 0.0001 + 0.01 + 0.038
VALVE_LIMIT = 6.28

# Camera: ROBEL's predecessor looks at (0.008, -0.005, 0.08) from 0.32 m, 44.7 degrees down. Here it looks along +y, so
# that +x is right in the picture, from further away, so that the whole hand is in it.
CAMERA_DISTANCE = 0.62

_COLOURS = {
    "hand": "0.36 0.37 0.41 1",
    "tip": "0.75 0.75 0.72 1",
    "valve": "0.35 0.47 0.62 1",
    "marked": "0.93 0.45 0.1 1",
}


def dclaw_mjcf(robot: RobotSettings) -> str:
    """The MJCF of hand and valve.

    Args:
        robot: nine joints, finger by finger (top, middle, bottom), and one auxiliary joint, the valve.

    Raises:
        ValueError: another number of joints.
    """
    if len(robot.joint_names) != 9 or len(robot.auxiliary_joint_names) != 1:
        raise ValueError(
            f"the D'Claw model needs 9 joints and 1 auxiliary joint; robot '{robot.name}' has "
            f"{len(robot.joint_names)} and {len(robot.auxiliary_joint_names)}: set another robot.simulation_model"
        )
    names = robot.joint_names
    fingers = "".join(_finger(base, yaw, names[3 * i : 3 * i + 3]) for i, (base, yaw) in enumerate(FINGER_BASES))
    return f"""
<mujoco model="dclaw">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{TIME_STEP_S}" solver="Newton" iterations="50" tolerance="1e-10" cone="elliptic" jacobian="dense"/>
  <visual>
    <headlight ambient="0.35 0.35 0.35" diffuse="0.45 0.45 0.45"/>
    <quality numslices="16" numstacks="8" numquads="1"/>
  </visual>
  <asset><texture type="skybox" builtin="flat" rgb1="0.92 0.94 0.96" width="16" height="96"/></asset>
  <default>
    <joint damping="0.1" armature="0.001"/>
    <geom condim="4" margin="0.0005" rgba="{_COLOURS["hand"]}"/>
    <default class="bracket"><geom contype="0" conaffinity="0"/></default>
    <default class="seen"><geom contype="0" conaffinity="0" mass="0"/></default>
    <default class="slippery"><geom friction="0.2 0.005 0.0001"/></default>
  </default>
  <worldbody>
    <light pos="0.2 -0.4 1.2" dir="-0.15 0.3 -1" castshadow="false" diffuse="0.35 0.35 0.35" specular="0.1 0.1 0.1"/>
    <camera name="front" {_camera()}/>
    <camera name="top" pos="0 0 0.33" xyaxes="1 0 0 0 1 0" fovy="60"/>
    <geom name="floor" class="seen" type="plane" size="0.5 0.5 0.01" rgba="0.62 0.64 0.66 1"/>
    <body name="target">
      <site name="target" type="capsule" fromto="0.1 0 0.004 0.16 0 0.004" size="0.004" rgba="0.1 0.65 0.25 1"/>
    </body>
    {_valve(robot.auxiliary_joint_names[0])}
    <body name="mount" pos="0 0 {MOUNT_HEIGHT}" euler="{math.pi} 0 0">
      <geom name="palm" type="cylinder" size="0.075 0.004" mass="{PALM_MASS}"/>
      {fingers}
    </body>
  </worldbody>
  <actuator>{_actuators(robot)}</actuator>
</mujoco>"""


def _finger(base: tuple[float, float, float], yaw: float, names: list[str]) -> str:
    """One finger, three bodies deep. At zero it points straight down; its sides' y axis points outwards."""
    finger = names[0].rsplit("_", 1)[0]
    x, y, z = base
    motor = f"{x + 0.012 * math.cos(yaw)} {y + 0.012 * math.sin(yaw)} {z + 0.014}"
    joints = [
        f'<joint name="{name}" axis="{axis}" range="{low} {high}"/>'
        for name, axis, (low, high) in zip(names, ("0 1 0", "1 0 0", "1 0 0"), JOINT_RANGES, strict=True)
    ]
    return f"""
      <geom type="box" size="0.024 0.0175 0.015" pos="{motor}" euler="0 0 {yaw}" mass="0.093"/>
      <body name="{finger}_link1" pos="{x} {y} {z + OFFSETS[0]}" euler="0 0 {yaw + math.pi}">
        {joints[0]}{_bracket("0.0125 0.0214", 0.012)}{SERVO}
        <body name="{finger}_link2" pos="0 0 {OFFSETS[1]}">
          {joints[1]}{_bracket("0.0214 0.0125", 0.012)}{SERVO}
          <body name="{finger}_link3" pos="0 0 {OFFSETS[2]}">
            {joints[2]}{_bracket("0.0214 0.0125", 0.007)}
            <geom type="box" size="0.0245 0.014 0.003" pos="0 0 0.03" mass="0.007"/>
            <geom name="{finger}_tip" class="slippery" type="capsule" size="0.011 0.020" pos="0 0 0.053" mass="0.018"
                  rgba="{_COLOURS["tip"]}"/>
            <site name="{finger}_tip" pos="0 0 {OFFSETS[3]}" size="0.002"/>
          </body>
        </body>
      </body>"""


def _bracket(half_widths: str, mass: float) -> str:
    """The bracket on a servo's horns. The source has a plate (3 g), two cheeks (2 g each) and a cap (5 g, not on the
    last link); here they are one box of their mass, which collides with nothing: it lies between the servos.
    """
    return f'<geom class="bracket" type="box" size="{half_widths} 0.0105" pos="0 0 0.0246" mass="{mass}"/>'


def _valve(name: str) -> str:
    """Three lobes on a hub, of density 1000; at angle 0 the coloured lobe points to +x."""
    lobes = "".join(
        f'<geom name="{name}_lobe{i}" class="slippery" type="capsule" size="{LOBE_RADIUS}" '
        f'fromto="{_spoke(2 * math.pi * i / 3)}" rgba="{_COLOURS["marked" if i == 0 else "valve"]}"/>'
        for i in range(3)
    )
    return f"""
    <geom class="seen" type="box" size="0.01425 0.02325 0.019" pos="0 0 0.029" rgba="{_COLOURS["hand"]}"/>
    <body name="{name}" pos="0 0 {VALVE_HEIGHT}">
      <joint name="{name}" axis="0 0 1" range="-{VALVE_LIMIT} {VALVE_LIMIT}"/>
      <geom name="{name}_hub" class="slippery" type="cylinder" size="0.02 0.0275" pos="0 0 0.027"
            rgba="{_COLOURS["valve"]}"/>
      <geom name="{name}_mark" class="seen" type="capsule" size="0.003" fromto="0.005 0 0.073 0.08 0 0.073"
            rgba="0.98 0.85 0.2 1"/>
      {lobes}
    </body>"""


def _spoke(azimuth: float) -> str:
    """Both ends of a lobe's axis."""
    ends = (LOBE_CENTRE - LOBE_HALF_LENGTH, LOBE_CENTRE + LOBE_HALF_LENGTH)
    return " ".join(f"{r * math.cos(azimuth)} {r * math.sin(azimuth)} {LOBE_HEIGHT}" for r in ends)


def _actuators(robot: RobotSettings) -> str:
    """Position servos. Ranges are the safety gate's business, so the servos have none."""
    gains = zip(robot.all_joint_names, [*robot.kp_nm_rad, *robot.auxiliary_kp_nm_rad], strict=True)
    return "".join(f'<position name="{name}" joint="{name}" kp="{kp}"/>' for name, kp in gains)


def _camera() -> str:
    """From the front, 45 degrees down, at the height between palm and valve."""
    reach = CAMERA_DISTANCE * 0.70710678
    return f'pos="0 {-reach:.4f} {0.15 + reach:.4f}" xyaxes="1 0 0 0 0.70710678 0.70710678" fovy="40"'
