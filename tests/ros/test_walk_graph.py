"""Minitaur through the whole graph: body sensors on topics, falls that end episodes, a simulation that puts it back."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.graph import GraphProcess, own_parameters
from helpers.patience import PATIENCE_S
from helpers.ros import ros_node, spin_until
from nav_msgs.msg import Odometry
from rosac_common.messages import nanoseconds
from rosac_common.transition import EndReason
from sac_interfaces.msg import EpisodeSummary, Transition
from sensor_msgs.msg import Imu, JointState

from rosac_common import qos

pytestmark = pytest.mark.ros

FAST = {
    "learner": {"sac.batch_size": 32, "sac.hidden_sizes": [32, 32], "sac.initial_random_steps": 100},
    "task": {"task.horizon_steps": 60},
}


def test_episodes_are_walked_ended_and_begun_again(tmp_path):
    own = own_parameters(tmp_path / "own.yaml", FAST)
    transitions, episodes, imus, odometries, states = [], [], [], [], []
    with (
        GraphProcess("up", "steps:=0", "run:=walk", own, directory=tmp_path, stack="minitaur_walk") as graph,
        ros_node("listener") as node,
    ):
        node.create_subscription(Transition, "replay", transitions.append, qos.REPLAY)
        node.create_subscription(EpisodeSummary, "episode", episodes.append, qos.EPISODES)
        node.create_subscription(Imu, "imu/data", imus.append, qos.REPLAY)
        node.create_subscription(Odometry, "odom", odometries.append, qos.REPLAY)
        node.create_subscription(JointState, "joint_states", states.append, qos.REPLAY)
        try:
            spin_until(node, lambda: len(episodes) >= 4 and len(transitions) >= 150, 3 * PATIENCE_S, "four episodes")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{graph.output()}") from None
    assert {len(transition.observation) for transition in transitions} == {112}
    assert {len(transition.requested_action) for transition in transitions} == {8}
    reasons = {EndReason(transition.end_reason) for transition in transitions}
    assert reasons <= {EndReason.NONE, EndReason.TIME_LIMIT, EndReason.TERMINATED}
    # The three messages of one control step have one time.
    times = [{nanoseconds(message.header.stamp) for message in group} for group in (imus, odometries, states)]
    assert len(times[0] & times[1] & times[2]) > 100
    norms = [np.linalg.norm([q.w, q.x, q.y, q.z]) for q in (imu.orientation for imu in imus)]
    np.testing.assert_allclose(norms, 1.0, atol=1e-6)
    for before, after in zip(transitions, transitions[1:], strict=False):
        same = before.episode == after.episode and before.session_id == after.session_id
        if same and after.sequence == before.sequence + 1 and before.end_reason == EndReason.NONE:
            np.testing.assert_array_equal(before.next_observation, after.observation)
