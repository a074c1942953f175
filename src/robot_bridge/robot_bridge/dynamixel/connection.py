"""What happens at every connection: each servo is asked who it is, set as the robot file says, and read back."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from rosac_common.settings import SettingsError

from robot_bridge.backend import BackendError, ReadError
from robot_bridge.dynamixel.bus import DynamixelBus, Ping
from robot_bridge.dynamixel.control_table import (
    ACCELERATION_UNIT_RAD_S2,
    POSITION_CONTROL,
    RETURN_DELAY_UNIT_S,
    TICKS_PER_REVOLUTION,
    VELOCITY_UNIT_RAD_S,
    WATCHDOG_UNIT_S,
    Model,
    describe_errors,
)
from robot_bridge.dynamixel.models import model_by_number
from robot_bridge.dynamixel.units import RAD_PER_TICK, Units
from robot_bridge.robot import RobotSettings

T = TypeVar("T")
_LAST_TICK = TICKS_PER_REVOLUTION - 1
# Bus watchdogs came with it (e-manual).
OLDEST_FIRMWARE = 38
# A servo is deaf for a moment after a reboot; pings until it answers, each of which takes the bus' reply time.
_PINGS_AFTER_REBOOT = 50
NO_SECOND_ID = 253  # register secondary_id: from here on there is none (e-manual)
# Registers that the robot file does not determine and that must not be less safe than they left the factory.
GUARDS = ("shutdown", "secondary_id", "temperature_limit", "startup_configuration")
# Packets are lost now and then; what is written here is read back anyway.
_TRIES = 3


@dataclasses.dataclass(frozen=True)
class Servo:
    """One servo of the robot file."""

    joint: str
    identifier: int
    model: Model
    settings: dict[str, int]  # register -> value that it must have

    def __str__(self) -> str:
        return f"servo {self.identifier} ({self.joint})"


def servos_of(robot: RobotSettings) -> list[Servo]:
    """All servos of the robot with the registers that the robot file determines.

    Raises:
        SettingsError: a joint's range is beyond the one turn of its servo, or so close to an end of it that the joint
            may be switched on beyond; or nothing of an auxiliary joint's range is within it.
    """
    block = robot.servos
    low = [*robot.position_min_rad, *robot.auxiliary_position_min_rad]
    high = [*robot.position_max_rad, *robot.auxiliary_position_max_rad]
    ends = zip(Units(robot).ticks(low).tolist(), Units(robot).ticks(high).tolist(), strict=True)
    found = []
    for i, (model, end, pwm) in enumerate(zip(block.models, ends, block.pwm_limits, strict=True)):
        lowest, highest = _position_limits(robot, i, min(end), max(end))
        settings = {
            # First of all: a servo that is switched to another mode resets gains, profile and limits (e-manual).
            "operating_mode": POSITION_CONTROL,
            # Direction and offset are the robot file's; the servo counts from its own zero.
            "drive_mode": 0,
            "homing_offset": 0,
            "return_delay_time": round(block.return_delay_us * 1e-6 / RETURN_DELAY_UNIT_S),
            # The servo itself goes no further than the robot file allows, whatever it is told.
            "min_position_limit": lowest,
            "max_position_limit": highest,
            "pwm_limit": pwm,
            # Nothing here is limited by it, but a profile would be.
            "velocity_limit": model.register("velocity_limit").default,
            "goal_pwm": pwm,
            "position_p_gain": block.position_p_gain[i],
            "position_i_gain": block.position_i_gain[i],
            "position_d_gain": block.position_d_gain[i],
            "profile_acceleration": round(block.profile_acceleration_rad_s2 / ACCELERATION_UNIT_RAD_S2),
            "profile_velocity": round(block.profile_velocity_rad_s / VELOCITY_UNIT_RAD_S),
        }
        found.append(Servo(robot.all_joint_names[i], robot.all_joint_ids[i], model, settings))
    return found


def _position_limits(robot: RobotSettings, place: int, lowest: int, highest: int) -> tuple[int, int]:
    """Lowest and highest tick to which its servo drives a joint with this range."""
    margin, own = switch_on_ticks(robot), place < len(robot.joint_names)
    if own and margin <= lowest < highest <= _LAST_TICK - margin:
        return lowest, highest
    # An auxiliary joint may turn on and on; its servo drives it within one turn.
    inside = max(lowest, 0), min(highest, _LAST_TICK)
    if not own and inside[0] < inside[1]:
        return inside
    limit = f"limit 0 .. {_LAST_TICK}: the servo drives it nowhere in this range"
    if own:
        limit = (
            f"limit {margin} .. {_LAST_TICK - margin}: the servo counts 0 .. {_LAST_TICK}, and may be switched on "
            f"{robot.safety.widest_switch_on_rad:g} rad outside of the range (robot.safety.arming_margin_rad, "
            "switch_on_margin_rad)"
        )
    raise SettingsError(
        f"joint '{robot.all_joint_names[place]}': its range is ticks {lowest} .. {highest} of servo "
        f"{robot.all_joint_ids[place]}, {limit}: correct the range, or the offset with `rosac bus calibrate`"
    )


def switch_on_ticks(robot: RobotSettings) -> int:
    """How far outside its range a joint may be switched on."""
    return math.ceil(robot.safety.widest_switch_on_rad / RAD_PER_TICK)


def watchdog_ticks(robot: RobotSettings) -> int:
    """Register bus_watchdog for the robot file's time."""
    return round(robot.servos.bus_watchdog_s / WATCHDOG_UNIT_S)


def set_up(bus: DynamixelBus, servos: list[Servo], ticks: int) -> bool:
    """Bring every servo to the state that the robot file describes, torque off.

    Args:
        bus: open.
        servos: to set up.
        ticks: of the bus watchdog. A servo that restarts forgets it: it is set before all else, and read at last.

    Returns:
        Whether all of them know fast sync reads.

    Raises:
        BackendError: a servo does not answer, is of another model or too old, has a hardware error, does not take a
            value, or restarts meanwhile. The message names what to do; torque is off where a servo could be reached.
    """
    let_go(bus, servos)
    fast = True
    for servo in servos:
        ping = _identify(bus, servo)
        fast = fast and ping.firmware >= servo.model.fast_read_firmware
        _clear(bus, servo)
        set_register(bus, servo, "bus_watchdog", ticks)
        for name, value in servo.settings.items():
            set_register(bus, servo, name, value)
        known = [name for name in GUARDS if servo.model.register(name).firmware <= ping.firmware]
        present = {name: read_register(bus, servo, name) for name in known}
        for name, value in unsafe_guards(servo.model, present).items():
            set_register(bus, servo, name, value)
    if restarted := [f"{servo}" for servo in servos if read_register(bus, servo, "bus_watchdog") != ticks]:
        raise BackendError(
            f"{', '.join(restarted)}: restarted while the servos were set up, without settings: check supply and "
            "cable, then call safety/reset"
        )
    return fast


def let_go(bus: DynamixelBus, servos: list[Servo]) -> None:
    """Torque off, said to all at once. Nobody answers that; one that was told to answer nothing answers from now on."""
    for name, value in (("torque_enable", 0), ("status_return_level", 2)):
        bus.sync_write(servos[0].model.register(name), {servo.identifier: value for servo in servos})


def unsafe_guards(model: Model, present: Mapping[str, int]) -> dict[str, int]:
    """The `GUARDS` that are less safe than they left the factory, with the values that they had there.

    Args:
        model: of the servo.
        present: what it holds in these registers, and maybe in others; an old firmware lacks some.
    """
    defaults = {name: model.register(name).default for name in GUARDS}
    unsafe = {
        "shutdown": defaults["shutdown"] & ~present["shutdown"] != 0,
        "secondary_id": present["secondary_id"] < NO_SECOND_ID,
        "temperature_limit": present["temperature_limit"] > defaults["temperature_limit"],
        "startup_configuration": present.get("startup_configuration", 0) != defaults["startup_configuration"],
    }
    return {name: defaults[name] for name in GUARDS if unsafe[name]}


def _identify(bus: DynamixelBus, servo: Servo) -> Ping:
    ping = repeat(lambda: bus.ping(servo.identifier))
    if ping.model_number != servo.model.number:
        other = model_by_number(ping.model_number)
        name = f"a {other.name}" if other else f"of model number {ping.model_number}"
        raise BackendError(
            f"{servo} is {name}, the robot file expects a {servo.model.name}: correct robot.servos.model, or the wiring"
        )
    if ping.firmware < OLDEST_FIRMWARE:
        raise BackendError(
            f"{servo} has firmware {ping.firmware}; the bus watchdog needs {OLDEST_FIRMWARE} or newer: update it with "
            "DYNAMIXEL Wizard"
        )
    return ping


def _clear(bus: DynamixelBus, servo: Servo) -> None:
    """Torque off, no hardware error, no tripped watchdog."""
    set_register(bus, servo, "torque_enable", 0)
    bits = read_register(bus, servo, "hardware_error_status")
    if bits:
        raise BackendError(
            f"{servo} reports {describe_errors(bits)}: look for the reason, then restart it, with safety/reset, or "
            "`rosac bus reboot` while no bridge runs"
        )
    set_register(bus, servo, "bus_watchdog", 0)


def reboot_faulty(bus: DynamixelBus, servos: list[Servo]) -> None:
    """Reboot the servos with a latched hardware error. Torque goes off first: one that is silent ends this."""
    let_go(bus, servos)
    for servo in servos:
        if not read_register(bus, servo, "hardware_error_status"):
            continue
        repeat(lambda servo=servo: bus.reboot(servo.identifier))
        for attempt in range(_PINGS_AFTER_REBOOT):
            try:
                bus.ping(servo.identifier)
                break
            except ReadError:
                if attempt == _PINGS_AFTER_REBOOT - 1:
                    raise


def set_register(bus: DynamixelBus, servo: Servo, name: str, value: int) -> None:
    """Write a register where it differs, and read it back."""
    if read_register(bus, servo, name) == value:
        return
    register = servo.model.register(name)
    try:
        repeat(lambda: bus.write(servo.identifier, register, value))
    except ReadError:
        raise
    except BackendError as error:
        raise BackendError(f"{servo}: {error}") from error
    got = read_register(bus, servo, name)
    if got != value:
        raise BackendError(f"{servo}: {name} is {got} after writing {value}: reboot it, or check the cable")


def read_register(bus: DynamixelBus, servo: Servo, name: str) -> int:
    """Value of a register."""
    return repeat(lambda: bus.read(servo.identifier, servo.model.register(name)))


def repeat(action: Callable[[], T]) -> T:
    """Try an instruction a few times: single packets are lost."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(ReadError):  # counted by the bus; the last try speaks
            return action()
    return action()
