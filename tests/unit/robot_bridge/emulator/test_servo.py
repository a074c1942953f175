"""The control table of one servo: defaults, access rules, error codes, indirect addresses, restarts."""

import math

import pytest
from helpers.emulated_bus import BAUD, Host, make_robot, word
from robot_bridge.dynamixel.models import MODELS, model_by_number
from robot_bridge.emulator.packets import Error, Instruction

BROADCAST = 254


@pytest.mark.parametrize("model", MODELS)
def test_registers_of_every_model_lie_apart_and_hold_their_defaults(model):
    registers = sorted(MODELS[model].registers.values(), key=lambda register: register.address)
    for one, next_one in zip(registers, registers[1:], strict=False):
        assert one.end <= next_one.address, (one.name, next_one.name)
    for register in registers:
        assert register.decode(register.encode(register.default)) == register.default
    assert model_by_number(MODELS[model].number).name == model


@pytest.mark.parametrize("model", MODELS)
def test_every_model_answers_a_ping_and_starts_with_its_defaults(model):
    host = Host(make_robot(model))
    assert host.ask(2, Instruction.PING) == (0, word(MODELS[model].number) + bytes([45 if "330" not in model else 46]))
    measured = ("id", "baud_rate", "goal_", "present_", "position_trajectory", "realtime_tick", "moving")
    for name, register in MODELS[model].registers.items():
        if not name.startswith(measured):
            assert host.read(2, name) == register.default, name


def test_eeprom_is_locked_while_torque_is_on(host):
    assert host.write(1, "temperature_limit", 75) == Error.NONE
    assert host.write(1, "torque_enable", 1) == Error.NONE
    assert host.write(1, "temperature_limit", 70) == Error.ACCESS
    assert host.read(1, "temperature_limit") == 75
    assert host.write(1, "torque_enable", 0) == Error.NONE
    assert host.write(1, "temperature_limit", 70) == Error.NONE


@pytest.mark.parametrize(
    ("address", "data", "error"),
    [
        (0, b"\x01\x00", Error.ACCESS),  # read-only
        (132, bytes(4), Error.ACCESS),  # read-only
        (148, b"\x01", Error.ACCESS),  # nothing there
        (700, b"\x01", Error.ACCESS),  # outside
        (133, b"\x01", Error.ACCESS),  # inside a register
        (116, b"\x01\x00", Error.DATA_LENGTH),  # half a register
        (31, b"\x65", Error.DATA_RANGE),  # 101 C
        (64, b"\x02", Error.DATA_RANGE),
        (11, b"\x02", Error.DATA_RANGE),  # no such operating mode
        (116, (1_048_576).to_bytes(4, "little"), Error.DATA_RANGE),  # in no mode
        (116, (4096).to_bytes(4, "little"), Error.DATA_LIMIT),  # max_position_limit
        (116, (-1).to_bytes(4, "little", signed=True), Error.DATA_LIMIT),
        (100, word(886), Error.DATA_LIMIT),  # pwm_limit
        (104, (331).to_bytes(4, "little"), Error.DATA_LIMIT),  # velocity_limit
    ],
)
def test_a_bad_write_changes_nothing_and_says_why(host, address, data, error):
    before = host.ask(1, Instruction.READ, word(0) + word(147))
    assert host.ask(1, Instruction.WRITE, word(address) + data) == (error, b"")
    assert host.ask(1, Instruction.READ, word(0) + word(147)) == before


def test_a_write_over_several_registers_happens_whole_or_not_at_all(host):
    gains = word(11) + word(22) + word(33)  # position D, I, P
    assert host.ask(1, Instruction.WRITE, word(80) + gains)[0] == Error.NONE
    assert [host.read(1, f"position_{gain}_gain") for gain in "dip"] == [11, 22, 33]
    assert host.ask(1, Instruction.WRITE, word(80) + word(1) + word(2) + word(20_000))[0] == Error.DATA_RANGE
    assert [host.read(1, f"position_{gain}_gain") for gain in "dip"] == [11, 22, 33]


def test_reads_outside_the_table_and_of_nothing_are_refused(host):
    assert host.ask(1, Instruction.READ, word(660) + word(10))[0] == Error.ACCESS
    assert host.ask(1, Instruction.READ, word(148) + word(4))[0] == Error.ACCESS
    assert host.ask(1, Instruction.READ, word(132) + word(0))[0] == Error.DATA_LENGTH
    assert host.ask(1, Instruction.READ, word(132))[0] == Error.DATA_LENGTH
    assert host.ask(1, Instruction.WRITE, word(132))[0] == Error.DATA_LENGTH


def test_position_limits_bound_the_goal_in_position_control_only(host):
    assert host.write(1, "min_position_limit", 1000) == Error.NONE
    assert host.write(1, "goal_position", 999) == Error.DATA_LIMIT
    assert host.write(1, "goal_position", 1000) == Error.NONE
    assert host.write(1, "operating_mode", 4) == Error.NONE
    assert host.write(1, "goal_position", -50_000) == Error.NONE
    assert host.read(1, "goal_position") == -50_000


def test_the_current_limit_bounds_the_goal_current(host):
    assert host.write(1, "current_limit", 100) == Error.NONE
    assert host.write(1, "goal_current", 101) == Error.DATA_LIMIT
    assert host.write(1, "goal_current", -100) == Error.NONE
    assert host.read(1, "goal_current") == -100


def test_indirect_addresses_lead_to_other_registers(host):
    pointers = b"".join(word(address) for address in (132, 133, 134, 135, 146))
    assert host.ask(1, Instruction.WRITE, word(168) + pointers)[0] == Error.NONE
    _, data = host.ask(1, Instruction.READ, word(224) + word(5))
    assert int.from_bytes(data[:4], "little") == host.read(1, "present_position") == 2048
    assert data[4] == host.read(1, "present_temperature") == 25
    goal = b"".join(word(address) for address in (116, 117, 118, 119, 65))
    assert host.ask(1, Instruction.WRITE, word(578) + goal)[0] == Error.NONE
    assert host.ask(1, Instruction.WRITE, word(634) + (2100).to_bytes(4, "little") + b"\x01")[0] == Error.NONE
    assert (host.read(1, "goal_position"), host.read(1, "led")) == (2100, 1)
    assert host.ask(1, Instruction.WRITE, word(224) + b"\x01")[0] == Error.ACCESS  # leads to what is read-only
    assert host.write(1, "indirect_address_1", 63) == Error.DATA_RANGE


def test_a_registered_write_waits_for_the_action(host):
    register = host.servo(1).model.register("led")
    assert host.ask(1, Instruction.REG_WRITE, word(register.address) + b"\x01")[0] == Error.NONE
    assert (host.read(1, "led"), host.read(1, "registered_instruction")) == (0, 1)
    assert host.ask(1, Instruction.REG_WRITE, word(register.address) + b"\x07")[0] == Error.DATA_RANGE
    assert host.send(BROADCAST, Instruction.ACTION) == []
    assert (host.read(1, "led"), host.read(1, "registered_instruction")) == (1, 0)
    assert host.ask(1, Instruction.ACTION)[0] == Error.INSTRUCTION


def test_a_reboot_keeps_eeprom_and_forgets_the_rest(host):
    host.write(1, "temperature_limit", 60)
    host.write(1, "position_p_gain", 400)
    host.write(1, "bus_watchdog", 5)
    host.write(1, "torque_enable", 1)
    host.servo(1).raise_error(5)
    assert host.ask(1, Instruction.PING)[0] == 0x80
    assert host.write(1, "torque_enable", 1) == Error.RESULT_FAIL
    assert host.ask(1, Instruction.REBOOT)[0] & 0x7F == Error.NONE
    assert host.ask(1, Instruction.PING)[0] == 0
    names = ("temperature_limit", "position_p_gain", "bus_watchdog", "torque_enable", "hardware_error_status")
    assert [host.read(1, name) for name in names] == [60, 800, 0, 0, 0]


@pytest.mark.parametrize(("option", "identifier", "rate"), [(0xFF, 1, 57_600), (0x01, 3, 57_600), (0x02, 3, BAUD)])
def test_a_factory_reset_keeps_what_it_is_told_to(host, option, identifier, rate):
    host.write(3, "temperature_limit", 60)
    assert host.ask(3, Instruction.FACTORY_RESET, bytes([option]))[0] == Error.NONE
    servo = host.bus.servos[2]
    assert (servo.identifier, servo.get("temperature_limit")) == (identifier, 80)
    assert {57_600: 1, BAUD: 3}[rate] == servo.get("baud_rate")
    assert host.ask(2, Instruction.FACTORY_RESET, b"\x07")[0] == Error.DATA_RANGE


def test_no_broadcast_gives_all_servos_the_first_id(host):
    assert host.send(BROADCAST, Instruction.FACTORY_RESET, b"\xff") == []
    assert [servo.identifier for servo in host.bus.servos] == [1, 2, 3]


CLEAR = bytes.fromhex("0144584C22")


def test_clear_forgets_turns_of_a_joint_that_stands(host):
    assert host.ask(1, Instruction.CLEAR, bytes.fromhex("0144584C23"))[0] == Error.DATA_RANGE
    host.plant.turn_back(0, -2.5 * 2 * math.pi)
    host.advance(0.0025)
    assert host.read(1, "present_position") == 2048 + 10_240
    host.plant._velocity[0] = 1.0
    host.advance(0.0025)
    assert host.ask(1, Instruction.CLEAR, CLEAR) == (Error.RESULT_FAIL, b"")
    host.plant._velocity[0] = 0.0
    host.advance(0.0025)
    assert host.ask(1, Instruction.CLEAR, CLEAR) == (Error.NONE, b"")
    assert 0 <= host.read(1, "present_position") < 4096


def test_a_control_table_is_backed_up_and_restored(host):
    def ask(order):
        return host.ask(1, Instruction.CONTROL_TABLE_BACKUP, order)

    assert (host.read(1, "backup_ready"), ask(b"\x02CTRL")) == (0, (Error.RESULT_FAIL, b""))
    kept = {"temperature_limit": 60, "position_p_gain": 321, "profile_velocity": 9, "indirect_address_2": 132}
    for name, value in kept.items():
        assert host.write(1, name, value) == Error.NONE
    assert ask(b"\x03CTRL") == (Error.DATA_RANGE, b"")
    host.write(1, "torque_enable", 1)
    assert ask(b"\x01CTRL") == (Error.RESULT_FAIL, b"")
    host.write(1, "torque_enable", 0)
    assert ask(b"\x01CTRL") == (Error.NONE, b"")
    host.ask(1, Instruction.FACTORY_RESET, b"\x02")
    assert (host.read(1, "backup_ready"), host.read(1, "temperature_limit")) == (1, 80)
    assert ask(b"\x02CTRL") == (Error.NONE, b"")
    assert [host.read(1, name) for name in kept] == [60, 800, 0, 225]  # RAM: as after any reboot
    host.write(1, "startup_configuration", 2)
    host.ask(1, Instruction.REBOOT)
    assert [host.read(1, name) for name in kept] == list(kept.values())


def test_torque_may_be_on_at_start_up(host):
    host.write(1, "startup_configuration", 1)
    host.ask(1, Instruction.REBOOT)
    assert host.read(1, "torque_enable") == 1
    host.advance(0.1)
    assert host.read(1, "present_position") == 2048


def test_an_old_firmware_knows_neither_backup_nor_start_up_configuration(host):
    host.servo(1).set("firmware_version", 44)
    assert host.ask(1, Instruction.CONTROL_TABLE_BACKUP, b"\x01CTRL") == (Error.INSTRUCTION, b"")
    assert host.write(1, "startup_configuration", 1) == Error.ACCESS
    assert host.ask(1, Instruction.READ, word(60) + word(1))[0] == Error.ACCESS


def test_another_operating_mode_resets_gains_profile_and_limits(host):
    host.write(1, "current_limit", 100)
    values = {"position_p_gain": 321, "profile_velocity": 9, "goal_pwm": 100, "goal_current": 50}
    for mode, wanted in ((3, [*values.values()]), (5, [800, 0, 885, 100])):  # the mode that it has changes nothing
        for name, value in values.items():
            host.write(1, name, value)
        assert host.write(1, "operating_mode", mode) == Error.NONE
        assert [host.read(1, name) for name in values] == wanted


def test_a_model_without_current_has_no_current_modes():
    host = Host(make_robot("XL430-W250"))
    assert [host.write(1, "operating_mode", mode) for mode in (0, 5)] == [Error.DATA_RANGE] * 2
    assert [host.write(1, "operating_mode", mode) for mode in (1, 3, 4, 16)] == [Error.NONE] * 4


def test_an_unknown_instruction_is_refused(host):
    assert host.ask(1, 0x21)[0] == Error.INSTRUCTION
