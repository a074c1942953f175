"""What a transition says was executed, against what the emulated servos held."""

import time

import numpy as np
from robot_bridge.robot_clock import wall_epoch_ns
from rosac_common.messages import nanoseconds
from valve_task.episode import LONGEST_STEP

# A goal goes to the servos in ticks of 1.5 mrad.
GOAL_RAD = 0.002


def assert_true(transitions, readings, actions, period_s, origin_rad=0.0):
    """Both observations of each were shown by the servos, about a control period apart, and the executed action is what
    they held at the second of these readings.

    Joint positions come first in the observation, as they differ from `origin_rad`. `readings`: a `ReadingHistory`.
    """
    wall_s = 1e-9 * wall_epoch_ns(time.monotonic, time.time_ns)
    for transition in transitions:
        told, at_s = (transition.sequence, transition.step), 1e-9 * nanoseconds(transition.header.stamp) - wall_s
        before = origin_rad + np.array(transition.observation[: actions.size], dtype=np.float64)
        assert readings.showed(at_s - LONGEST_STEP * period_s, at_s, before), (told, "not its observation")
        held = readings.goals(at_s, origin_rad + np.array(transition.next_observation[: actions.size]))
        assert held is not None, (told, "the servos did not show its next observation at that time")
        wrong = np.abs(held - actions.goals(np.array(transition.executed_action), before)).max()
        assert wrong < GOAL_RAD, (told, wrong)
