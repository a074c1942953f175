"""The block `robot.servos` of a robot file: what the bus and the servos on it must be set to."""

from __future__ import annotations

import dataclasses
import math

from rosac_common.settings import SettingsError, setting

from robot_bridge.dynamixel.control_table import (
    ACCELERATION_UNIT_RAD_S2,
    BAUD_RATES,
    FULL_PWM,
    RETURN_DELAY_UNIT_S,
    VELOCITY_UNIT_RAD_S,
    WATCHDOG_UNIT_S,
    Model,
)
from robot_bridge.dynamixel.models import MODELS


@dataclasses.dataclass(frozen=True)
class ServoSettings:
    """Lists hold one value per joint, the robot's joints first, then the auxiliary ones; all empty: a robot without
    servos, which only a simulation can stand in for. What is set here is written to the servos at every connection and
    read back. "E-manual" is ROBOTIS' page of the XM430-W210.
    """

    model: list[str] = setting([], "model of each servo", choices=tuple(MODELS))
    stall_current_a: list[float] = setting(
        [], "what each motor draws when it is blocked at full PWM and nominal supply [A]; e-manual", minimum=0.0
    )
    current_limit_a: list[float] = setting(
        [],
        "the most that each motor may draw when it is blocked [A]: register pwm_limit is this part of stall_current_a. "
        "It takes the same part of the top speed",
        minimum=0.0,
    )
    torque_constant_nm_a: list[float] = setting(
        [], "torque per current [Nm/A]: stall torque over stall current of the e-manual", minimum=0.0
    )
    position_p_gain: list[int] = setting([], "register position_p_gain", minimum=0, maximum=16_383)
    position_i_gain: list[int] = setting([], "register position_i_gain", minimum=0, maximum=16_383)
    position_d_gain: list[int] = setting([], "register position_d_gain", minimum=0, maximum=16_383)
    profile_velocity_rad_s: float = setting(
        0.0, "register profile_velocity [rad/s]; 0: no profile, the safety gate limits the speed", minimum=0.0
    )
    profile_acceleration_rad_s2: float = setting(
        0.0, "register profile_acceleration [rad/s^2]; 0: no limit (default of the e-manual)", minimum=0.0
    )
    baud_rate: int = setting(
        1_000_000, "speed of the bus [bit/s]; ROBEL's D'Claw runs at 1 Mbaud", choices=tuple(BAUD_RATES.values())
    )
    return_delay_us: int = setting(
        0,
        "register return_delay_time [us]; the default of the e-manual, 500, costs 4.5 ms a cycle of nine servos",
        minimum=0,
        maximum=508,
    )
    bus_watchdog_s: float = setting(
        0.08,
        "register bus_watchdog [s], in steps of 20 ms: the servos stop by themselves when no instruction came for so "
        "long; four steps: they stop within 100 ms, and a cycle of 100 Hz may be seven periods late (own figure)",
        minimum=WATCHDOG_UNIT_S,
        maximum=127 * WATCHDOG_UNIT_S,
    )
    voltage_v: float = setting(12.0, "nominal supply [V]; e-manual", minimum=3.0, maximum=30.0)

    @property
    def present(self) -> bool:
        """Whether the robot file describes servos."""
        return bool(self.model)

    @property
    def models(self) -> list[Model]:
        """The models of all joints."""
        return [MODELS[name] for name in self.model]

    @property
    def pwm_limits(self) -> list[int]:
        """Registers pwm_limit and goal_pwm of all joints. Voltage over resistance is what a blocked motor draws."""
        pairs = zip(self.current_limit_a, self.stall_current_a, strict=True)
        return [int(FULL_PWM * limit_a / stall_a + 1e-9) for limit_a, stall_a in pairs]

    def check(self, joints: int) -> None:
        """Check the lists against the number of joints.

        Raises:
            SettingsError: lists of wrong length, or a value that a servo cannot take.
        """
        currents = ("stall_current_a", "current_limit_a", "torque_constant_nm_a")
        names = (*currents, "position_p_gain", "position_i_gain", "position_d_gain")
        if not self.present:
            given = [name for name in names if getattr(self, name)]
            if given:
                raise SettingsError(f"robot.servos.{given[0]} is given but robot.servos.model is empty")
            return
        for name in ("model", *names):
            count = len(getattr(self, name))
            if count != joints:
                raise SettingsError(f"robot.servos.{name} has {count} values for {joints} joints: give one each")
        for name in currents:
            if not all(math.isfinite(value) and value > 0 for value in getattr(self, name)):
                raise SettingsError(f"robot.servos.{name} must be above 0: {getattr(self, name)}")
        for limit_a, stall_a, pwm in zip(self.current_limit_a, self.stall_current_a, self.pwm_limits, strict=True):
            if not 1 <= pwm <= FULL_PWM:
                raise SettingsError(
                    f"robot.servos.current_limit_a is {limit_a:g}; a motor that draws {stall_a:g} A at full PWM "
                    f"(robot.servos.stall_current_a) takes {stall_a / FULL_PWM:.2g} to {stall_a:g} A"
                )
        for model in self.models:
            self._check_profile(model)
        for name, value, unit in (
            ("bus_watchdog_s", self.bus_watchdog_s, WATCHDOG_UNIT_S),
            ("return_delay_us", self.return_delay_us, 1e6 * RETURN_DELAY_UNIT_S),
        ):
            if abs(value / unit - round(value / unit)) > 1e-6:
                raise SettingsError(f"robot.servos.{name} is {value:g}; servos count it in steps of {unit:g}")
        if self.baud_rate > 4_000_000:
            raise SettingsError(f"robot.servos.baud_rate is {self.baud_rate}: dynamixel-sdk for Python ends at 4000000")

    def _check_profile(self, model: Model) -> None:
        """What a register rounds to 0 would be no limit at all."""
        velocity, acceleration = (
            model.register("velocity_limit").default,
            model.register("profile_acceleration").maximum,
        )
        for name, unit, most in (
            ("profile_velocity_rad_s", VELOCITY_UNIT_RAD_S, velocity),
            ("profile_acceleration_rad_s2", ACCELERATION_UNIT_RAD_S2, acceleration),
        ):
            value = getattr(self, name)
            if value and not 1 <= round(value / unit) <= most:
                raise SettingsError(
                    f"robot.servos.{name} is {value:g}; {model.name} takes {unit:.5g} to {most * unit:.5g}, or 0: no "
                    "limit"
                )
