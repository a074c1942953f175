"""Minitaur through the whole graph: body sensors on topics, falls that end episodes, a simulation that puts it back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from geometry_msgs.msg import TwistStamped
from helpers.graph import SMALL_LEARNER, GraphProcess, own_parameters, rosac
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
    "learner": SMALL_LEARNER,
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
            # The listener may hear of the bridge long after it has heard of the task.
            groups = (transitions, imus, odometries, states)

            def heard():
                return len(episodes) >= 4 and all(len(group) >= 150 for group in groups)

            spin_until(node, heard, 3 * PATIENCE_S, "four episodes, and what was measured in them")
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
    result = rosac(
        "eval", "walk", "--untrained", "--episodes", "2", "--json", "e.json", "terrain:=stairs", directory=tmp_path
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads((tmp_path / "e.json").read_text())["episodes"] == 2
    for place, ground in (("", "flat"), ("evaluation/1/", "stairs")):
        parameters = yaml.safe_load((tmp_path / f"runs/walk/{place}config.yaml").read_text())
        (bridge,) = (part["ros__parameters"] for name, part in parameters.items() if name.endswith("bridge"))
        assert bridge["simulation.minitaur.terrain"] == ground


def test_it_follows_a_velocity_on_cmd_vel_until_nobody_asks_any_more(tmp_path):
    own = own_parameters(tmp_path / "own.yaml", FAST)
    transitions = []
    arguments = ("steps:=0", "run:=led", "task:=MinitaurWalkCommand", own)
    with (
        GraphProcess("up", *arguments, directory=tmp_path, stack="minitaur_walk") as graph,
        ros_node("joystick") as node,
    ):
        node.create_subscription(Transition, "replay", transitions.append, qos.REPLAY)
        publisher = node.create_publisher(TwistStamped, "cmd_vel", qos.SENSORS)
        asked = TwistStamped()
        asked.twist.linear.x = 0.37
        timer = node.create_timer(0.05, lambda: publisher.publish(asked))

        def seen(velocity):
            return any(each.next_observation[112] == np.float32(velocity) for each in transitions)

        try:
            spin_until(node, lambda: seen(0.37), 3 * PATIENCE_S, "the velocity in an observation")
            timer.cancel()
            spin_until(node, lambda: seen(0.0), 3 * PATIENCE_S, "velocity 0 after silence")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{graph.output()}") from None
        assert "no velocity on cmd_vel for 0.5 s: it counts as 0" in (tmp_path / "runs/led/log/task.log").read_text()
