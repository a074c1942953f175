"""Whether what the robot showed at some time is known to have been measured."""

from __future__ import annotations

import numpy as np
from robot_bridge.backend import Flags, RobotState
from robot_bridge.body_link import ImuReading, imu_of, shows_the_same
from robot_bridge.monitor import Repeats
from robot_bridge.robot import RobotSettings

# Control periods within which a joint's goal moves far enough to show that it does not measure, and a stop of the
# bridge gets here (own figure).
_PERIODS = 3
# Stamps of transitions are seconds: a float of today's date is exact to 0.2 us.
_STAMP_NS = 1000


class Confirmation:
    """Compares readings. A servo that does not measure any more goes on answering with its last values, an inertial
    sensor's driver may go on sending them, and the bridge finds that out only later (causes `frozen_joint` and
    `body_sensor`). So a reading counts once every joint and the inertial sensor have shown something new since, or have
    had the time to be found out; while the robot is stopped, no goal moves and nothing is found out.

    Args:
        robot: its own joints are looked at; those of the surroundings may stand still for ever.
        control_period_s: of the task.
        moves_about: whether states hold the body, too.
    """

    def __init__(self, robot: RobotSettings, control_period_s: float, moves_about: bool = False) -> None:
        self._repeats = Repeats(len(robot.joint_names))
        self._imu: ImuReading | None = None
        found_out_s = np.full(len(robot.joint_names), robot.safety.frozen_time_s)
        if moves_about:
            found_out_s = np.append(found_out_s, robot.body.imu_timeout_s)
        self._found_out_ns = np.round(1e9 * found_out_s)
        self._longest_ns = self._found_out_ns + round(1e9 * _PERIODS * control_period_s)
        self._since_ns = np.zeros(len(found_out_s), dtype=np.int64)  # first reading that was as the newest is
        self._newest_ns = 0
        self.stopped = False

    def read(self, state: RobotState) -> None:
        """A new reading; one that comes again shows nothing."""
        if state.time_ns == self._newest_ns:
            return
        # What was shown later than now was so before the clock was set back.
        since_ns = np.minimum(self._since_ns, state.time_ns)
        self._since_ns = np.where(self._same(state), since_ns, state.time_ns)
        self._newest_ns = state.time_ns

    def _same(self, state: RobotState) -> Flags:
        """Which of the joints and the inertial sensor show the same to the bit as at the reading before."""
        same = self._repeats.of(state)
        if len(self._since_ns) == len(same):
            return same
        before, self._imu = self._imu, imu_of(state.body)
        return np.append(same, before is not None and shows_the_same(self._imu, before))

    @property
    def blind(self) -> bool:
        """Whether the inertial sensor is found out here: it does not measure, as the robot lies, and stopped, and the
        bridge looks no more. One that measures shows its noise then, too; a joint may show the same for ever."""
        if not self.stopped or self._imu is None:
            return False
        return bool(self._newest_ns - self._since_ns[-1] > self._found_out_ns[-1])

    def counts(self, stamp_s: float) -> bool:
        """Whether the reading of that robot time [s] counts by now."""
        stamp_ns = round(1e9 * stamp_s)
        first_hand = self._since_ns >= stamp_ns - _STAMP_NS
        waited = self._newest_ns - stamp_ns > self._longest_ns
        return bool((first_hand | (waited & (not self.stopped))).all())
