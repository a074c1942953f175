"""The block `robot.servos` of a robot file: what the bus and the servos on it must be set to."""

from __future__ import annotations

import dataclasses
import math

from rosac_common.settings import SettingsError, setting

from robot_bridge.dynamixel.control_table import BAUD_RATES, RETURN_DELAY_UNIT_S, WATCHDOG_UNIT_S, Model
from robot_bridge.dynamixel.models import MODELS


@dataclasses.dataclass(frozen=True)
class ServoSettings:
    """Lists hold one value per joint, the robot's joints first, then the auxiliary ones; all empty: a robot without
    servos, which only a simulation can stand in for. What is set here is written to the servos at every connection and
    read back. "E-manual" is ROBOTIS' page of the XM430-W210.
    """

    model: list[str] = setting([], "model of each servo", choices=tuple(MODELS))
    current_limit_a: list[float] = setting(
        [], "register current_limit: the most that each servo may draw [A]", minimum=0.0
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

    def check(self, joints: int) -> None:
        """Check the lists against the number of joints.

        Raises:
            SettingsError: lists of wrong length, or a value that a servo cannot take.
        """
        names = ("current_limit_a", "torque_constant_nm_a", "position_p_gain", "position_i_gain", "position_d_gain")
        if not self.present:
            given = [name for name in names if getattr(self, name)]
            if given:
                raise SettingsError(f"robot.servos.{given[0]} is given but robot.servos.model is empty")
            return
        for name in ("model", *names):
            count = len(getattr(self, name))
            if count != joints:
                raise SettingsError(f"robot.servos.{name} has {count} values for {joints} joints: give one each")
        for model, limit_a in zip(self.models, self.current_limit_a, strict=True):
            register = model.registers.get("current_limit")
            if register is None:
                continue
            highest_a = (register.maximum or 0) * model.current_unit_a
            if not 0.0 < limit_a <= highest_a + 1e-9:
                raise SettingsError(
                    f"robot.servos.current_limit_a is {limit_a:g}; {model.name} takes above 0 to {highest_a:.3f} A"
                )
        if not all(math.isfinite(value) and value > 0 for value in self.torque_constant_nm_a):
            raise SettingsError(f"robot.servos.torque_constant_nm_a must be above 0: {self.torque_constant_nm_a}")
        for name, value, unit in (
            ("bus_watchdog_s", self.bus_watchdog_s, WATCHDOG_UNIT_S),
            ("return_delay_us", self.return_delay_us, 1e6 * RETURN_DELAY_UNIT_S),
        ):
            if abs(value / unit - round(value / unit)) > 1e-6:
                raise SettingsError(f"robot.servos.{name} is {value:g}; servos count it in steps of {unit:g}")
        if self.baud_rate > 4_000_000:
            raise SettingsError(f"robot.servos.baud_rate is {self.baud_rate}: dynamixel-sdk for Python ends at 4000000")
