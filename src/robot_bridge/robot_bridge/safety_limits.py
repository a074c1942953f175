"""The block `robot.safety` of a robot file: when the gate holds or stops the robot by itself."""

from __future__ import annotations

import dataclasses

from rosac_common.settings import SettingsError, setting


@dataclasses.dataclass(frozen=True)
class SafetyLimits:
    """Limits of what is measured and of how long somebody may be silent. docs/safety.md lists cause, limit, reaction.

    "Own measurement": D'Claw Turn in simulation under wild random actions.
    """

    command_timeout_periods: float = setting(
        2.0, "realtime: hold after so many control periods without a good command (docs/architecture.md)", minimum=1.0
    )
    lockstep_command_timeout_s: float = setting(
        10.0, "lockstep: hold after this wall time without one [s]; the task may wait for the learner", minimum=0.1
    )
    command_age_limit_periods: float = setting(
        2.0, "realtime: a command answering a state older than so many control periods is refused", minimum=0.1
    )
    bad_command_limit: int = setting(3, "hold after so many refused commands in a row (own figure)", minimum=1)
    goal_tolerance_rad: float = setting(
        1e-6,
        "goals this close to a limit count as within it [rad]; a servo's tick is 1.5e-3, float32 rounding 1e-7",
        minimum=0.0,
        maximum=1e-3,
    )
    position_margin_rad: float = setting(
        0.5,
        "a joint under torque this far outside its range stops the robot [rad]; own measurement: pushed up to 0.32",
        minimum=0.0,
    )
    arming_margin_rad: float = setting(
        0.1,
        "a robot with a joint further outside its range is not armed [rad]: its servo, which goes no further than the "
        "range, would pull the joint back at once (own figure)",
        minimum=0.0,
    )
    switch_on_margin_rad: float = setting(
        0.25,
        "a command that switches a joint on this far outside its range stops the robot [rad]: its servo pulls it back "
        "at once; own measurement: fingers that a reset lets go are pushed 0.12 outside",
        minimum=0.0,
    )
    speed_stop_rad_s: list[float] = setting(
        [15.0],
        "a joint under torque that is faster for speed_time_s stops the robot [rad/s]: one value for all joints, or "
        "one for each, the auxiliary ones last; above what commands bring, below what the motor reaches (default: own "
        "figure)",
        minimum=0.01,
    )
    speed_time_s: float = setting(
        0.1,
        "how long a joint may be so fast [s]; own measurement: fingers under random full commands for 2000 s, with "
        "valve and other fingers in their way, were too fast for 50 ms at most",
        minimum=0.0,
        maximum=1.0,
    )
    current_stop_share: float = setting(
        0.75,
        "a motor above this part of its servos.current_limit_a for current_time_s stops the robot. Blocked, it shows "
        "all of it, less with a warm winding (50 K: 17%) or a low supply (own figure)",
        minimum=0.01,
        maximum=1.0,
    )
    current_time_s: float = setting(0.5, "how long a motor may draw so much [s] (own figure)", minimum=0.0)
    frozen_time_s: float = setting(
        0.3,
        "a joint whose position, velocity and effort stay the same to the bit for so long after its goal moved stops "
        "the robot [s] (own figure: three periods at 10 Hz)",
        minimum=0.0,
    )
    frozen_goal_rad: float = setting(
        0.05,
        "... after its goal moved by more than this [rad] (own figure: with ROBEL's P gain a motor then pushes a "
        "quarter more or less)",
        minimum=0.0,
    )
    temperature_stop_c: list[float] = setting(
        [75.0],
        "a warmer motor stops the robot [C]: one value for all joints, or one for each, the auxiliary ones last; "
        "X-series servos shut down at 80, XL430 at 72, the 330 models at 70, and it must be below that",
        minimum=0.0,
        maximum=150.0,
    )
    temperature_timeout_s: float = setting(
        10.0,
        "a temperature under torque that could not be read for so long stops the robot [s]; each of ten servos is read "
        "once a second, and a motor needs minutes to warm up (own figure)",
        minimum=1.0,
    )
    state_timeout_s: float = setting(
        0.25, "realtime: no fresh joint state for so long stops the robot [s] (own figure)", minimum=0.01
    )
    read_failures_hold: int = setting(2, "failed reads in a row until hold (own figure)", minimum=1)
    read_failures_stop: int = setting(5, "failed reads in a row until stopped (own figure)", minimum=1)
    task_timeout_s: float = setting(
        60.0,
        "realtime: no good command for so long stops the robot, whose motors would otherwise hold and warm up [s] (own "
        "figure; a restarted task needs about 5)",
        minimum=0.1,
    )
    stop_time_s: float = setting(
        0.3,
        "a controlled stop holds the present position for so long, then torque goes off [s]; own figure: finger joints "
        "come to rest within 0.1",
        minimum=0.0,
        maximum=5.0,
    )
    heartbeat_required: bool = setting(False, "the robot moves only while safety/heartbeat beats")
    heartbeat_timeout_s: float = setting(0.5, "longest pause of safety/heartbeat [s] (own figure)", minimum=0.01)
    dead_man_required: bool = setting(False, "the robot moves only while safety/dead_man is true and fresh")
    dead_man_timeout_s: float = setting(0.5, "longest pause of safety/dead_man [s] (own figure)", minimum=0.01)
    manager_required: bool = setting(False, "the robot moves only while safety/manager beats (a lifecycle manager)")
    manager_timeout_s: float = setting(
        4.0, "longest pause of safety/manager [s]; bond time-out of Nav2's lifecycle manager: 4 s", minimum=0.01
    )

    @property
    def widest_switch_on_rad(self) -> float:
        """How far outside its range a joint may be, at the most, when torque comes on [rad]."""
        return max(self.arming_margin_rad, self.switch_on_margin_rad)

    def __post_init__(self) -> None:
        if self.read_failures_stop < self.read_failures_hold:
            raise SettingsError(
                f"robot.safety.read_failures_stop is {self.read_failures_stop}; it must be at least "
                f"read_failures_hold ({self.read_failures_hold})"
            )
