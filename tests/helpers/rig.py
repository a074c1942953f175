"""A robot that is not there, complete: emulated servos, the real bridge on a real port, and someone who commands it."""

import math
import time

import numpy as np
from robot_bridge.emulator import EmulatorProcess
from sac_interfaces.msg import SafetyState

from helpers.commander import Commander, hardware_bridge
from helpers.ros import ros_node

# Sways all joints by this much, this often.
_AMPLITUDE_RAD, _SWAY_HZ = 0.15, 0.7
# On a busy machine test processes wait for each other; the robot file's 80 ms are benchmarks/stop_latency.py's to keep.
WATCHDOG_S = 1.0
_PATIENCE = {
    "bus.reply_timeout_s": 0.05,
    "robot.servos.bus_watchdog_s": WATCHDOG_S,
    "robot.safety.state_timeout_s": 1.5,
    "robot.safety.temperature_timeout_s": 60.0,
    "realtime_priority": 10,
}
_TRIES = 5
# A joint that stands: a tick is 1.5 mrad.
_STILL_RAD = 0.01


class Rig:
    """`with Rig(robot) as rig`. Times are the emulator's own, which stand still while it cannot run."""

    def __init__(self, robot, **parameters):
        self.robot, self._parameters = robot, {**_PATIENCE, **parameters}
        self._ready = None  # positions about which the joints sway

    def __enter__(self):
        self.emulator = EmulatorProcess(self.robot)
        self.process = hardware_bridge(self.robot, self.emulator.port, **self._parameters)
        self._node = ros_node("commander")
        self.commander = Commander(self._node.__enter__(), self.robot)
        return self

    def __exit__(self, *error):
        self._node.__exit__(*error)
        self.process.close()
        self.emulator.close()

    def restart_bridge(self, connect=True, **parameters):
        """A new bridge on the same servos, after the old one has ended."""
        self.process.close()
        self._parameters |= parameters
        self.process = hardware_bridge(self.robot, self.emulator.port, **self._parameters)
        del self.commander.states[:], self.commander.safety[:]
        if connect:
            self.commander.connect(simulated=False)

    # what moves

    def joints(self):
        """True positions of the robot's own joints (n,) [rad]."""
        return np.array(self.emulator.status()["position_rad"][: len(self.robot.joint_names)])

    def sway(self, state):
        """Goals that never stand still."""
        if self._ready is None:
            self._ready = np.array(state.position[: len(self.robot.joint_names)])
        return (self._ready + _AMPLITUDE_RAD * math.sin(2 * math.pi * _SWAY_HZ * time.monotonic())).tolist()

    def ready(self):
        """Whatever happened before: no fault, armed, and swaying; once more if a stalling machine stops the robot."""
        self.emulator.clear_faults()
        self.commander.goals = None
        self.commander.connect(simulated=False)
        self.commander.press(False)
        for _ in range(_TRIES):
            self.commander.goals = None
            self.commander.until(self.restored, "disarmed after a reset")
            self.commander.call("safety/arm")
            self.commander.goals = self.sway
            self.until_moving(or_stopped=True)
            if not self.stopped:
                return
        raise AssertionError(f"stopped again and again: {self.commander.safety[-1]}")

    def restored(self):
        """Whether a reset has ended the stop; asks for one."""
        if self.stopped:
            self.commander.try_call("safety/reset")
        return not self.stopped

    def until_moving(self, or_stopped=False):
        """Until every joint has moved."""
        start = self.joints()
        moved = np.zeros(len(start), dtype=bool)

        def all_moved():
            np.logical_or(moved, np.abs(self.joints() - start) > 5 * _STILL_RAD, out=moved)
            return moved.all()

        self.commander.until(lambda: (or_stopped and self.stopped) or all_moved(), "all joints move")

    # what must follow a fault

    @property
    def stopped(self):
        """Whether the bridge says so."""
        return self.commander.safety[-1].state == SafetyState.STOPPED

    def assert_stops(self, within_s, event, *expected, mend=lambda: None):
        """An event stops the robot by one of these causes, and it is safe within that time; returns its detail.

        Mended and tried again when it took longer: a busy machine may have let the bridge wait.
        """
        for trial in range(_TRIES):
            if trial:
                mend()
                self.ready()
            since_s = self.now_s()
            event()
            detail = self.until_stopped_by(*expected)
            if (took_s := self.until_safe_s(since_s)) < within_s:
                return detail
        raise AssertionError(f"safe after {took_s:.3f} s, limit {within_s} s")

    def until_stopped_by(self, *expected):
        """Stopped by one of these causes; returns its detail."""
        self.commander.until_safety(SafetyState.STOPPED)
        named = dict(zip(self.commander.safety[-1].causes, self.commander.safety[-1].causes_detail, strict=True))
        assert set(expected) & set(named), named
        return next(named[cause] for cause in expected if cause in named)

    def now_s(self):
        """The emulator's own time."""
        status = self.emulator.status()
        return status["clock_s"] - status["left_out_s"]

    def until_safe_s(self, since_s):
        """Time until the last servo was without torque or stopped by its bus watchdog."""
        safe_at_s = []

        def safe():
            safe_at_s[:] = [self._safe_at_s(since_s)]
            return safe_at_s != [None]

        self.commander.until(safe, "all servos without torque, or stopped")
        return safe_at_s[0] - since_s

    def _safe_at_s(self, since_s):
        """When the last servo became safe; None while one is not."""
        times, status = [], self.emulator.status()
        for servo in status["servos"][: len(self.robot.joint_names)]:
            if servo["torque_on"] and servo["bus_watchdog"] >= 0:
                return None
            told = [servo[name] for name in ("torque_off_s", "watchdog_tripped_s") if servo[name] is not None]
            # A servo that has cut its torque by itself tells no time.
            times.append(min((t for s in told if (t := s - status["left_out_s"]) > since_s), default=since_s))
        return max(times)

    def assert_stays_stopped_until_reset_and_armed(self):
        """Commands go on all the while; nothing moves before the last step."""
        self.assert_rests_after_reset()
        self.commander.call("safety/arm")
        self.until_moving()
        self.commander.until_safety(SafetyState.ARMED)

    def assert_rests_after_reset(self):
        """Stopped until it is reset; without torque, and still, after that."""
        commander = self.commander
        commander.call("safety/arm", expect=False)
        assert commander.safety[-1].state == SafetyState.STOPPED
        commander.until(self.restored, "disarmed after a reset")
        assert commander.safety[-1].state == SafetyState.DISARMED
        start, count = self.joints(), len(commander.states)
        while len(commander.states) < count + 30:
            seen = len(commander.states)
            commander.until(lambda seen=seen: len(commander.states) > seen, "states of a robot that rests")
            assert not any(servo["torque_on"] for servo in self.emulator.status()["servos"])
        if not self.robot.simulation_model:  # fingers without torque sink; free joints stay
            assert np.abs(self.joints() - start).max() < _STILL_RAD
