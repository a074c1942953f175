"""What is wrong with a bus and what mends it, from what was found on it. Nothing here touches a port."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from robot_bridge.dynamixel.connection import (
    NO_SECOND_ID,
    OLDEST_FIRMWARE,
    Servo,
    servos_of,
    unsafe_guards,
)
from robot_bridge.dynamixel.control_table import (
    EEPROM_END,
    FULL_PWM,
    HARDWARE_ERRORS,
    NEVER,
    RETURN_DELAY_UNIT_S,
    TICKS_PER_REVOLUTION,
    VELOCITY_UNIT_RAD_S,
    VOLTAGE_UNIT_V,
    describe_errors,
)
from robot_bridge.dynamixel.tools.findings import Commands, Finding, Severity
from robot_bridge.dynamixel.tools.states import MODES, ServoState
from robot_bridge.dynamixel.tools.survey import Survey
from robot_bridge.dynamixel.tools.usb import latency_timer_file
from robot_bridge.robot import RobotSettings

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
# Longest latency timer that costs a cycle no more than its packets do (DynamixelSDK #288: 1 ms).
LATENCY_TIMER_MS = 1
# A supply this far from the nominal one is the wrong one, or sags (own figure).
_VOLTAGE_SHARE = 0.15
# This close below the limit is hot (own figure) [K].
_WARM_K = 10.0
# Bit of register hardware_error_status -> what to do before the servo is rebooted.
_REASONS: Mapping[int, str] = {
    0: "measure the supply at this servo, also while the robot moves",
    2: "let it cool down and find what strains the joint",
    3: "its encoder or motor is damaged, if it comes back",
    4: "look for a short circuit, or a supply too weak for the start",
    5: "free the joint from what it pushes against",
}


def check(
    survey: Survey, robot: RobotSettings, port: str, latency_timer_ms: int | None, commands: Commands
) -> list[Finding]:
    """Everything that is not as the robot file and this computer need it, worst first.

    Args:
        survey: what hangs on the bus.
        robot: the robot file.
        port: the device.
        latency_timer_ms: of the adapter; None: it has none.
        commands: writes the commands that mend things.

    Raises:
        SettingsError: the robot file asks for what its servos cannot do.
    """
    findings = [*_check_port(port, latency_timer_ms), *_check_rate(survey, robot, commands)]
    servos = {servo.identifier: servo for servo in servos_of(robot)}
    for identifier, servo in servos.items():
        found = _check_servo(survey, servo, robot, commands)
        findings += [dataclasses.replace(finding, identifier=identifier) for finding in found]
    findings += _check_strangers(survey, set(servos), commands)
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _check_servo(survey: Survey, servo: Servo, robot: RobotSettings, commands: Commands) -> Iterator[Finding]:
    state = survey.states.get(servo.identifier)
    if state is None:
        yield from _check_absent(survey, servo, commands)
    elif state.ping.model_number != servo.model.number:
        remedy = "correct robot.servos.model in the robot file, or connect the right servo"
        limit = f"{servo.model.name} (robot.servos.model)"
        yield Finding(ERROR, str(servo), "model", state.model_name, limit, remedy)
    else:
        yield from _check_health(servo, state, robot, commands)
        yield from _check_settings(servo, state, commands)


def _check_port(port: str, latency_timer_ms: int | None) -> Iterator[Finding]:
    if latency_timer_ms is not None and latency_timer_ms > LATENCY_TIMER_MS:
        yield Finding(
            WARNING,
            port,
            "latency timer",
            f"{latency_timer_ms} ms, added to every read",
            f"{LATENCY_TIMER_MS} ms",
            f"`echo {LATENCY_TIMER_MS} | sudo tee {latency_timer_file(port)}` until it is plugged in again; "
            "for good: the udev rule in docs/hardware.md",
        )


def _check_rate(survey: Survey, robot: RobotSettings, commands: Commands) -> Iterator[Finding]:
    """Servos that were found where the bridge will not look."""
    wanted = robot.servos.baud_rate
    if survey.baud_rate != wanted and survey.states:
        remedy = f"{commands('set-baud', f'--new-baud-rate {wanted}')}, or change robot.servos.baud_rate"
        who = f"servos {', '.join(map(str, survey.states))}"
        yield Finding(ERROR, who, "baud rate", f"{survey.baud_rate}", f"{wanted} (robot.servos.baud_rate)", remedy)


def _check_absent(survey: Survey, servo: Servo, commands: Commands) -> Iterator[Finding]:
    """Why a servo of the robot file cannot be read."""
    identifier, expected = servo.identifier, servo.model.name
    unreadable = survey.unreadable.get(identifier)
    if unreadable is not None and unreadable.twins:
        yield Finding(
            ERROR,
            str(servo),
            "answers",
            "all garbled",
            "from one servo",
            f"two servos have id {identifier} (or the cable is bad): connect one of them alone, then "
            f"{commands('set-id', f'--id {identifier} --new-id FREE')}",
        )
    elif unreadable is not None:
        remedy = f"check cable and ground; if it answers pings only: {commands('reboot', f'--id {identifier}')}"
        yield Finding(ERROR, str(servo), "answers", unreadable.reason, "readable", remedy)
    elif identifier in survey.elsewhere:
        rate = survey.elsewhere[identifier]
        remedy = commands("set-baud", f"--baud-rate {rate} --new-baud-rate {survey.baud_rate}")
        yield Finding(ERROR, str(servo), "baud rate", f"{rate}", f"{survey.baud_rate} (robot.servos.baud_rate)", remedy)
    elif identifier in survey.protocol_1:
        remedy = "set its register 13 (protocol type) to 2 with DYNAMIXEL Wizard"
        yield Finding(ERROR, str(servo), "protocol", "1.0", "2.0", remedy)
    else:
        remedy = "check its power and both ends of its cable" + (
            f"; it may be the one that still is as it left the factory: {_take_new(commands, str(identifier))}"
            if survey.new
            else "; has it another id? " + commands("scan", "--all-baud-rates")
        )
        yield Finding(ERROR, str(servo), "answer", "none at any baud rate", expected, remedy)


def _take_new(commands: Commands, identifier: str) -> str:
    return commands("set-id", f"--baud-rate 57600 --id 1 --new-id {identifier}")


def _check_health(servo: Servo, state: ServoState, robot: RobotSettings, commands: Commands) -> Iterator[Finding]:
    """Errors, temperature, supply, firmware, torque."""
    who, registers, firmware = str(servo), state.registers, state.ping.firmware
    reboot = commands("reboot", f"--id {servo.identifier}")
    bits = registers["hardware_error_status"]
    if bits:
        reasons = [_REASONS[bit] for bit in HARDWARE_ERRORS if bits >> bit & 1]
        remedy = "; ".join([*reasons, f"then {reboot}"])
        yield Finding(
            ERROR, who, "hardware error", describe_errors(bits).removeprefix("hardware error "), "none", remedy
        )
    yield from _check_temperature(servo, state, robot)
    yield from _check_voltage(servo, state, robot)
    if firmware < OLDEST_FIRMWARE:
        remedy = "it has no bus watchdog, so nothing stops it when this computer dies: update it with DYNAMIXEL Wizard"
        yield Finding(ERROR, who, "firmware", str(firmware), f"{OLDEST_FIRMWARE} or newer", remedy)
    elif firmware < servo.model.fast_read_firmware < NEVER:
        remedy = "fast reads are not used on this bus; update all of its servos with DYNAMIXEL Wizard"
        yield Finding(NOTE, who, "firmware", str(firmware), f"{servo.model.fast_read_firmware} for fast reads", remedy)
    if registers["torque_enable"]:
        yield Finding(
            WARNING, who, "torque", "on, and no bridge runs", "off", f"{commands('check', '--fix')}; it goes limp"
        )
    if registers["bus_watchdog"] < 0:
        remedy = "the bridge that drove it died or lost it; nothing to do: the next one clears that"
        yield Finding(NOTE, who, "bus watchdog", "has stopped it", "not needed", remedy)


def _check_temperature(servo: Servo, state: ServoState, robot: RobotSettings) -> Iterator[Finding]:
    own_c, stop_c = state.registers["temperature_limit"], robot.hottest_c[robot.all_joint_names.index(servo.joint)]
    limit_c, name = min((own_c, "its register temperature_limit"), (stop_c, "robot.safety.temperature_stop_c"))
    value, limit = f"{state.temperature_c} C", f"below {limit_c:g} C ({name})"
    remedy = "let it rest; does the joint push against something, or hold a weight?"
    if state.temperature_c >= limit_c:
        yield Finding(ERROR, str(servo), "temperature", value, limit, remedy)
    elif state.temperature_c >= limit_c - _WARM_K:
        yield Finding(WARNING, str(servo), "temperature", value, limit, remedy)
    if own_c <= stop_c:
        yield Finding(
            WARNING,
            str(servo),
            "temperature limit",
            f"{own_c} C: it lets go before the bridge can stop the robot",
            f"above {stop_c:g} C",
            f"set robot.safety.temperature_stop_c below {own_c}",
        )


def _check_voltage(servo: Servo, state: ServoState, robot: RobotSettings) -> Iterator[Finding]:
    low_v = VOLTAGE_UNIT_V * state.registers["min_voltage_limit"]
    high_v = VOLTAGE_UNIT_V * state.registers["max_voltage_limit"]
    nominal_v, value_v = robot.servos.voltage_v, state.voltage_v
    value = f"{value_v:.1f} V"
    if not low_v <= value_v <= high_v:
        remedy = f"connect a supply of {nominal_v:g} V that is strong enough, and thicker or more cables"
        yield Finding(ERROR, str(servo), "supply", value, f"{low_v:.1f} to {high_v:.1f} V (its limits)", remedy)
    elif abs(value_v - nominal_v) > _VOLTAGE_SHARE * nominal_v:
        remedy = "check supply and cables, or correct robot.servos.voltage_v"
        yield Finding(WARNING, str(servo), "supply", value, f"about {nominal_v:g} V (robot.servos.voltage_v)", remedy)


def _check_settings(servo: Servo, state: ServoState, commands: Commands) -> Iterator[Finding]:
    """Registers that the bridge sets when it connects, and those that nobody sets."""
    fix = commands("check", "--fix")
    for name, wanted in servo.settings.items():
        value = state.registers[name]
        if value == wanted:
            continue
        permanent = servo.model.register(name).address < EEPROM_END
        remedy = f"{fix}, or start the bridge" if permanent else "nothing to do: the bridge sets it when it connects"
        yield Finding(
            WARNING if permanent else NOTE,
            str(servo),
            name.replace("_", " "),
            in_words(name, value),
            f"{in_words(name, wanted)} (robot file)",
            remedy,
        )
    for name, default in unsafe_guards(servo.model, state.registers).items():
        value = state.registers[name]
        yield Finding(
            WARNING,
            str(servo),
            name.replace("_", " "),
            in_words(name, value),
            f"{in_words(name, default)} (factory)",
            fix,
        )


def in_words(name: str, value: int) -> str:
    """A register's value with its unit."""
    if name == "operating_mode":
        return f"{MODES.get(value, 'unknown')} ({value})"
    if name == "return_delay_time":
        return f"{1e6 * RETURN_DELAY_UNIT_S * value:g} us"
    if name in ("pwm_limit", "goal_pwm"):
        return f"{value / FULL_PWM:.0%} ({value})"
    if name == "velocity_limit":
        return f"{VELOCITY_UNIT_RAD_S * value:.2f} rad/s"
    if name == "profile_velocity":
        return f"{VELOCITY_UNIT_RAD_S * value:.2f} rad/s" if value else "none"
    if name in ("min_position_limit", "max_position_limit", "homing_offset"):
        return f"tick {value} ({360.0 * value / TICKS_PER_REVOLUTION:.0f} degrees)"
    if name == "shutdown":
        return f"on {' and '.join(t for bit, t in HARDWARE_ERRORS.items() if value >> bit & 1) or 'nothing'} ({value})"
    if name == "secondary_id":
        return "none" if value >= NO_SECOND_ID else f"{value}, to which it obeys too"
    if name == "temperature_limit":
        return f"{value} C"
    if name == "startup_configuration":
        return f"torque {'on' if value & 1 else 'off'} at start-up ({value})"
    return str(value)


def _check_strangers(survey: Survey, known: set[int], commands: Commands) -> Iterator[Finding]:
    """Servos that the robot file does not know."""
    for identifier, state in survey.states.items():
        if identifier not in known:
            yield Finding(
                WARNING,
                f"servo {identifier}",
                "joint",
                f"none ({state.model_name})",
                "in the robot file",
                "add it to the robot file, take it off the bus, or give it the id it should have: "
                f"{commands('set-id', f'--id {identifier} --new-id ID')}",
            )
    for identifier in survey.unreadable:
        if identifier not in known:
            remedy = "not in the robot file, and unreadable: take it off the bus"
            yield Finding(WARNING, f"servo {identifier}", "answers", "garbled", "readable", remedy)
    if survey.new:
        remedy = f"with no other such servo connected: {_take_new(commands, 'ID')}"
        yield Finding(WARNING, "servo 1", "baud rate", "57600, as it left the factory", f"{survey.baud_rate}", remedy)
