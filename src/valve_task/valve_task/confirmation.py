"""Whether what the joints showed at some time is known to have been measured."""

from __future__ import annotations

import numpy as np
from robot_bridge.backend import RobotState
from robot_bridge.monitor import Repeats
from robot_bridge.robot import RobotSettings

# Control periods within which a joint's goal moves far enough to show that it does not measure (own figure).
_PERIODS = 3
# Stamps of transitions are seconds: a float of today's date is exact to 0.2 us.
_STAMP_NS = 1000


class Confirmation:
    """Compares readings. A servo that does not measure any more goes on answering with its last values, and the bridge
    finds that out only when its goal has moved (cause `frozen_joint`). So a reading counts once every joint has shown
    something new since, or has had the time to be found out; while the robot is stopped, no goal moves and nothing is
    found out.

    Args:
        robot: its own joints are looked at; those of the surroundings may stand still for ever.
        control_period_s: of the task.
    """

    def __init__(self, robot: RobotSettings, control_period_s: float) -> None:
        self._repeats = Repeats(len(robot.joint_names))
        self._longest_ns = round(1e9 * (robot.safety.frozen_time_s + _PERIODS * control_period_s))
        self._since_ns = np.zeros(len(robot.joint_names), dtype=np.int64)  # first reading that was as the newest is
        self._newest_ns = 0
        self.stopped = False

    def read(self, state: RobotState) -> None:
        """A new reading; one that comes again shows nothing."""
        if state.time_ns == self._newest_ns:
            return
        # What was shown later than now was so before the clock was set back.
        since_ns = np.minimum(self._since_ns, state.time_ns)
        self._since_ns = np.where(self._repeats.of(state), since_ns, state.time_ns)
        self._newest_ns = state.time_ns

    def counts(self, stamp_s: float) -> bool:
        """Whether the reading of that robot time [s] counts by now."""
        stamp_ns = round(1e9 * stamp_s)
        first_hand = self._since_ns.min() >= stamp_ns - _STAMP_NS
        return bool(first_hand or (not self.stopped and self._newest_ns - stamp_ns > self._longest_ns))
