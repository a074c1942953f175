"""Every finding: what it is called, how bad it is, and that its remedy names the command or setting that mends it."""

import pytest
from robot_bridge.dynamixel.bus import Ping
from robot_bridge.dynamixel.tools.checks import check
from robot_bridge.dynamixel.tools.findings import Severity, grouped
from robot_bridge.dynamixel.tools.states import Unreadable
from robot_bridge.dynamixel.tools.survey import Survey
from robot_bridge.dynamixel.tools.usb import latency_timer_ms

RATE = 3_000_000
ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


def findings(states, robot, commands, latency_ms=None, rate=RATE, **survey):
    return check(Survey(rate, states, **survey), robot, "/dev/ttyUSB7", latency_ms, commands)


def only(found):
    assert len(found) == 1, [str(finding) for finding in found]
    return found[0]


def test_a_bus_that_is_as_the_robot_file_says_gives_no_findings(good_states, legs, commands):
    assert findings(good_states, legs, commands, latency_ms=1) == []


FIX = "rosac bus check --port P --fix"
REBOOT = "rosac bus reboot --port P --id 3"


@pytest.mark.parametrize(
    ("registers", "severity", "what", "value", "limit", "remedy"),
    [
        ({"return_delay_time": 250}, WARNING, "return delay time", "500 us", "0 us", FIX),
        ({"operating_mode": 1}, WARNING, "operating mode", "velocity (1)", "position (3)", FIX),
        ({"drive_mode": 1}, WARNING, "drive mode", "1", "0", FIX),
        ({"homing_offset": 1024}, WARNING, "homing offset", "90 degrees", "tick 0", FIX),
        ({"max_position_limit": 4095}, WARNING, "max position limit", "tick 4095", "tick 2811", FIX),
        ({"pwm_limit": 885}, WARNING, "pwm limit", "100% (885)", "96% (846)", FIX),
        ({"velocity_limit": 100}, WARNING, "velocity limit", "2.40 rad/s", "7.91 rad/s", FIX),
        ({"goal_pwm": 885}, NOTE, "goal pwm", "100% (885)", "96% (846)", "nothing to do"),
        ({"startup_configuration": 1}, WARNING, "startup configuration", "torque on at start-up", "torque off", FIX),
        ({"position_p_gain": 100}, NOTE, "position p gain", "100", "800", "nothing to do"),
        ({"shutdown": 4}, WARNING, "shutdown", "on overheating (4)", "electrical shock and overload", FIX),
        ({"secondary_id": 5}, WARNING, "secondary id", "5, to which it obeys too", "none", FIX),
        ({"temperature_limit": 95}, WARNING, "temperature limit", "95 C", "80 C (factory)", FIX),
        ({"temperature_limit": 70}, WARNING, "temperature limit", "70 C: it lets go", "75 C", "temperature_stop_c"),
        ({"hardware_error_status": 0x20}, ERROR, "hardware error", "overload", "none", REBOOT),
        ({"hardware_error_status": 0x05}, ERROR, "hardware error", "input voltage and overheating", "none", REBOOT),
        ({"present_temperature": 75}, ERROR, "temperature", "75 C", "below 75 C (robot.safety", "let it rest"),
        ({"present_temperature": 66}, WARNING, "temperature", "66 C", "below 75 C", "let it rest"),
        ({"present_input_voltage": 90}, ERROR, "supply", "9.0 V", "9.5 to 16.0 V", "connect a supply of 12 V"),
        ({"present_input_voltage": 100}, WARNING, "supply", "10.0 V", "about 12 V", "robot.servos.voltage_v"),
        ({"present_input_voltage": 170}, ERROR, "supply", "17.0 V", "9.5 to 16.0 V", "connect a supply of 12 V"),
        ({"torque_enable": 1}, WARNING, "torque", "on, and no bridge runs", "off", FIX),
        ({"bus_watchdog": -1}, NOTE, "bus watchdog", "has stopped it", "not needed", "nothing to do"),
    ],
)
def test_registers(changed, legs, commands, registers, severity, what, value, limit, remedy):
    found = only(findings(changed(**registers), legs, commands))
    assert (found.severity, found.who, found.what) == (severity, "servo 3 (back_left_1)", what)
    assert value in found.value
    assert limit in found.limit
    assert remedy in found.remedy
    assert found.is_problem == (severity is not NOTE)


@pytest.mark.parametrize(
    ("ping", "severity", "what", "remedy"),
    [
        (Ping(1030, 44), NOTE, "firmware", "fast reads are not used"),
        (Ping(1030, 37), ERROR, "firmware", "no bus watchdog"),
        (Ping(1020, 45), ERROR, "model", "robot.servos.model"),
        (Ping(4711, 45), ERROR, "model", "robot.servos.model"),
    ],
)
def test_what_a_ping_gives_away(changed, legs, commands, ping, severity, what, remedy):
    found = only(findings(changed(ping=ping), legs, commands))
    assert (found.severity, found.what) == (severity, what)
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("survey", "what", "remedy"),
    [
        ({}, "answer", "rosac bus scan --port P --all-baud-rates"),
        ({"elsewhere": {3: 57_600}}, "baud rate", "set-baud --port P --baud-rate 57600 --new-baud-rate 3000000"),
        ({"protocol_1": [3]}, "protocol", "DYNAMIXEL Wizard"),
        ({"unreadable": {3: Unreadable(3, 4, True, "garbled")}}, "answers", "set-id --port P --id 3 --new-id"),
        ({"unreadable": {3: Unreadable(3, 0, False, "refused")}}, "answers", REBOOT),
    ],
)
def test_a_servo_that_cannot_be_read(good_states, legs, commands, survey, what, remedy):
    del good_states[3]
    found = only(findings(good_states, legs, commands, **survey))
    assert (found.severity, found.identifier, found.what) == (ERROR, 3, what)
    assert remedy in found.remedy


def test_a_new_servo_beside_the_robots(good_states, legs, commands):
    del good_states[3]
    missing, new = findings(good_states, legs, commands, new=True)
    assert "set-id --port P --baud-rate 57600 --id 1 --new-id 3" in missing.remedy
    assert (new.severity, new.who) == (WARNING, "servo 1")


def test_strangers(good_states, legs, commands):
    stranger = good_states[3]
    twins = {99: Unreadable(99, 4, True, "garbled")}
    known, garbled = findings({**good_states, 77: stranger}, legs, commands, unreadable=twins)
    assert (known.who, known.severity) == ("servo 77", WARNING)
    assert "set-id --port P --id 77" in known.remedy
    assert (garbled.who, garbled.severity) == ("servo 99", WARNING)


def test_a_bus_that_was_looked_at_with_another_rate_than_the_bridge_will(good_states, legs, commands):
    found = only(findings(good_states, legs, commands, rate=57_600))
    assert (found.severity, found.value) == (ERROR, "57600")
    assert "set-baud --port P --new-baud-rate 3000000" in found.remedy


@pytest.mark.parametrize(("timer_ms", "problems"), [(None, 0), (1, 0), (2, 1), (16, 1)])
def test_the_latency_timer(good_states, legs, commands, timer_ms, problems):
    found = findings(good_states, legs, commands, latency_ms=timer_ms)
    assert len(found) == problems
    if found:
        assert f"{timer_ms} ms" in found[0].value
        assert "echo 1 | sudo tee /sys/bus/usb-serial/devices/ttyUSB7/latency_timer" in found[0].remedy


def test_the_latency_timer_is_found_behind_a_link(tmp_path):
    port, devices = tmp_path / "ttyUSB3", tmp_path / "devices"
    (devices / "ttyUSB3").mkdir(parents=True)
    (devices / "ttyUSB3" / "latency_timer").write_text("16\n")
    port.touch()
    (tmp_path / "by-id").symlink_to(port)
    assert latency_timer_ms(str(tmp_path / "by-id"), devices) == 16
    assert latency_timer_ms(str(tmp_path / "other"), devices) is None


def test_the_worst_comes_first_and_what_is_the_same_is_said_once(good_states, legs, commands):
    slow = {i: s.__class__(i, s.ping, {**s.registers, "return_delay_time": 250}) for i, s in good_states.items()}
    slow[8].registers["hardware_error_status"] = 4
    found = grouped(findings(slow, legs, commands))
    assert [finding.what for finding in found] == ["hardware error", "return delay time"]
    assert found[0].who == "servo 8 (back_right_2)"
    assert found[1].who == "servos 1, 2, 3, 4, 5, 6, 7, 8"
