"""The real task process against a bridge, an actor and a learner that live in the test."""

from __future__ import annotations

import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from helpers.patience import until
from helpers.ros import call
from helpers.surroundings import ROBOT, Surroundings, task
from rosac_common.messages import nanoseconds
from rosac_common.transition import EndReason, Source
from sac_interfaces.msg import Action, EpisodeSummary, Transition
from sac_interfaces.srv import ResendTransitions
from sensor_msgs.msg import Joy

pytestmark = pytest.mark.ros

HELD = [0, 0, 0, 0, 1]


def numbers(transitions: list[Transition]) -> list[int]:
    return [transition.sequence for transition in transitions]


def refused(episode: EpisodeSummary) -> int:
    """How many actions of the episode were refused."""
    return dict(zip(episode.counter_names, episode.counters, strict=True))["actions_refused"]


def test_episodes_and_lost_transitions_sent_again(surroundings: Surroundings) -> None:
    s = surroundings
    with task():
        s.until(lambda: len(s.episodes) >= 3, "three episodes")
        received = s.transitions[:15]
        assert numbers(received) == list(range(15))
        assert [t.episode for t in received] == [0] * 5 + [1] * 5 + [2] * 5
        assert [t.end_reason for t in received[:5]] == [0, 0, 0, 0, EndReason.TIME_LIMIT]
        for before, after in zip(received, received[1:], strict=False):
            chained = np.array_equal(before.next_observation, after.observation)
            assert chained == (before.episode == after.episode)
        first = received[0]
        assert len(first.observation) == 21
        assert first.executed_action == first.requested_action == pytest.approx(np.full(9, 0.1))
        assert (first.policy_version, first.source) == (7, Source.POLICY)
        assert 0 < first.action_latency_s < 5
        summary = s.episodes[0]
        assert (summary.task, summary.steps, summary.steps_policy) == ("DClawTurn", 5, 5)
        assert summary.episode_return == pytest.approx(sum(t.reward for t in received[:5]), rel=1e-5)
        assert sum(summary.reward_term_sums) == pytest.approx(summary.episode_return, rel=1e-5)
        assert list(summary.counter_names)[:2] == ["near_joint_limit", "high_speed"]
        # resets command all joints, episodes leave the valve free
        assert {tuple(c.name) for c in s.commands} == {tuple(ROBOT.joint_names), tuple(ROBOT.all_joint_names)}

        s.action = None
        s.until(lambda: s.diagnostic is not None, "diagnostics")
        s.transitions.clear()
        wanted = ResendTransitions.Request(session_id=first.session_id, first=3, last=12)
        response = call(s.node, ResendTransitions, "replay/resend", wanted)
        assert (response.accepted, response.first_available) == (True, 0)
        s.until(lambda: set(range(3, 13)) <= set(numbers(s.transitions)), "ten transitions again")
        again = {t.sequence: t for t in s.transitions}
        assert all(again[t.sequence] == t for t in received[3:13])

        unknown = call(s.node, ResendTransitions, "replay/resend", ResendTransitions.Request(session_id="x", last=2))
        assert not unknown.accepted
        assert f"session is '{first.session_id}'" in unknown.message


def test_the_learners_limit_is_honoured(surroundings: Surroundings) -> None:
    s = surroundings
    with task(wait_for_learner=True):
        s.until(lambda: s.observations, "an observation")
        session = s.observations[0].session_id
        s.for_a_while(0.3)
        assert s.transitions == []  # nobody is there to learn from them
        for limit in (7, 8, 12):
            s.learner_allows(limit, session)
            s.until_transitions(limit)
            s.for_a_while(0.3)
            assert numbers(s.transitions) == list(range(limit))
        s.until(lambda: s.diagnostic.message == "waiting for the learner", "the task says what it waits for")


def test_bad_actions_are_refused_and_a_silent_actor_is_named(surroundings: Surroundings) -> None:
    s = surroundings
    with task(action_timeout_s=1.0, **{"task.horizon_steps": 1000}):
        s.until_transitions(5)
        s.action = np.full(9, np.nan)
        s.until(lambda: s.complained("not finite"), "the task names the bad action")
        s.action = np.zeros(8)
        s.until(lambda: s.complained("shape (8,)"), "the task names the wrong size")
        s.action, s.source = np.full(9, 0.1), 9
        s.until(lambda: s.complained("9 is not a valid Source"), "the task names the unknown source")
        s.until(lambda: any(refused(episode) for episode in s.episodes), "the end of the episode")
        assert {episode.end_reason for episode in s.episodes} == {EndReason.CONNECTION_LOST}
        s.action, s.source = None, Action.SOURCE_POLICY
        s.until(lambda: s.complained("start the actor"), "the task names the actor")
        known = len(s.transitions)
        s.action = np.full(9, 0.1)  # as after its restart: it answers the next observation
        s.until_transitions(known + 5)
        s.until(lambda: s.diagnostic.level == DiagnosticStatus.OK, "no more complaints")
        assert numbers(s.transitions) == list(range(len(s.transitions)))
        assert all(np.isfinite(t.executed_action).all() and len(t.executed_action) == 9 for t in s.transitions)


def sent(s: Surroundings, axes: list[float], buttons: list[int]) -> bool:
    """Move the joystick; again and again, as a joystick does: single messages may be lost."""
    s.joy.publish(Joy(axes=axes, buttons=buttons))
    return True


def test_a_human_takes_over(surroundings: Surroundings) -> None:
    s = surroundings
    with task(**{"task.horizon_steps": 1000, "teleop.joy_timeout_s": 5.0}):
        s.until_transitions(5)
        s.until(
            lambda: sent(s, [0.5, -0.5, 0.0, 0.0, 0.25], HELD) and s.transitions[-1].source == Source.HUMAN,
            "human steps",
        )
        s.until(lambda: sent(s, [0.0] * 5, [0] * 5) and s.transitions[-1].source == Source.POLICY, "the policy is back")
        taken = [t for t in s.transitions if t.source == Source.HUMAN]
        assert taken[-1].executed_action == pytest.approx([0.5, -0.5, 0.25] * 3)
        assert numbers(s.transitions) == list(range(len(s.transitions)))


@pytest.mark.parametrize("surroundings", [False], indirect=True)
def test_real_time(surroundings: Surroundings) -> None:
    s = surroundings
    with task(time_base="realtime", max_observation_age_s=0.09, **{"task.horizon_steps": 1000}):
        arrived_s: list[float] = []

        def at_ten_a_second() -> bool:
            """The last fifteen, by the clock and by their stamps; a busy machine is late at times."""
            arrived_s.extend([time.monotonic()] * (len(s.transitions) - len(arrived_s)))
            stamps = np.array([nanoseconds(t.header.stamp) for t in s.transitions[-16:]]) * 1e-9
            took_s = arrived_s[-1] - arrived_s[-16] if len(arrived_s) > 15 else 0.0
            return 1.2 <= took_s <= 2.0 and abs(np.median(np.diff(stamps)) - 0.1) < 0.021

        s.until(at_ten_a_second, "steps at 10 Hz")
        assert max(t.sensor_ages_s[0] for t in s.transitions) <= 0.09
        assert numbers(s.transitions) == list(range(len(s.transitions)))


def test_a_setting_out_of_range_ends_the_process_with_its_name() -> None:
    with task(**{"task.name": "DClawTurnip"}) as process:
        assert process.wait() == 2
        assert "DClawTurnFixed" in process.output()
    with task(missed_periods_limit=0) as process:
        assert process.wait() == 2
        assert "missed_periods_limit" in process.output()


def test_it_says_once_which_symmetries_its_settings_break() -> None:
    with task(**{"task.reset_pose_rad": [0.3, -1.0, 1.0] * 3}) as process:
        until(lambda: "not the same after the others: task.reset_pose_rad" in process.output(), "what it has lost")
        assert process.output().count("has 3 of the robot's 6 symmetries") == 1
