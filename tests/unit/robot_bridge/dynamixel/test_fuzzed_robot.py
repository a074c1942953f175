"""A driver among whose servos' answers many are garbled: whatever it makes of them, nothing moves out of its limits."""

import contextlib
import random

import numpy as np
from helpers.emulated_bus import BAUD, Host, make_robot
from helpers.garbled import garbled
from robot_bridge.backend import BackendError, ReadError
from robot_bridge.dynamixel.robot import DynamixelRobot
from robot_bridge.dynamixel.settings import BusSettings

PACKETS, SHARE = 10_000, 0.2
TICK_RAD, TICK_S = 0.0016, 0.01
OVERSHOOT_RAD = 0.05
# A servo whose answers are lost for long stops by itself, and is recovered; that is tested elsewhere.
NEVER_S = 2.5


class Fuzzed:
    """A driver on emulated servos; time passes with each instruction."""

    def __init__(self, played):
        self.robot = make_robot(bus_watchdog_s=NEVER_S)
        self.host, self.rng = Host(self.robot), random.Random(5)
        self.fuzzing, self.packets = False, 0
        played.answer = self.answer
        settings = BusSettings(port=played.port, reply_timeout_s=0.02)
        self.driver = DynamixelRobot(self.robot, settings, lambda: self.host.drives.now_s)
        self.driver.open()
        self.driver.bus._port.reply_timeout_s = 0.001

    def answer(self, packet):
        self.host.advance(0.001)
        good = b"".join(reply.packet for reply in self.host.bus.handle(packet, BAUD, self.host.drives.now_s))
        if not (good and self.fuzzing):
            return good
        self.packets += 1
        return garbled(self.rng, good) if self.rng.random() < SHARE else good

    def assert_within_limits(self):
        status = self.host.drives.status()
        low, high = np.array(self.robot.position_min_rad), np.array(self.robot.position_max_rad)
        driven = np.array([servo["torque_on"] for servo in status["servos"]])
        goals = np.array([servo["goal_rad"] for servo in status["servos"]])
        for values, margin in ((goals, TICK_RAD), (np.array(status["position_rad"]), OVERSHOOT_RAD)):
            beyond = np.maximum(low - values, values - high)[driven]
            assert not beyond.size or beyond.max() < margin, (values, status)


def test_10000_answers_many_of_them_garbled_move_no_joint_out_of_its_limits(played):
    fuzzed = Fuzzed(played)
    driver, rng = fuzzed.driver, np.random.default_rng(6)
    counts = {"read": 0, "failed": 0, "recovered": 0}
    fuzzed.fuzzing = True
    while fuzzed.packets < PACKETS:
        try:
            state = driver.read()
            truth = np.array(fuzzed.host.drives.status()["position_rad"])
            assert np.abs(state.position_rad - truth).max() < 0.05  # it has moved on for a millisecond or two
            counts["read"] += 1
            driver.write(rng.uniform(-3.0, 3.0, 3), rng.random(3) < 0.9)
        except ReadError:
            counts["failed"] += 1
        except BackendError:
            with contextlib.suppress(BackendError):
                driver.recover()
                counts["recovered"] += 1
        fuzzed.assert_within_limits()
    fuzzed.fuzzing = False
    driver.recover()
    driver.write(np.zeros(3), np.ones(3, dtype=bool))
    fuzzed.host.advance(1.0)
    assert np.abs(driver.read().position_rad).max() < TICK_RAD
    driver.close()
    assert counts["read"] > 1000 and min(counts.values()) > 10, counts
