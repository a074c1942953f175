"""The actor as a real process over real DDS: answers, policy swaps, bad policies and observations."""

import dataclasses
import itertools

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from helpers.learning import ACTION_SIZE, OBSERVATION_SIZE, make_policy
from helpers.patience import PATIENCE_S
from helpers.ros import NodeProcess, ros_node, spin_until
from rosac_common.messages import float32_array
from sac_interfaces.msg import Action, Observation, PolicyWeights
from sac_learner.policy import PolicyNetwork
from sac_learner.policy_messages import policy_to_message

from rosac_common import qos

pytestmark = pytest.mark.ros

SIZES = {"observation_size": OBSERVATION_SIZE, "action_size": ACTION_SIZE}
OBSERVATION = np.linspace(-1, 1, OBSERVATION_SIZE, dtype=np.float32)


class Robot:
    """Publishes observations and policies, collects actions and diagnostics."""

    def __init__(self, node):
        self.node, self.actions, self.steps = node, [], itertools.count()
        self.diagnostics = None
        self._observations = node.create_publisher(Observation, "observation", qos.COMMAND)
        self._policies = node.create_publisher(PolicyWeights, "policy", qos.LATCHED)
        node.create_subscription(Action, "action", self.actions.append, qos.COMMAND)
        node.create_subscription(DiagnosticArray, "diagnostics", self._diagnose, qos.EVENTS)

    def _diagnose(self, message):
        self.diagnostics = message.status[0]

    def until(self, predicate, what, timeout_s=PATIENCE_S):
        spin_until(self.node, predicate, timeout_s, what)

    def connect(self):
        self.until(
            lambda: self._observations.get_subscription_count() and self.node.count_publishers("action"), "the actor"
        )

    def observe(self, observation=OBSERVATION):
        """Publish an observation; returns it."""
        message = Observation(session_id="s", episode=3, step=next(self.steps), observation=float32_array(observation))
        message.header.stamp.sec, message.header.stamp.nanosec = 7, message.step
        self._observations.publish(message)
        return message

    def ask(self, observation=OBSERVATION):
        """Publish an observation and return the answer to it."""
        sent = self.observe(observation)

        def answered():
            # An answer is lost while the actor does not know of this subscription yet.
            self._observations.publish(sent)
            return self.actions and self.actions[-1].step == sent.step

        self.until(answered, "an action")
        return self.actions[-1]

    def send_policy(self, weights, **changes):
        """Publish a policy, with fields of the message replaced."""
        message = policy_to_message(weights)
        for name, value in changes.items():
            setattr(message, name, value)
        self._policies.publish(message)

    def until_version(self, version):
        self.until(lambda: self.ask().policy_version == version, f"policy {version}")

    def until_said(self, text):
        """Wait for diagnostics that say this."""
        self.until(lambda: self.diagnostics and text in self.diagnostics.message, f"diagnostics '{text}'")


@pytest.fixture
def robot():
    with ros_node("robot") as node:
        yield Robot(node)


def test_policies_come_and_go_while_it_answers(robot):
    with NodeProcess("sac_learner", "actor", {**SIZES, "deterministic": True}) as actor:
        robot.connect()
        # No policy yet: nothing is sent, and it says what is missing.
        robot.observe()
        robot.until_said("no policy yet: no action is sent; start the learner")
        assert robot.diagnostics.level == DiagnosticStatus.WARN
        assert robot.actions == []

        # Uniform exploration, then a policy.
        robot.send_policy(make_policy(version=1, explore_uniformly=True))
        robot.until(lambda: robot.observe() and robot.actions, "a first action")
        answers = [robot.ask() for _ in range(30)]
        assert {answer.source for answer in answers} == {Action.SOURCE_RANDOM}
        assert len({answer.action.tobytes() for answer in answers}) == 30
        first = make_policy(version=2)
        robot.send_policy(first)
        robot.until_version(2)
        answer = robot.ask()
        assert (answer.session_id, answer.episode, answer.source) == ("s", 3, Action.SOURCE_POLICY)
        assert (answer.header.stamp.sec, answer.header.stamp.nanosec) == (7, answer.step)
        np.testing.assert_allclose(answer.action, PolicyNetwork(first).mean_action(OBSERVATION), atol=1e-6)

        # Bad policies: the old one stays and answers, and the reason is named.
        nan = dict(first.tensors) | {"output.bias": np.full(4, np.nan, np.float32)}
        short = dict(first.tensors) | {"output.bias": np.zeros(3, np.float32)}
        bad = (
            ("checksum is", lambda: robot.send_policy(make_policy(version=3), checksum=1)),
            ("not finite", lambda: robot.send_policy(dataclasses.replace(first, version=4, tensors=nan).sealed())),
            ("output.bias", lambda: robot.send_policy(dataclasses.replace(first, version=5, tensors=short).sealed())),
            ("data has 1 values", lambda: robot.send_policy(make_policy(version=6), data=float32_array([0.0]))),
            ("is not above the current 2", lambda: robot.send_policy(make_policy(version=2, seed=9))),
        )
        for reason, send in bad:
            send()
            robot.until_said(reason)
            assert "the old one (version 2) stays" in robot.diagnostics.message
            answer = robot.ask()
            assert answer.policy_version == 2
            np.testing.assert_allclose(answer.action, PolicyNetwork(first).mean_action(OBSERVATION), atol=1e-6)
        robot.send_policy(make_policy(version=7, observation_mean=np.full(5, 0.01, np.float32)))
        robot.until_version(7)
        robot.until(lambda: robot.diagnostics.message == "", "no complaint")

        # Bad observations: no action, named; the next good one is answered.
        for observation, reason in ((np.zeros(4), "has 4 values"), (OBSERVATION * np.nan, "is not finite")):
            refused = robot.observe(observation)
            robot.until_said(reason)
            assert refused.step not in [action.step for action in robot.actions]
            assert robot.ask().policy_version == 7
        values = {entry.key: entry.value for entry in robot.diagnostics.values}
        assert (values["policy_version"], values["policies_refused"]) == ("7", "5")
        assert "no policy yet" in actor.output()


def test_exported_policy_is_run_without_a_learner(robot, tmp_path):
    path = tmp_path / "policy.safetensors"
    weights = make_policy(version=40)
    weights.save(path, {})
    parameters = {**SIZES, "deterministic": True, "policy_file": str(path)}
    with NodeProcess("sac_learner", "actor", parameters):
        robot.connect()
        answer = robot.ask()
        assert answer.policy_version == 40
        np.testing.assert_allclose(answer.action, PolicyNetwork(weights).mean_action(OBSERVATION), atol=1e-6)


def test_what_cannot_work_ends_with_a_clear_error(tmp_path):
    path = tmp_path / "policy.safetensors"
    make_policy().save(path, {})
    cases = (
        ({**SIZES, "policy_file": str(tmp_path / "none")}, "No such file"),
        ({**SIZES, "action_size": 3, "policy_file": str(path)}, "its observation and action sizes are (5, 2)"),
        ({**SIZES, "seed": -1}, "'seed' is -1; it must be in 0 .. inf"),
    )
    for parameters, problem in cases:
        with NodeProcess("sac_learner", "actor", parameters) as actor:
            assert actor.wait() == 2
            assert problem in actor.output()
