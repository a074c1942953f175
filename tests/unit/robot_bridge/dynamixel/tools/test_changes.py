"""New ids, new baud rates, restarts: what is refused, and what is looked at afterwards."""

import pytest
from robot_bridge.backend import BackendError
from robot_bridge.dynamixel.connection import servos_of, set_up
from robot_bridge.dynamixel.models import MODELS
from robot_bridge.dynamixel.tools import changes
from robot_bridge.dynamixel.tools.checks import check
from robot_bridge.dynamixel.tools.findings import RefusedError
from robot_bridge.dynamixel.tools.states import look_at
from robot_bridge.dynamixel.tools.survey import survey

from .conftest import REPLY_TIMEOUT_S

REGISTERS = MODELS["XM430-W210"].registers


def test_an_id(emulated, commands):
    _, bus = emulated
    assert changes.set_id(bus, 3, 30, commands).identifier == 30
    assert bus.read(30, REGISTERS["id"]) == 30
    assert look_at(bus, 3) is None
    for old, new, message in (
        (30, 4, "another servo already has id 4"),
        (30, 253, "a servo cannot have id 253"),
        (30, 30, "the id that it has"),
        (99, 100, "no servo answers to id 99 at 3000000 baud"),
    ):
        with pytest.raises(RefusedError, match=message):
            changes.set_id(bus, old, new, commands)
    assert bus.read(30, REGISTERS["id"]) == 30


def test_no_id_under_torque_nor_of_two_at_once(emulated, commands):
    _, bus = emulated
    bus.write(3, REGISTERS["torque_enable"], 1)
    with pytest.raises(RefusedError, match="torque of servo 3 is on.*rosac bus reboot --port P --id 3"):
        changes.set_id(bus, 3, 30, commands)
    bus.write(5, REGISTERS["profile_velocity"], 7)
    bus.write(5, REGISTERS["id"], 4)
    with pytest.raises(RefusedError, match="two servos have that id"):
        changes.set_id(bus, 4, 30, commands)
    assert look_at(bus, 30) is None


@pytest.mark.parametrize("rate", [57_600, 1_000_000])
def test_a_baud_rate(emulated, commands, rate):
    _, bus = emulated
    state = changes.set_baud_rate(bus, 3, rate, commands)
    assert bus.baud_rate == 3_000_000
    assert look_at(bus, 3) is None
    bus.set_baud_rate(rate)
    assert look_at(bus, 3).registers["baud_rate"] == state.registers["baud_rate"] != REGISTERS["baud_rate"].maximum


def test_baud_rates_that_are_refused(emulated, commands):
    _, bus = emulated
    bus.write(4, REGISTERS["baud_rate"], 3)
    bus.write(5, REGISTERS["id"], 4)
    for identifier, rate, message in (
        (3, 4_500_000, "not possible"),
        (3, 123, "not possible"),
        (3, 3_000_000, "the rate that it has"),
        (99, 1_000_000, "no servo answers to id 99"),
        (4, 1_000_000, "another servo already has id 4 at 1000000 baud"),
    ):
        with pytest.raises(RefusedError, match=message):
            changes.set_baud_rate(bus, identifier, rate, commands)
        assert bus.baud_rate == 3_000_000


def test_the_change_of_a_servo_that_goes_silent_is_no_success(emulated, commands, monkeypatch):
    emulator, bus = emulated
    write = bus.write

    def write_and_lose(identifier, register, value):
        emulator.fault("silent", id=identifier)
        write(identifier, register, value)

    monkeypatch.setattr(bus, "write", write_and_lose)
    with pytest.raises(BackendError, match="does not answer; look for it with `rosac bus scan --port P --all-baud"):
        changes.set_id(bus, 3, 30, commands)
    with pytest.raises(BackendError, match="at 57600 baud: it does not answer; look for it"):
        changes.set_baud_rate(bus, 4, 57_600, commands)
    assert bus.baud_rate == 3_000_000


def test_a_reboot_clears_an_overload_and_waits_until_the_servo_is_back(emulated):
    emulator, bus = emulated
    emulator.fault("hardware_error", id=3, bit=5)
    assert look_at(bus, 3).registers["hardware_error_status"] == 32
    state = changes.reboot(bus, 3)
    assert (state.registers["hardware_error_status"], state.registers["torque_enable"]) == (0, 0)


def test_a_reboot_of_a_servo_that_was_told_not_to_answer(emulated):
    _, bus = emulated
    bus.sync_write(REGISTERS["status_return_level"], {3: 0})
    assert changes.reboot(bus, 3).registers["status_return_level"] == 2


def test_a_servo_that_stays_away_is_an_error(emulated, monkeypatch):
    emulator, bus = emulated
    monkeypatch.setattr(changes, "_LOOKS_AFTER_REBOOT", 2)
    emulator.fault("silent", id=3)
    with pytest.raises(BackendError, match="servo 3 has not come back"):
        changes.reboot(bus, 3)


def test_set_up_and_guards_leave_nothing_to_say(emulated, legs, commands):
    """What `rosac bus check --fix` does."""
    _, bus = emulated
    for name, value in (("shutdown", 0), ("secondary_id", 9), ("temperature_limit", 90), ("homing_offset", 5)):
        bus.write(3, REGISTERS[name], value)
    servos = servos_of(legs)
    before = survey(bus, legs.all_joint_ids, REPLY_TIMEOUT_S)
    assert any(finding.what == "shutdown" for finding in check(before, legs, "P", None, commands))
    set_up(bus, servos, 3)
    for servo in servos:
        changes.restore_guards(bus, servo, before.states[servo.identifier])
    after = survey(bus, legs.all_joint_ids, REPLY_TIMEOUT_S)
    assert check(after, legs, "P", None, commands) == []
