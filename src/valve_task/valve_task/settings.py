"""Settings of the task node. No ROS: `rosac_common.parameters` declares them on the node."""

from __future__ import annotations

import dataclasses

from robot_bridge.robot import RobotSettings
from rosac_common.priority import priority_setting
from rosac_common.settings import SettingsError, setting

from valve_task.reset import ResetSettings
from valve_task.rest import RestSettings
from valve_task.tasks import TaskSettings
from valve_task.teleop import TeleopSettings
from valve_task.walk_reset import WalkResetSettings


@dataclasses.dataclass(frozen=True)
class TaskNodeSettings:
    """Parameters of the node `task`.

    Raises:
        SettingsError: the safety gate would stop the robot before the robot rests.
    """

    robot: RobotSettings
    task: TaskSettings
    reset: ResetSettings
    rest: RestSettings
    walk_reset: WalkResetSettings
    teleop: TeleopSettings
    time_base: str = setting(
        "lockstep",
        "lockstep: one control step per state of the simulation; realtime: one per control period of the steady clock",
        choices=("lockstep", "realtime"),
    )
    seed: int = setting(0, "seed of start and target draws", minimum=0, maximum=2**32 - 1)
    realtime_priority: int = priority_setting()
    wait_for_learner: bool = setting(
        True,
        "a learner belongs to this graph: it is reported when missing, in lockstep waited for, and actions are shaped "
        "for its training (task.walk.smoothing_episodes)",
    )
    max_observation_age_s: float = setting(
        0.06,
        "realtime: nothing is done with an older joint state, or imu/data; the episode ends as stale_sensor "
        "[s] (own figure: three states at 50 Hz)",
        minimum=0.001,
    )
    state_timeout_s: float = setting(
        2.0, "no joint state for so long means that the bridge is lost [s] (own figure: 20 of its repeats)", minimum=0.1
    )
    velocity_timeout_s: float = setting(
        0.5,
        "a velocity asked for on cmd_vel that is older counts as 0: whoever asked is gone [s]; cmd_vel_timeout of "
        "ros2_control's diff_drive_controller",
        minimum=0.01,
    )
    action_timeout_s: float = setting(
        5.0,
        "no action for so long [s of wall time] ends the episode as connection_lost, in real time too if "
        "missed_periods_limit lets it come to that (own figure: above any pause of a busy machine)",
        minimum=0.1,
    )
    missed_periods_limit: int = setting(
        5,
        "realtime: so many control periods in a row without an action end the episode as connection_lost (own figure: "
        "half a second at 10 Hz; the bridge holds after two)",
        minimum=1,
    )
    replay_history: int = setting(
        100_000, "newest transitions kept for replay/resend (own figure: 2.8 h at 10 Hz, 27 MB)", minimum=1
    )

    def __post_init__(self) -> None:
        stop_c = min(self.robot.safety.temperature_stop_c)
        if self.rest.above_c >= stop_c:
            raise SettingsError(
                f"rest.above_c is {self.rest.above_c:g} C; it must be below robot.safety.temperature_stop_c, "
                f"{stop_c:g} C, or the robot is stopped before it rests"
            )
