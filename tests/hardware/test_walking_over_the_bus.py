"""A quadruped of eight servos, MuJoCo's Minitaur behind the emulated bus: what bad sensors and commands lead to."""

from pathlib import Path

import numpy as np
import pytest
from helpers import walker as faults
from helpers.commander import Commander, hardware_bridge
from helpers.ros import ros_node
from helpers.walker import PATIENCE, Walker
from robot_bridge.leg_kinematics import motor_angles
from robot_bridge.robot import load_robot
from sac_interfaces.msg import SafetyState

pytestmark = pytest.mark.ros

ROBOT_FILE = Path(__file__).parents[2] / "config" / "robots" / "minitaur_servos.yaml"
ROBOT = load_robot(ROBOT_FILE)
STAND = motor_angles(np.zeros(4), np.full(4, 2.0))
STRETCHED = motor_angles(np.zeros(4), np.array([2.0, 2.0, 3.1, 2.0]))
_TRIES = 5


class Rig:
    """Bridge, servos, sensors of the body, and someone who commands."""

    def __init__(self, node):
        self.walker = Walker(node, ROBOT)
        self.bridge = hardware_bridge(ROBOT, self.walker.emulator.port, **PATIENCE)
        self.commander = Commander(node, ROBOT)
        self.commander.connect(simulated=False)

    def close(self):
        self.bridge.close()
        self.walker.close()

    @property
    def causes(self):
        """Of the gate, with what it says of them."""
        newest = self.commander.safety[-1]
        return dict(zip(newest.causes, newest.causes_detail, strict=True))

    def stand(self):
        """Whatever happened before: on its mark, armed, and told to stand. Once more if a machine that stalls stops
        it."""
        self.walker.spoil = None
        self.walker.emulator.clear_faults()
        for _ in range(_TRIES):
            self.commander.goals = None
            self.commander.until(self.restored, "no stop after a reset")
            self.walker.emulator.put_back()
            self.commander.until(lambda: self.restored() and self.commander.try_call("safety/arm").success, "armed")
            self.commander.goals = lambda state: STAND.tolist()
            self.commander.until(lambda: self.state in (SafetyState.ARMED, SafetyState.STOPPED), "it stands")
            if self.state == SafetyState.ARMED:
                return
        raise AssertionError(f"stopped again and again: {self.causes}")

    def restored(self):
        """Whether a reset has ended the stop; asks for one."""
        if self.state == SafetyState.STOPPED:
            self.commander.try_call("safety/reset")
        return self.state != SafetyState.STOPPED

    @property
    def state(self):
        return self.commander.safety[-1].state


@pytest.fixture(scope="module")
def module_rig():
    with ros_node("walker") as node:
        rig = Rig(node)
        yield rig
        rig.close()


@pytest.fixture
def rig(module_rig):
    module_rig.stand()
    return module_rig


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda _: faults.silent_imu, "imu/data is silent for"),
        (faults.stale_imu, "imu/data is silent for"),
        (faults.frozen_imu, "imu/data shows the same values to the bit for"),
        (lambda _: faults.late_imu, "imu/data is stamped "),
        (lambda _: faults.unstamped_odometry, "odom is stamped "),
        (lambda _: faults.nan_imu, "the inertial sensor reports a value that is not finite"),
        (lambda _: faults.unnormalised_imu, "the inertial sensor's quaternion has norm 1.1314"),
        (lambda _: faults.imu_without_orientation, "the inertial sensor gives no orientation"),
        (lambda _: faults.imu_without_rates, "the inertial sensor gives no angular velocity"),
        (lambda _: faults.silent_odometry, "odom is silent for"),
        (lambda _: faults.nan_odometry, "the odometry reports a value that is not finite"),
        (lambda _: faults.jumping_odometry(), "the odometry jumps by "),
    ],
    ids=[
        "imu silent",
        "imu stale",
        "imu frozen",
        "imu late",
        "odom of another clock",
        "imu NaN",
        "imu not normalised",
        "imu no orientation",
        "imu no rates",
        "odom stops",
        "odom NaN",
        "odom jumps",
    ],
)
def test_a_bad_sensor_of_the_body_stops_the_robot_until_it_is_mended_reset_and_armed(rig, fault, said):
    commander, walker = rig.commander, rig.walker
    walker.spoil = fault(walker)
    commander.until_safety(SafetyState.STOPPED)
    assert rig.causes["body_sensor"].startswith(said), rig.causes
    commander.until(lambda: not walker.has_torque(), "torque off")
    assert not commander.try_call("safety/arm").success
    commander.until(lambda: not commander.try_call("safety/reset").success, "no reset while it lasts")
    walker.spoil = None
    commander.until(rig.restored, "reset once it is mended")
    assert rig.state == SafetyState.DISARMED
    assert not walker.has_torque()
    rig.stand()
    commander.until(walker.has_torque, "it stands again")


def test_a_robot_on_its_back_is_not_armed(rig):
    commander, walker = rig.commander, rig.walker
    commander.press(True)
    commander.until(lambda: rig.state == SafetyState.STOPPED and not walker.has_torque(), "stopped")
    walker.spoil = faults.on_its_back
    commander.press(False)
    commander.until(rig.restored, "disarmed")
    commander.until(lambda: not commander.try_call("safety/arm").success, "not armed")
    commander.until_safety(SafetyState.STOPPED)
    assert rig.causes["upside_down"].startswith("the robot lies with -1.00 of its z axis up, at least 0.5 is needed")
    assert not walker.has_torque()
    rig.stand()


def test_a_command_that_leads_out_of_the_legs_workspace_moves_nothing(rig):
    commander, walker = rig.commander, rig.walker

    def stands():
        if rig.state == SafetyState.STOPPED:  # a machine that stalls
            rig.stand()
        return np.abs(np.array(walker.goals()) - STAND).max() < 0.01

    def held():
        if rig.state == SafetyState.STOPPED:
            commander.until(stands, "the goals are those of standing")
        commander.goals = lambda state: STRETCHED.tolist()
        return rig.state == SafetyState.HOLD and "bad_command" in rig.causes

    commander.until(stands, "the goals are those of standing")
    commander.until(held, "held, cause named")
    assert (
        "leg front_right: extension 3.100 rad (mean of its motors) is outside its workspace"
        in rig.causes["bad_command"]
    )
    np.testing.assert_allclose(walker.goals(), STAND, atol=0.01)
    commander.goals = lambda state: STAND.tolist()
    commander.until_safety(SafetyState.ARMED)


def test_a_motor_at_its_thermal_limit_stops_the_robot(rig):
    rig.walker.emulator.fault("temperature", id=3, celsius=78.0)
    rig.commander.until_safety(SafetyState.STOPPED)
    assert "temperature" in rig.causes
    rig.commander.until(lambda: not rig.walker.has_torque(), "torque off")
    rig.walker.emulator.fault("temperature", id=3, celsius=30.0)


WILD = (0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, -1e300, np.inf, -np.inf, np.nan, 1e6)
NUMBERS = ("orientation", "angular_velocity", "linear_acceleration")


def scramble(rng, imu, odometry):
    """A few numbers, stamps and frames of a pair of messages become anything."""
    parts = [getattr(imu, name) for name in NUMBERS]
    parts += [odometry.pose.pose.position, odometry.pose.pose.orientation, odometry.twist.twist.linear]
    for _ in range(rng.integers(4)):
        part = parts[rng.integers(len(parts))]
        setattr(part, str(rng.choice(["x", "y", "z"])), float(rng.choice(WILD)))
    for message in (imu, odometry):
        if rng.random() < 0.1:
            message.header.stamp.sec = int(rng.integers(-(2**31), 2**31))
            message.header.stamp.nanosec = int(rng.integers(2**32))
        if rng.random() < 0.1:
            message.header.frame_id = str(rng.choice(["", "/", "nobody \u00e9\u4e2d", "x" * 10_000]))
    if rng.random() < 0.1:
        imu.orientation_covariance[0] = float(rng.choice(WILD))
    return (None if rng.random() < 0.1 else imu), (None if rng.random() < 0.1 else odometry)


def test_nonsense_of_the_bodys_sensors(rig):
    """It stops the robot or not, but nothing breaks, and with good sensors everything goes on."""
    rng = np.random.default_rng(3)
    sent, stopped = [0], 0

    def spoil(imu, odometry):
        sent[0] += 1
        return scramble(rng, imu, odometry)

    for _ in range(5):
        rig.stand()
        rig.walker.spoil, before = spoil, sent[0]
        rig.commander.until(lambda before=before: sent[0] > before + 60, "nonsense is sent")
        if rig.state == SafetyState.STOPPED:
            stopped += 1
            assert set(rig.causes) <= {"body_sensor", "upside_down"}, rig.causes
            rig.commander.until(lambda: not rig.walker.has_torque(), "torque is off")
    assert stopped, "some of that must be noticed"
    rig.stand()
    assert rig.bridge.process.poll() is None, rig.bridge.output()
    assert "Traceback" not in rig.bridge.output()


def test_a_single_jump_of_a_fast_odometry_is_not_missed(rig):
    """Good readings from the new place follow before anybody looks."""
    for _ in range(_TRIES):
        rig.stand()
        rig.walker.spoil = faults.odometry_that_jumped_once()
        rig.commander.until(lambda: rig.state == SafetyState.STOPPED, "stopped by the jump")
        if "body_sensor" in rig.causes:
            break  # and not by a machine that stalls
    assert rig.causes["body_sensor"].startswith("the odometry jumps by 3.0"), rig.causes
    rig.commander.until(lambda: not rig.walker.has_torque(), "torque off")
    rig.commander.until(rig.restored, "reset, as the jump is over")
