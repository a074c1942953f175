"""MuJoCo's Minitaur behind eight emulated servos, and what stands in for the drivers of its body's sensors."""

import copy
import time

from nav_msgs.msg import Odometry
from robot_bridge.body_messages import imu_message, odometry_message
from robot_bridge.emulator import EmulatorProcess
from rosac_common.messages import nanoseconds, stamp_from_nanoseconds
from sensor_msgs.msg import Imu

from rosac_common import qos

# How often the drivers speak, and the simulation's time that passes meanwhile, at most.
PERIOD_S = 0.01
_STEP_S = 0.008
_LATE_NS = 4_000_000_000
# A busy machine lets test and bridge wait.
PATIENCE = {
    "bus.reply_timeout_s": 1.0,
    "robot.body.imu_timeout_s": 1.5,
    "robot.body.odometry_timeout_s": 1.5,
    "robot.body.stamp_tolerance_s": 2.0,
    "robot.servos.bus_watchdog_s": 2.0,
    "robot.safety.state_timeout_s": 1.5,
    "realtime_priority": 10,
}


class Walker:
    """The emulator's time passes only while this node spins and a servo has torque, so that a robot without torque
    stands where somebody has set it, and a busy machine changes nothing.

    `spoil`: while it is set, takes each pair of messages and returns what is sent instead; None: nothing. Odometry may
    be a list: that of a driver that is faster than the bridge.
    """

    def __init__(self, node, robot):
        self.emulator = EmulatorProcess(robot, lockstep=True, steady_clocks=True)
        self.spoil = None
        self.newest_imu = None
        self.measured = []  # roll, pitch and their rates in all that was really measured
        # As many drivers do, best-effort.
        self._imu = node.create_publisher(Imu, "imu/data", qos.SENSORS)
        self._odometry = node.create_publisher(Odometry, "odom", qos.SENSORS)
        self._timer = node.create_timer(PERIOD_S, self._pass_time)

    def _pass_time(self):
        if self.has_torque():
            self.emulator.advance(_STEP_S)
        body = self.emulator.body()
        self.measured.append([body.roll_rad, body.pitch_rad, *body.angular_velocity_rad_s[:2]])
        imu, odometry = imu_message(body), odometry_message(body)
        for message in (imu, odometry):
            message.header.stamp = stamp_from_nanoseconds(time.time_ns())
        imu.linear_acceleration.z += 1e-9 * (time.time_ns() % 1000)  # a real sensor is never the same to the bit
        if self.spoil is not None:
            imu, odometry = self.spoil(imu, odometry)
        if imu is not None:
            self.newest_imu = imu
            self._imu.publish(imu)
        for each in odometry if isinstance(odometry, list) else [odometry]:
            if each is not None:
                self._odometry.publish(each)

    def has_torque(self):
        """Whether any servo has."""
        return any(servo["torque_on"] for servo in self.emulator.status()["servos"])

    def goals(self):
        """Where the servos pull to (8,) [rad]."""
        return [servo["goal_rad"] for servo in self.emulator.status()["servos"]]

    def close(self):
        self._timer.cancel()
        self.emulator.close()


# Faults of the body's sensors.


def silent_imu(imu, odometry):
    return None, odometry


def stale_imu(walker):
    """The reading that was the newest, again and again."""
    kept = walker.newest_imu

    def spoil(imu, odometry):
        return kept, odometry

    assert nanoseconds(kept.header.stamp) > 0
    return spoil


def frozen_imu(walker):
    """The same, by a driver that stamps it anew."""
    kept = copy.deepcopy(walker.newest_imu)

    def spoil(imu, odometry):
        kept.header.stamp = imu.header.stamp
        return kept, odometry

    return spoil


def late_imu(imu, odometry):
    """A driver with a long queue: readings come in time, each of them old."""
    imu.header.stamp = stamp_from_nanoseconds(nanoseconds(imu.header.stamp) - _LATE_NS)
    return imu, odometry


def unstamped_odometry(imu, odometry):
    odometry.header.stamp = stamp_from_nanoseconds(0)
    odometry.header.stamp.nanosec = imu.header.stamp.nanosec  # of a clock that starts with the driver
    return imu, odometry


def nan_imu(imu, odometry):
    imu.angular_velocity.y = float("nan")
    return imu, odometry


def unnormalised_imu(imu, odometry):
    imu.orientation.w, imu.orientation.x = 0.8, 0.8
    return imu, odometry


def imu_without_orientation(imu, odometry):
    """A driver that estimates none: REP-145 marks it so, and the quaternion stays at its default."""
    imu.orientation_covariance[0] = -1.0
    imu.orientation.w, imu.orientation.x, imu.orientation.y, imu.orientation.z = 1.0, 0.0, 0.0, 0.0
    return imu, odometry


def imu_without_rates(imu, odometry):
    imu.angular_velocity_covariance[0] = -1.0
    imu.angular_velocity.x = imu.angular_velocity.y = imu.angular_velocity.z = 0.0
    return imu, odometry


def nan_odometry(imu, odometry):
    odometry.pose.pose.position.x = float("nan")
    return imu, odometry


def silent_odometry(imu, odometry):
    return imu, None


def jumping_odometry():
    """To and fro by 100 m."""
    side = [1.0]

    def spoil(imu, odometry):
        side[0] = -side[0]
        odometry.pose.pose.position.x += 50.0 * side[0]
        return imu, odometry

    return spoil


def odometry_that_jumped_once():
    """By 3 m, and then it stays there; a fast driver sends good readings right behind the bad one."""
    behind_s, jumped = (0.002, 0.0015, 0.001, 0.0005), [False]

    def spoil(imu, odometry):
        readings = []
        for behind in behind_s:
            reading = copy.deepcopy(odometry)
            late_ns = nanoseconds(odometry.header.stamp) - round(behind * 1e9)
            reading.header.stamp = stamp_from_nanoseconds(late_ns)
            reading.pose.pose.position.x += 3.0 * jumped[0]
            jumped[0] = True
            readings.append(reading)
        return imu, readings

    return spoil


def on_its_back(imu, odometry):
    imu.orientation.w, imu.orientation.x, imu.orientation.y, imu.orientation.z = 0.0, 1.0, 0.0, 0.0
    return imu, odometry
