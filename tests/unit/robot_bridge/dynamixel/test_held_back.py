"""A bus whose answers come 55 to 105 ms late, in order, as a busy computer hands them over: what is read is of now."""

import time

import numpy as np
import pytest
from robot_bridge.backend import ReadError
from robot_bridge.dynamixel.emulated import EmulatedRobot
from robot_bridge.dynamixel.joint_reader import FIELDS, SIZE
from robot_bridge.dynamixel.settings import BusSettings

READINGS = 15  # that come after missing ones
# A servo's clock shows whole milliseconds.
TICK_MS, PERIOD_MS = 1.0, 32_768.0


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
def test_no_reading_is_older_than_the_read(robot, fast, monkeypatch):
    """Readings that miss their turn are many; each that is taken is held against the emulator's own clock."""
    rng = np.random.default_rng(4)
    # No try but that one, so that only answers to one of them are held back until all have come.
    settings = BusSettings(fast_read=fast, fast_read_failures=10_000, read_retries=0, reply_timeout_s=0.2)
    driver = EmulatedRobot(robot, settings, time.monotonic)
    try:
        driver.open()
        monkeypatch.setattr(driver.bus._port, "reply_timeout_s", BusSettings().reply_timeout_s)
        plain, taken = driver.bus.sync_read, []

        def noting(ids, address, size, fast=False):
            taken[:] = [plain(ids, address, size, fast)]
            return taken[0]

        monkeypatch.setattr(driver.bus, "sync_read", noting)
        started_s = driver.emulator.status()["started_s"]
        # Of packets: a fast read has one; a plain one, which follows a fast one that fails, as many as servos.
        rate = 1.0 / len(robot.joint_ids)
        after_missing, missed = 0, False
        while after_missing < READINGS:
            driver.emulator.fault("late", rate=0.0 if missed else rate, delay_s=rng.uniform(0.055, 0.105))
            try:
                state = driver.read()
            except ReadError:
                missed = True
                continue
            after_missing += missed
            missed = False
            raw = b"".join(data[:SIZE] for data in taken[0].values())
            made_ms = np.frombuffer(raw, dtype=FIELDS)["realtime_tick"]
            sent_ms = 1e3 * (state.time_s - started_s)
            age_ms = (sent_ms - made_ms + PERIOD_MS / 2) % PERIOD_MS - PERIOD_MS / 2
            assert age_ms.max() <= TICK_MS, driver.figures()
    finally:
        driver.emulator.close()
