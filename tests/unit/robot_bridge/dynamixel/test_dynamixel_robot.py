"""The driver against emulated servos, for a hand and for legs: motion, and everything that goes wrong meanwhile.

Lockstep where it can be: the servos' time stands still while nothing advances it, whatever else the machine does.
"""

import dataclasses
import time

import numpy as np
import pytest
from helpers.patience import best_of, until
from robot_bridge.backend import UNREAD_ERROR, BackendError, ConnectionLostError, ReadError
from robot_bridge.causes import Cause
from robot_bridge.dynamixel.emulated import EmulatedRobot, LockstepEmulatedRobot
from robot_bridge.dynamixel.robot import DynamixelRobot
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.dynamixel.units import RAD_PER_TICK
from robot_bridge.emulator.bus import EmulatedBus
from robot_bridge.emulator.plant import FreeJoints
from robot_bridge.gate import SafetyGate
from robot_bridge.gate_types import Command
from robot_bridge.monitor import JointMonitor

SETTINGS = BusSettings(port="emulator", reply_timeout_s=0.1)
CYCLE_S = 0.02
WATCHDOG_S = 1.0


@pytest.fixture(scope="module")
def lockstep(servo_robot):
    """With an emulator whose time passes on command."""
    made = LockstepEmulatedRobot(servo_robot, SETTINGS, time.monotonic)
    yield made
    made.emulator.close()


@pytest.fixture
def driver(lockstep):
    """Connected, in lockstep."""
    yield from connected(lockstep)


@pytest.fixture(scope="module")
def in_real_time(servo_robot):
    """With an emulator in real time, and a watchdog that a busy machine does not trip while it is spoken to."""
    servos = dataclasses.replace(servo_robot.servos, bus_watchdog_s=WATCHDOG_S)
    made = EmulatedRobot(dataclasses.replace(servo_robot, servos=servos), SETTINGS, time.monotonic)
    yield made
    made.emulator.close()


@pytest.fixture
def realtime(in_real_time):
    """Connected, in real time."""
    yield from connected(in_real_time)


@pytest.fixture
def impatient(driver, monkeypatch):
    """In lockstep an answer may take a second; where answers are missing on purpose, that is long."""
    monkeypatch.setattr(driver.bus._port, "reply_timeout_s", 0.2)
    return driver


def connected(made):
    made.emulator.clear_faults()
    made.recover()
    yield made
    made.emulator.clear_faults()
    made.close()


def servos(driver):
    return driver.emulator.status()["servos"]


def torques(driver):
    return [servo["torque_on"] for servo in servos(driver)]


def everyone(driver):
    return np.ones(len(servos(driver)), dtype=bool)


def nobody(driver):
    return ~everyone(driver)


def inner_goals(robot, share=0.5):
    """In the middle of the ranges, or elsewhere inside them; what turns freely goes to 0."""
    low, high = np.array(robot.position_min_rad), np.array(robot.position_max_rad)
    return np.concatenate([low + share * (high - low), np.zeros(len(robot.auxiliary_joint_names))])


def drive(driver, goals, torque_on, duration_s=1.0):
    """Command the goals for a while of the emulator's time; the states on the way."""
    states = []
    for _ in range(round(duration_s / CYCLE_S)):
        driver.write(goals, torque_on)
        driver.advance(CYCLE_S)
        states.append(driver.read())
    return states


def test_reads_what_the_joints_do(driver):
    driver.advance(0.1)
    state, truth = driver.read(), driver.emulator.status()
    assert np.abs(state.position_rad - truth["position_rad"]).max() <= RAD_PER_TICK / 2 + 1e-9
    assert np.abs(state.velocity_rad_s - truth["velocity_rad_s"]).max() <= 0.024
    assert state.current_a.shape == state.effort_nm.shape == state.position_rad.shape


def test_moves_to_its_goals_and_holds_them(driver, servo_robot):
    goals = inner_goals(servo_robot, 0.35)
    state = drive(driver, goals, everyone(driver))[-1]
    assert [servo["goal_rad"] for servo in servos(driver)] == pytest.approx(goals, abs=RAD_PER_TICK / 2 + 1e-9)
    assert state.position_rad == pytest.approx(goals, abs=0.15)
    assert all(torques(driver))


def test_a_period_takes_one_read_and_one_write(driver, servo_robot):
    drive(driver, inner_goals(servo_robot), everyone(driver), CYCLE_S)
    before = driver.bus.transactions
    driver.write(inner_goals(servo_robot), everyone(driver))
    assert driver.bus.transactions == before + 1
    driver.read()
    assert driver.bus.transactions == before + 2


def test_nothing_jumps_when_torque_comes_on(driver, servo_robot):
    """The servos still hold the goal of another pose."""
    drive(driver, inner_goals(servo_robot, 0.8), everyone(driver))
    drive(driver, inner_goals(servo_robot, 0.2), nobody(driver))
    before = driver.read()
    driver.write(before.position_rad, everyone(driver))
    driver.advance(CYCLE_S)
    moved = np.abs(driver.read().position_rad - before.position_rad)
    assert moved.max() <= 0.1


def test_start_goals_arrive_before_torque_does(driver, servo_robot, monkeypatch):
    drive(driver, inner_goals(servo_robot, 0.8), everyone(driver))
    drive(driver, inner_goals(servo_robot, 0.2), nobody(driver))
    sent = []
    plain = driver.bus.sync_write

    def noting(register, values):
        sent.append((register.name, dict(values)))
        plain(register, values)

    monkeypatch.setattr(driver.bus, "sync_write", noting)
    state = driver.read()
    driver.write(inner_goals(servo_robot), everyone(driver))
    assert [name for name, _ in sent] == ["goal_position", "torque_enable", "goal_position"]
    present = driver._units.ticks(state.position_rad)
    inside = np.clip(present, driver._low, driver._high)
    assert list(sent[0][1].values()) == inside.tolist()


def test_a_start_goal_that_is_lost_is_sent_again(driver, servo_robot, monkeypatch):
    """Nobody answers a sync write; a torque that came on without it would make the joints jump."""
    drive(driver, inner_goals(servo_robot, 0.8), everyone(driver))
    drive(driver, inner_goals(servo_robot, 0.2), nobody(driver))
    plain, lost = driver.bus.sync_write, []

    def losing(register, values):
        if not lost:
            lost.append(register.name)
            return
        plain(register, values)

    monkeypatch.setattr(driver.bus, "sync_write", losing)
    before = driver.read()
    driver.write(before.position_rad, everyone(driver))
    driver.advance(CYCLE_S)
    assert lost == ["goal_position"]
    assert np.abs(driver.read().position_rad - before.position_rad).max() <= 0.1


def test_torque_goes_off_and_stays_off(driver, servo_robot):
    drive(driver, inner_goals(servo_robot), everyone(driver))
    half = everyone(driver)
    half[::2] = False
    driver.write(inner_goals(servo_robot), half)
    assert torques(driver) == half.tolist()
    driver.write(inner_goals(servo_robot), nobody(driver))
    assert not any(torques(driver))


def test_closing_switches_torque_off_and_may_be_done_twice(driver, servo_robot):
    drive(driver, inner_goals(servo_robot), everyone(driver), 0.1)
    driver.close()
    assert not any(torques(driver))
    driver.close()


def test_goals_beyond_what_the_robot_file_allows_never_reach_the_servos(driver, servo_robot):
    drive(driver, inner_goals(servo_robot) + 100.0, everyone(driver), 0.1)
    limits = [*servo_robot.position_max_rad, *([np.pi] * len(servo_robot.auxiliary_joint_names))]
    goals = [servo["goal_rad"] for servo in servos(driver)]
    assert (np.array(goals) <= np.array(limits) + RAD_PER_TICK).all()


@pytest.mark.parametrize("side", [-1, 1])
def test_servos_hold_what_the_gate_lets_pass(driver, servo_robot, side):
    """Also for joints that were pushed out of their range, further than the speed limit brings them back: what is told
    as executed must be what the servos hold."""
    gate, names = SafetyGate(servo_robot, 1.0, 1.0), servo_robot.all_joint_names
    position_rad = driver.read().position_rad
    assert gate.arm(position_rad, 0.0)[0]
    edge_rad = np.array([*servo_robot.position_max_rad, *servo_robot.auxiliary_position_max_rad])
    if side < 0:
        edge_rad = np.array([*servo_robot.position_min_rad, *servo_robot.auxiliary_position_min_rad])
    for outside_rad in (0.0, 0.05, 0.3):
        passed = gate.check(Command(names, position_rad.tolist()), edge_rad + side * outside_rad, CYCLE_S, 0.0)
        driver.write(passed.goals_rad, passed.torque_on)
        driver.read()  # nobody answers a write
        held_rad = [servo["goal_rad"] for servo in driver.emulator.status()["servos"]]
        own = len(servo_robot.joint_names)  # a valve turns on and on, its servo counts within a turn
        np.testing.assert_allclose(held_rad[:own], passed.goals_rad[:own], atol=0.51 * RAD_PER_TICK)


@pytest.fixture
def free_joints(robot, played):
    """The hand's servos with joints that turn freely, by hand, too: driver, joints, servos."""
    free = dataclasses.replace(robot, simulation_model="")
    plant = FreeJoints(free, epoch_ns=0)
    servos = EmulatedBus(free, plant, seed=0)
    drives = servos.drives
    played.answer = lambda packet: b"".join(reply.packet for reply in servos.handle(packet, 1_000_000, drives.now_s))
    driver = DynamixelRobot(free, BusSettings(port=played.port, reply_timeout_s=0.2), lambda: drives.now_s)
    driver.open()
    yield driver, plant, servos
    driver.close()


def test_a_joint_that_turned_round_and_round_does_not_whirl_back(free_joints):
    """A servo counts turns while its torque is off, and one turn only while it is on."""
    driver, plant, servos = free_joints
    drives, valve, on = servos.drives, 9, np.ones(10, dtype=bool)
    plant.turn_back(valve, -9.0)  # somebody turns it
    drives.advance(0.1)
    state = driver.read()
    assert state.position_rad[valve] == pytest.approx(9.0, abs=1e-3)
    goals = state.position_rad.copy()
    goals[valve] += 0.1
    driver.write(goals, on)
    for number in range(1, 50):
        drives.advance(0.1 + 0.01 * number, fed=True)
        now = driver.read()
        assert abs(now.position_rad[valve] - (9.0 - 2 * np.pi)) < 0.15
    assert now.position_rad[valve] == pytest.approx(9.1 - 2 * np.pi, abs=0.02)


@pytest.mark.parametrize("again", ["", "told again", "not sent at first"])
def test_goals_of_the_count_before_torque_came_on_mean_the_same_until_the_next_reading(free_joints, monkeypatch, again):
    """A second command may answer the same state, and a write that has failed is tried again."""
    driver, plant, servos = free_joints
    on = np.ones(10, dtype=bool)
    plant.turn_back(9, -5.0)
    servos.drives.advance(0.1)
    goals = driver.read().position_rad
    if again == "not sent at first":
        plain, sent = driver.bus.sync_write, []

        def failing(register, values):
            sent.append(register.name)
            if sent == ["goal_position", "torque_enable", "goal_position"]:
                raise ReadError("not sent")
            plain(register, values)

        monkeypatch.setattr(driver.bus, "sync_write", failing)
        with pytest.raises(ReadError):
            driver.write(goals, on)
    else:
        driver.write(goals, on)
    if again:
        driver.write(goals, on)
    state = driver.read()
    assert servos.status()["servos"][9]["goal_rad"] == pytest.approx(5.0 - 2 * np.pi, abs=0.01)
    assert state.turned_rad.tolist() == [0.0] * 9 + [2 * np.pi]
    driver.write(state.position_rad, on)
    assert driver.read().turned_rad is None
    assert servos.status()["servos"][9]["goal_rad"] == pytest.approx(5.0 - 2 * np.pi, abs=0.01)


@pytest.mark.parametrize("turns", [-2, 1])
def test_a_joint_stands_in_the_turn_around_its_range_whatever_its_servo_counts(free_joints, turns):
    """It was switched on beyond the end of its turn, or turned by hand."""
    driver, plant, servos = free_joints
    before = driver.read().position_rad
    plant.turn_back(0, 2.0 * np.pi * turns)
    servos.drives.advance(0.1)
    state = driver.read()
    assert state.position_rad == pytest.approx(before, abs=2 * RAD_PER_TICK)
    driver.write(state.position_rad, np.ones(10, dtype=bool))
    for number in range(1, 20):
        servos.drives.advance(0.1 + 0.01 * number, fed=True)
        assert driver.read().position_rad == pytest.approx(before, abs=0.02)


def test_a_joint_that_has_left_its_range_since_it_was_looked_at_is_not_switched_on(free_joints):
    driver, plant, servos = free_joints
    looked = driver.read().position_rad
    plant.turn_back(0, -0.8)
    servos.drives.advance(0.1)
    with pytest.raises(BackendError, match=r"servo 10 \(finger1_top\): switched on at tick 15\d\d it would turn by 2"):
        driver.write(looked, np.ones(10, dtype=bool))
    assert not any(servo["torque_on"] for servo in servos.status()["servos"])


def test_a_silent_servo_is_named_and_no_old_value_returned(impatient, servo_robot):
    victim = servo_robot.all_joint_ids[4]
    impatient.read()
    impatient.emulator.fault("silent", id=victim)
    with pytest.raises(ReadError, match=rf"servo {victim}, .*: no answer"):
        impatient.read()
    impatient.emulator.clear_faults()
    impatient.read()
    assert impatient.figures()["bus_no_answer"] >= 2


def test_torque_that_is_not_confirmed_off_is_reported_and_tried_again(impatient, servo_robot):
    drive(impatient, inner_goals(servo_robot), everyone(impatient), 0.1)
    victim = servo_robot.all_joint_ids[2]
    impatient.emulator.fault("silent", id=victim)
    with pytest.raises(BackendError, match=rf"^servo {victim} \([^,]*torque_enable is not 0 .*: cut the power"):
        impatient.write(inner_goals(servo_robot), nobody(impatient))
    assert sum(torques(impatient)) == 1  # all that could hear are off
    impatient.emulator.clear_faults()
    impatient.write(inner_goals(servo_robot), nobody(impatient))
    assert not any(torques(impatient))


@pytest.mark.parametrize("by", ["write", "close"])
def test_a_recovery_that_fails_leaves_one_servo_under_torque_at_most_until_it_answers(impatient, servo_robot, by):
    drive(impatient, inner_goals(servo_robot), everyone(impatient), 0.1)

    def let_go():
        impatient.close() if by == "close" else impatient.write(inner_goals(servo_robot), nobody(impatient))

    impatient.emulator.fault("silent", id=servo_robot.all_joint_ids[0])
    with pytest.raises(ReadError):
        impatient.recover()
    assert torques(impatient) == [True] + [False] * (len(servos(impatient)) - 1)
    with pytest.raises(BackendError, match="torque_enable is not 0 .*: cut the power"):
        let_go()
    impatient.emulator.clear_faults()
    let_go()
    assert not any(torques(impatient))
    silent = rf"set up \(servo {servo_robot.all_joint_ids[0]}: no answer to .*"
    reason = rf"is closed since the servos could not be {silent}\): mend that, then call safety/reset"
    with pytest.raises(ConnectionLostError, match=reason if by == "write" else "is not open"):  # by recover() alone
        impatient.write(inner_goals(servo_robot), everyone(impatient))
    assert not any(torques(impatient))


def test_lost_and_damaged_packets_cost_readings_but_never_truth(driver, servo_robot, monkeypatch):
    drive(driver, inner_goals(servo_robot), everyone(driver), 0.5)
    monkeypatch.setattr(driver.bus._port, "reply_timeout_s", 0.02)
    for kind in ("lost", "corrupt", "duplicated"):
        driver.emulator.fault(kind, rate=0.02)
    good = 0
    while good < 200 or sum(driver.bus.failures.values()) < 10:
        truth = driver.emulator.status()["position_rad"]
        try:
            state = driver.read()
        except ReadError:
            continue
        assert np.abs(state.position_rad - truth).max() <= RAD_PER_TICK / 2 + 1e-9
        good += 1


@pytest.mark.parametrize("read_retries", [0, 1])
def test_fast_reads_are_given_up_after_failing_again_and_again(servo_robot, read_retries):
    settings = dataclasses.replace(SETTINGS, fast_read_failures=3, read_retries=read_retries)
    driver = LockstepEmulatedRobot(servo_robot, settings, time.monotonic)
    try:
        driver.open()
        driver.bus._port.reply_timeout_s = 0.3
        plain = driver.bus.sync_read
        driver.bus.sync_read = lambda ids, address, size, fast=False: (
            plain([*ids, 200], address, size, True) if fast else plain(ids, address, size)
        )
        for number in range(3):
            assert driver.figures()["bus_fast_read"], number
            driver.read()  # the plain read that follows at once
        assert not driver.figures()["bus_fast_read"]
    finally:
        driver.emulator.close()


def test_fast_reads_can_be_switched_off(servo_robot):
    driver = LockstepEmulatedRobot(servo_robot, dataclasses.replace(SETTINGS, fast_read=False), time.monotonic)
    try:
        driver.open()
        driver.read()
        assert not driver.figures()["bus_fast_read"]
    finally:
        driver.emulator.close()


# goals that the servos hold


def test_a_lost_write_is_found_out_and_repeated(driver, servo_robot):
    drive(driver, inner_goals(servo_robot), everyone(driver), 0.1)
    before = [servo["goal_rad"] for servo in servos(driver)]
    driver.emulator.fault("lost_writes", rate=1.0)
    driver.write(inner_goals(servo_robot, 0.6), everyone(driver))
    own = np.arange(len(before)) < len(servo_robot.joint_names)  # the others' goals stay
    for lost in (1, 2):
        assert driver.read().goals_held.tolist() == (~own).tolist()
        assert driver.figures()["bus_lost_write"] == lost
    assert [servo["goal_rad"] for servo in servos(driver)] == before
    driver.emulator.clear_faults()
    assert not driver.read().goals_held.all()  # this one writes again
    assert driver.read().goals_held.all()
    told = [servo["goal_rad"] for servo in servos(driver)]
    assert told == pytest.approx(inner_goals(servo_robot, 0.6), abs=RAD_PER_TICK / 2 + 1e-9)
    driver.bus.failures.clear()


def test_in_lockstep_no_time_passes_before_a_write_has_arrived(driver, servo_robot):
    drive(driver, inner_goals(servo_robot), everyone(driver), 0.1)
    plain, lost = driver.bus.sync_write, []
    driver.bus.sync_write = lambda register, values: lost.append(register) if not lost else plain(register, values)
    try:
        state = drive(driver, inner_goals(servo_robot, 0.6), everyone(driver), CYCLE_S)[-1]
    finally:
        driver.bus.sync_write = plain
    assert lost and state.goals_held.all()


def test_a_servo_that_never_takes_its_goal_is_named(driver, servo_robot):
    drive(driver, inner_goals(servo_robot), everyone(driver), 0.1)
    driver.emulator.fault("lost_writes", rate=1.0)
    driver.write(inner_goals(servo_robot, 0.6), everyone(driver))
    with pytest.raises(BackendError, match=rf"servo {servo_robot.joint_ids[0]} .*: goal_position is \d+, not \d+"):
        for _ in range(10):
            driver.read()
    driver.emulator.clear_faults()
    driver.write(inner_goals(servo_robot), nobody(driver))  # torque off works all the same
    assert driver.read().goals_held.all()  # nobody holds anything


# their clocks


def test_an_answer_that_is_older_than_the_read_is_refused(driver):
    driver.read()
    driver._time_s += 0.1  # the servos' stands still
    old = driver.figures().get("bus_old_answer", 0)
    with pytest.raises(ReadError, match=r"servo \d+ .*: its clock is \d+ ms behind: an answer to an earlier"):
        driver.read()
    assert driver.figures()["bus_old_answer"] == old + 2
    driver._time_s -= 0.1
    driver.read()


def test_a_computer_that_stood_still_learns_the_servos_time_anew(driver):
    driver.read()
    driver.emulator.advance(1.0)
    driver.read()
    assert driver.figures()["bus_clock_ahead"] == 1
    driver._time_s += 1.0
    driver.recover()


# health


def test_health_comes_one_servo_at_a_time(driver, servo_robot):
    count = len(servo_robot.all_joint_ids)
    health = driver.poll_health()
    assert np.isnan(health.temperature_c).sum() == count - 1
    for _ in range(2 * count - 1):
        before = driver.bus.transactions
        health = driver.poll_health()
        assert driver.bus.transactions == before + 1
    assert health.voltage_v == pytest.approx(np.full(count, servo_robot.servos.voltage_v))
    assert health.temperature_c == pytest.approx(np.full(count, 25.0), abs=1.0)
    assert np.isfinite(health.read_s).all()
    assert not health.hardware_error.any()


def test_an_alert_is_looked_at_first_and_recovered_from(driver, servo_robot):
    drive(driver, inner_goals(servo_robot), everyone(driver), 0.1)
    driver.emulator.fault("hardware_error", id=servo_robot.all_joint_ids[3], bit=5)
    driver.read()
    assert driver.poll_health().hardware_error.tolist() == [0, 0, 0, 1 << 5] + [0] * (len(everyone(driver)) - 4)
    driver.write(inner_goals(servo_robot), nobody(driver))
    with pytest.raises(BackendError, match="torque_enable is not 1 .*hardware error.*safety/reset"):
        driver.write(inner_goals(servo_robot), everyone(driver))
    driver.write(inner_goals(servo_robot), nobody(driver))
    assert not any(torques(driver))  # nor those that had come on
    driver.emulator.fault("hardware_error", id=servo_robot.all_joint_ids[3], bit=2)
    for _ in range(3 * len(everyone(driver))):
        health = driver.poll_health()
    assert health.hardware_error[3] == 1 << 5 | 1 << 2  # the second one, too
    driver.recover()
    driver.read()
    assert not driver.poll_health().hardware_error.any()
    drive(driver, inner_goals(servo_robot), everyone(driver), 0.1)
    assert all(torques(driver))


def test_an_alert_counts_although_its_reason_cannot_be_read(driver, servo_robot, monkeypatch):
    drive(driver, inner_goals(servo_robot), everyone(driver), 0.1)
    driver.emulator.fault("hardware_error", id=servo_robot.all_joint_ids[3], bit=5)
    driver.read()

    def lost(*_):
        raise ReadError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(driver.bus, "read", lost)
        health = driver.poll_health()
    assert health.hardware_error[3] == UNREAD_ERROR
    monitor = JointMonitor(servo_robot, servo_robot.safety.speed_stop_rad_s)
    ((cause, detail),) = monitor.health_problems(health, nobody(driver), 0.0)
    assert cause is Cause.HARDWARE_ERROR
    assert f"'{servo_robot.all_joint_names[3]}' reports a hardware error that could not be read yet" in detail
    for _ in range(3 * len(everyone(driver))):
        health = driver.poll_health()
    assert health.hardware_error[3] == 1 << 5


@pytest.mark.parametrize("by", ["its watchdog", "its clock"])
def test_a_servo_that_restarts_is_found_out(driver, servo_robot, by):
    """It would go on without gains, limits and bus watchdog."""
    drive(driver, inner_goals(servo_robot), everyone(driver), 0.1)
    victim = servo_robot.all_joint_ids[1]
    driver.emulator.fault("reboot", id=victim)
    driver.advance(1.0)  # it starts

    if by == "its watchdog":
        driver.poll_health()
        driver.poll_health()
    for attempt in (driver.read, driver.read, lambda: driver.write(inner_goals(servo_robot), everyone(driver))):
        with pytest.raises(BackendError, match=rf"servo {victim} \(.*\): restarted, without settings: .*reset"):
            attempt()
    driver.write(inner_goals(servo_robot), nobody(driver))  # torque off works all the same
    driver.recover()
    assert servos(driver)[1]["bus_watchdog"] == 4
    drive(driver, inner_goals(servo_robot), everyone(driver), 0.1)
    assert all(torques(driver))


# real time


def test_torque_off_is_said_first_and_its_confirmation_waited_for_a_moment_only(realtime, servo_robot, monkeypatch):
    """However many servos do not answer."""
    realtime.write(realtime.read().position_rad, everyone(realtime))
    monkeypatch.setattr(realtime.bus._port, "reply_timeout_s", BusSettings().reply_timeout_s)
    said = []
    monkeypatch.setattr(realtime.bus, "sync_write", recorded(realtime.bus.sync_write, "write", said))
    monkeypatch.setattr(realtime.bus, "sync_read", recorded(realtime.bus.sync_read, "read", said))
    monkeypatch.setattr(realtime.bus, "read_bytes", recorded(realtime.bus.read_bytes, "read", said))
    for identifier in servo_robot.all_joint_ids:
        realtime.emulator.fault("silent", id=identifier)

    def tell_s():
        said.clear()
        since_s = time.monotonic()
        with pytest.raises(BackendError, match="torque_enable is not 0 .*: cut the power"):
            realtime.write(inner_goals(servo_robot), nobody(realtime))
        assert said[0] == said[-1] == "write"
        return time.monotonic() - since_s

    assert best_of(5, tell_s, 0.45) < 0.45
    realtime.emulator.clear_faults()


def recorded(method, name, said):
    """The method, which notes that it is called."""

    def call(*arguments):
        said.append(name)
        return method(*arguments)

    return call


def test_silence_trips_the_bus_watchdog_and_the_driver_says_so(realtime, servo_robot):
    realtime.write(realtime.read().position_rad, everyone(realtime))
    until(lambda: all(s["bus_watchdog"] == -1 for s in servos(realtime)), "the servos stop by themselves")
    with pytest.raises(BackendError, match=r"stopped after hearing nothing for 1 s \(bus watchdog\)"):
        realtime.read()
    realtime.write(inner_goals(servo_robot), nobody(realtime))
    realtime.recover()
    assert [s["bus_watchdog"] for s in servos(realtime)] == [50] * len(everyone(realtime))
    assert not any(torques(realtime))
    realtime.read()


def test_pulling_the_cable_and_putting_it_back(realtime, servo_robot):
    realtime.write(realtime.read().position_rad, everyone(realtime))
    realtime.emulator.unplug()
    goals = inner_goals(servo_robot)
    for attempt in (realtime.read, lambda: realtime.write(goals, nobody(realtime)), realtime.recover, realtime.read):
        with pytest.raises(ConnectionLostError):
            attempt()
    until(lambda: all(s["bus_watchdog"] == -1 for s in servos(realtime)), "the servos stop by themselves")
    assert all(torques(realtime))
    realtime.emulator.replug()
    realtime.write(goals, nobody(realtime))  # as soon as it is back, without a reset
    assert not any(torques(realtime))
    with pytest.raises(ConnectionLostError):
        realtime.read()
    realtime.recover()
    realtime.read()
    assert not any(torques(realtime))


def test_closing_after_the_cable_was_pulled_is_no_error_and_switches_torque_off_when_it_is_back(realtime):
    realtime.write(realtime.read().position_rad, everyone(realtime))
    realtime.emulator.unplug()
    realtime.close()
    assert all(torques(realtime))
    realtime.emulator.replug()
    realtime.close()
    assert not any(torques(realtime))


def test_times_are_steady_and_anchored(realtime):
    """Robot time is the clock's, moved by the epoch; the fixture's is 0."""
    before_s = time.monotonic()
    times_s = [realtime.read().time_s for _ in range(5)]
    assert times_s == sorted(times_s)
    assert before_s <= times_s[0] <= times_s[-1] <= time.monotonic()


def test_a_reading_after_a_retry_has_the_time_of_the_retry(realtime, monkeypatch):
    plain, sent_s = realtime.bus.sync_read, []

    def first_without_answer(ids, address, size, fast=False):
        sent_s.append(time.monotonic())
        return plain([*ids, 200] if len(sent_s) == 1 else ids, address, size, fast)

    monkeypatch.setattr(realtime.bus, "sync_read", first_without_answer)
    # A busy machine may hand the second answer over late.
    monkeypatch.setattr(realtime.bus._port, "reply_timeout_s", 2.0)
    state = realtime.read()
    assert len(sent_s) == 2
    assert sent_s[1] <= state.time_s <= time.monotonic()


def test_no_read_without_answer_has_the_length_of_one_before(driver, monkeypatch):
    """A computer may hand answers over 100 ms late: then the answer to one read must not pass for that to another."""
    plain, sizes = driver.bus.sync_read, []

    def unanswered(ids, address, size, fast=False):
        sizes.append(size)
        plain(ids, address, size, fast)  # these registers can be read
        raise ReadError("late")

    driver.read()
    monkeypatch.setattr(driver.bus, "sync_read", unanswered)
    for _ in range(5):
        with pytest.raises(ReadError):
            driver.read()
    assert len(sizes) == len(set(sizes)) == 10
    monkeypatch.undo()
    driver.read()


def test_lockstep_time_is_the_emulators(driver):
    start_ns = driver.read().time_ns
    driver.advance(0.1)
    assert driver.read().time_ns == start_ns + 100_000_000


def test_a_dead_emulator_is_a_lost_connection(servo_robot):
    driver = LockstepEmulatedRobot(servo_robot, SETTINGS, time.monotonic)
    driver.open()
    driver.emulator.process.kill()
    driver.emulator.process.wait()
    with pytest.raises(ConnectionLostError):
        driver.read()
    driver.emulator.close()
