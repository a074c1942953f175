"""Settings of the bridge node: its ROS parameters."""

from __future__ import annotations

import dataclasses

from rosac_common.priority import priority_setting
from rosac_common.settings import SettingsError, setting

from robot_bridge.dynamixel.settings import EMULATOR, BusSettings
from robot_bridge.robot import RobotSettings
from robot_bridge.simulation.settings import SimulationSettings


@dataclasses.dataclass(frozen=True)
class BridgeSettings:
    """All settings of the bridge.

    Raises:
        SettingsError: values that contradict each other.
    """

    robot: RobotSettings
    simulation: SimulationSettings
    bus: BusSettings = dataclasses.field(default_factory=BusSettings)
    backend: str = setting(
        "mujoco",
        "what moves: mujoco, a simulation; dynamixel, servos on the bus of the block bus",
        choices=("mujoco", "dynamixel"),
    )
    time_base: str = setting(
        "lockstep",
        "lockstep: each command advances the simulation by one control period; realtime: the steady clock",
        choices=("lockstep", "realtime"),
    )
    control_period_s: float = setting(
        0.1, "control period [s]; ROBEL's Turn and Screw: 40 x 2.5 ms", minimum=0.001, maximum=10.0
    )
    state_rate_hz: float = setting(
        100.0,
        "realtime: joint states a second [Hz]; two in the shortest period in use, 20 ms",
        minimum=1.0,
        maximum=1000.0,
    )
    auto_arm: bool = setting(
        False,
        "arm when activated, until it succeeds, and 2 s after a stop that no person has made; for simulations only: a "
        "real robot is armed by a person",
    )
    autostart: bool = setting(True, "configure and activate at start, without a lifecycle manager")
    seed: int = setting(0, "seed of sensor noise and randomised dynamics", minimum=0)
    realtime_priority: int = priority_setting()

    def __post_init__(self) -> None:
        if self.time_base == "realtime" and self.state_rate_hz * self.control_period_s < 1.0:
            raise SettingsError(
                f"state_rate_hz is {self.state_rate_hz:g}, less than one state a control period of "
                f"{self.control_period_s:g} s: give at least {1 / self.control_period_s:g}"
            )
        if self.backend == "dynamixel":
            self._check_bus()
        elif self.bus.port:
            raise SettingsError(f"bus.port is {self.bus.port}, but backend is {self.backend}: use backend dynamixel")

    def _check_bus(self) -> None:
        if not self.bus.port:
            raise SettingsError(f"backend is dynamixel, but there is no port: give /dev/ttyUSB0, or {EMULATOR}")
        if not self.robot.servos.present:
            raise SettingsError(
                f"backend is dynamixel, but robot '{self.robot.name}' has no block robot.servos: give a robot file "
                "with one, params:=FILE (config/robots)"
            )
        watchdog_s = self.robot.servos.bus_watchdog_s
        if not self.lockstep and 2.0 / self.state_rate_hz > watchdog_s:
            raise SettingsError(
                f"state_rate_hz is {self.state_rate_hz:g}: one late reading would trip the servos' bus watchdog of "
                f"{watchdog_s:g} s (robot.servos.bus_watchdog_s); give at least {2.0 / watchdog_s:g}"
            )
        if self.bus.port == EMULATOR:
            return
        if self.lockstep:
            raise SettingsError(f"time_base is lockstep, but time does not wait for {self.bus.port}: use realtime")
        if self.auto_arm:
            raise SettingsError(f"auto_arm is for simulations; the robot on {self.bus.port} is armed by a person")

    @property
    def fastest_rad_s(self) -> list[float]:
        """Speed above which each joint stops the robot [rad/s], in the order of `RobotSettings.all_joint_names`."""
        least = self.simulation.speed_stop_rad_s if self.backend == "mujoco" else 0.0
        return [max(speed, least) for speed in self.robot.fastest_rad_s]

    @property
    def lockstep(self) -> bool:
        """Whether time passes only with commands."""
        return self.time_base == "lockstep"
