"""What happens at every connection: each servo is asked who it is, set as the robot file says, and read back."""

import dataclasses
import time

import pytest
from robot_bridge.backend import BackendError, ConnectionLostError
from robot_bridge.dynamixel import connection
from robot_bridge.dynamixel.bus import DynamixelBus
from robot_bridge.dynamixel.connection import reboot_faulty, servos_of, set_register, set_up, watchdog_ticks
from robot_bridge.dynamixel.robot import DynamixelRobot
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.emulator import EmulatorProcess


@pytest.fixture(scope="module")
def lockstep(servo_robot):
    with EmulatorProcess(servo_robot, lockstep=True) as made:
        yield made


@pytest.fixture
def emulator(lockstep, servo_robot):
    """With servos that are in order."""
    lockstep.clear_faults()
    for identifier in servo_robot.all_joint_ids:
        lockstep.fault("reboot", id=identifier)
    return lockstep


@pytest.fixture
def emulated_bus(servo_robot, emulator):
    bus = DynamixelBus(emulator.port, servo_robot.servos.baud_rate, reply_timeout_s=1.0)
    bus.open()
    yield bus
    bus.close()


def connect(bus, robot):
    return set_up(bus, servos_of(robot), watchdog_ticks(robot))


def test_every_register_is_set_and_read_back(emulated_bus, servo_robot):
    assert connect(emulated_bus, servo_robot)  # all know fast reads
    for servo in servos_of(servo_robot):
        for name, value in {**servo.settings, "bus_watchdog": 4, "torque_enable": 0}.items():
            assert emulated_bus.read(servo.identifier, servo.model.register(name)) == value, name


def test_eeprom_is_written_only_where_it_differs(emulated_bus, servo_robot, monkeypatch):
    connect(emulated_bus, servo_robot)
    servo = servos_of(servo_robot)[2]
    emulated_bus.write(servo.identifier, servo.model.register("bus_watchdog"), 0)
    emulated_bus.write(servo.identifier, servo.model.register("operating_mode"), 1)
    written = []
    plain = emulated_bus.write

    def noting(identifier, register, value):
        written.append((identifier, register.name, value))
        plain(identifier, register, value)

    monkeypatch.setattr(emulated_bus, "write", noting)
    connect(emulated_bus, servo_robot)
    eeprom = [entry for entry in written if servo.model.register(entry[1]).eeprom]
    assert eeprom == [(servo.identifier, "operating_mode", 3)]


def test_guards_less_safe_than_from_the_factory_are_restored(emulated_bus, servo_robot):
    """Those that are as safe or safer stay."""
    first, second = servos_of(servo_robot)[:2]
    less_safe = {
        "shutdown": 4,
        "secondary_id": second.identifier + 100,
        "temperature_limit": 95,
        "startup_configuration": 1,
    }
    safer = {"shutdown": 0b111101, "secondary_id": 254, "temperature_limit": 60, "startup_configuration": 0}
    for servo, values in ((first, less_safe), (second, safer)):
        for name, value in values.items():
            emulated_bus.write(servo.identifier, servo.model.register(name), value)
    connect(emulated_bus, servo_robot)
    for name, value in safer.items():
        assert emulated_bus.read(second.identifier, second.model.register(name)) == value
        assert emulated_bus.read(first.identifier, first.model.register(name)) == first.model.register(name).default
    for name in safer:  # the servos outlive this test
        set_register(emulated_bus, second, name, second.model.register(name).default)


def test_torque_left_on_and_servos_told_not_to_answer(emulated_bus, servo_robot):
    """As a crash leaves them, or somebody's experiments."""
    for servo in servos_of(servo_robot):
        emulated_bus.write(servo.identifier, servo.model.register("torque_enable"), 1)
    model = servos_of(servo_robot)[0].model
    emulated_bus.sync_write(model.register("status_return_level"), dict.fromkeys(servo_robot.all_joint_ids, 0))
    connect(emulated_bus, servo_robot)
    for identifier in servo_robot.all_joint_ids:
        assert emulated_bus.read(identifier, model.register("torque_enable")) == 0


@pytest.mark.parametrize("begin", [connect, lambda bus, robot: reboot_faulty(bus, servos_of(robot))])
def test_a_silent_servo_does_not_leave_the_others_under_torque(emulator, emulated_bus, servo_robot, monkeypatch, begin):
    for servo in servos_of(servo_robot):
        emulated_bus.write(servo.identifier, servo.model.register("torque_enable"), 1)
    emulator.fault("silent", id=servo_robot.all_joint_ids[0])
    monkeypatch.setattr(emulated_bus._port, "reply_timeout_s", 0.1)
    with pytest.raises(BackendError, match="no answer"):
        begin(emulated_bus, servo_robot)
    first, *others = emulator.status()["servos"]
    assert first["torque_on"] and not any(servo["torque_on"] for servo in others)


@pytest.mark.parametrize("register", ["operating_mode", "profile_velocity"])
def test_a_servo_that_restarts_while_others_are_set_up_is_found_out(
    emulator, emulated_bus, servo_robot, monkeypatch, register
):
    """Its gains are those of the factory again, and so is its bus watchdog, which nothing must hide."""
    first, third = servos_of(servo_robot)[0], servos_of(servo_robot)[2]
    plain = connection.read_register

    def restarting(bus, servo, name):
        if servo is not first and (servo.identifier, name) == (third.identifier, register):
            emulator.fault("reboot", id=first.identifier)
        return plain(bus, servo, name)

    monkeypatch.setattr(connection, "read_register", restarting)
    with pytest.raises(BackendError, match=rf"servo {first.identifier} .*: restarted while .*: check supply and cable"):
        connect(emulated_bus, servo_robot)


def test_another_model_is_refused(emulated_bus, servo_robot):
    other = "XM430-W350" if servo_robot.name == "legs" else "XM430-W210"
    models = [*servo_robot.servos.model[:-1], other]
    servos = dataclasses.replace(servo_robot.servos, model=models)
    with pytest.raises(BackendError, match=rf"is a {servo_robot.servos.model[0]}, the robot file expects a {other}"):
        connect(emulated_bus, dataclasses.replace(servo_robot, servos=servos))


def test_a_firmware_without_bus_watchdog_is_refused(emulated_bus, servo_robot, monkeypatch):
    plain = emulated_bus.ping
    monkeypatch.setattr(emulated_bus, "ping", lambda identifier: dataclasses.replace(plain(identifier), firmware=37))
    with pytest.raises(BackendError, match="has firmware 37; the bus watchdog needs 38 or newer: update it"):
        connect(emulated_bus, servo_robot)


def test_a_missing_servo_is_named(emulator, emulated_bus, servo_robot, monkeypatch):
    victim = servo_robot.all_joint_ids[5]
    emulator.fault("silent", id=victim)
    monkeypatch.setattr(emulated_bus._port, "reply_timeout_s", 0.2)
    with pytest.raises(BackendError, match=rf"servo {victim}: no answer to ping"):
        connect(emulated_bus, servo_robot)


def test_a_hardware_error_is_named_with_its_remedy(emulator, emulated_bus, servo_robot):
    emulator.fault("hardware_error", id=servo_robot.all_joint_ids[0], bit=5)
    with pytest.raises(BackendError, match=r"reports hardware error overload: .*safety/reset"):
        connect(emulated_bus, servo_robot)


def test_a_value_that_is_not_taken_is_named(emulated_bus, servo_robot, monkeypatch):
    plain = emulated_bus.write

    def swallowing(identifier, register, value):
        if register.name != "bus_watchdog":
            plain(identifier, register, value)

    monkeypatch.setattr(emulated_bus, "write", swallowing)
    with pytest.raises(BackendError, match="bus_watchdog is 0 after writing 4: reboot it"):
        connect(emulated_bus, servo_robot)


def test_lost_packets_do_not_keep_it_from_connecting(emulator, emulated_bus, servo_robot, monkeypatch):
    monkeypatch.setattr(emulated_bus._port, "reply_timeout_s", 0.05)
    emulator.fault("lost", rate=0.01)
    connect(emulated_bus, servo_robot)


def test_an_open_that_fails_lets_go_of_the_port(emulator, servo_robot):
    settings = BusSettings(port=emulator.port)
    robot = DynamixelRobot(servo_robot, settings, time.monotonic)
    emulator.fault("silent", id=servo_robot.all_joint_ids[0])
    with pytest.raises(BackendError):
        robot.open()
    emulator.clear_faults()
    other = DynamixelRobot(servo_robot, settings, time.monotonic)
    other.open()
    with pytest.raises(ConnectionLostError, match="another process has it open"):
        robot.open()
    other.close()


def test_a_servo_that_was_silent_when_it_was_opened_is_let_go_at_the_end(emulator, emulated_bus, servo_robot):
    first = servos_of(servo_robot)[0]
    emulated_bus.write(first.identifier, first.model.register("torque_enable"), 1)  # a crash has left it on
    emulated_bus.close()
    robot = DynamixelRobot(servo_robot, BusSettings(port=emulator.port, reply_timeout_s=0.1), time.monotonic)
    emulator.fault("silent", id=first.identifier)
    with pytest.raises(BackendError):
        robot.open()
    emulator.clear_faults()
    robot.close()
    assert not emulator.status()["servos"][0]["torque_on"]


def test_servos_at_another_baud_rate_are_missed(servo_robot):
    """57,600 baud is what they leave the factory with."""
    with EmulatorProcess(servo_robot, baud_rate=57_600) as emulator:
        robot = DynamixelRobot(servo_robot, BusSettings(port=emulator.port), time.monotonic)
        with pytest.raises(BackendError, match=rf"no answer to ping at {servo_robot.servos.baud_rate} baud"):
            robot.open()


def test_it_may_be_opened_again_and_again(emulator, servo_robot):
    robot = DynamixelRobot(servo_robot, BusSettings(port=emulator.port), time.monotonic)
    for _ in range(2):
        robot.open()
        robot.open()
        robot.read()
        robot.close()
