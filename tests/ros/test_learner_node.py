"""The learner as a real process over real DDS, fed by a task whose network loses, repeats and reorders."""

import re
import signal
import time

import numpy as np
import pytest
from helpers.fake_task import FakeTask
from helpers.learning import ACTION_SIZE, OBSERVATION_SIZE, learner_settings, make_transition
from helpers.ros import NodeProcess, ros_node
from rosac_common.messages import transition_to_message
from rosac_common.settings import to_mapping
from sac_interfaces.msg import EpisodeSummary, LearnerStatus
from sac_learner.learning.replay_log import Kind, ReplayLog
from sac_learner.policy import PolicyGuard, load_policy
from sac_learner.policy_messages import policy_from_message
from sac_learner.runs.episode_table import read_episodes
from sac_learner.runs.run_files import RunFiles

from rosac_common import qos

pytestmark = pytest.mark.ros


def start_learner(directory, **changes):
    settings = learner_settings(directory, **{"pacing__band_steps": 16, "intake__resend_period_s": 0.2, **changes})
    return NodeProcess("sac_learner", "learner", to_mapping(settings))


@pytest.fixture
def task():
    with ros_node("task") as node:
        yield FakeTask(node)


def logged(directory):
    """(session, number, kind) of every record, in order."""
    log = ReplayLog(
        RunFiles(directory).replay,
        task_name="DClawTest",
        observation_size=OBSERVATION_SIZE,
        action_size=ACTION_SIZE,
        sync_period_s=0.0,
    )
    assert not log.repairs
    return [
        (segment.session_id, int(record["sequence"]), Kind(record["kind"]))
        for segment in log.segments
        for record in segment.records
    ]


def test_a_whole_run_over_a_bad_network(task, tmp_path):
    with start_learner(tmp_path, total_steps=120) as learner:
        task.connect()
        assert task.status.phase == LearnerStatus.PHASE_EXPLORING
        assert (task.status.sequence_limit, task.status.received_count) == (16, 0)
        task.lose = {0, 7, 8, 9, 40, 77}
        task.run_to(30)
        task.publish(28, 3, 3)  # again, and out of order
        task.run_to(120)
        task.until(lambda: task.status.phase == LearnerStatus.PHASE_FINISHED, "the end of the run")
        status = task.status
        assert (status.transitions, status.received_count, status.sequence_limit) == (120, 120, 120)
        assert (status.transitions_lost, status.transitions_rejected) == (0, 0)
        # The very first is sent again by the task itself: the learner cannot ask in a session that it does not know.
        assert status.transitions_repaired == len(task.lose) - 1
        assert status.transitions_duplicate >= 3
        assert (status.updates, status.update_ratio) == (100, 1.0)
        assert status.message == ""
        assert np.isfinite([status.critic_loss, status.actor_loss, status.q_mean, status.entropy]).all()

        # Policies: the first explores, versions grow, the guard of an actor takes each of them.
        task.until(lambda: task.policies[-1].updates == 100, "the last policy")
        assert task.policies[0].explore_uniformly
        assert not task.policies[-1].explore_uniformly
        guard = PolicyGuard(OBSERVATION_SIZE, ACTION_SIZE, max_action_change=0.5, recent_observations=8)
        assert [guard.accept(policy_from_message(message)) for message in task.policies] == [None] * len(task.policies)

        # It goes on serving: a late joiner gets state and policy, further transitions are not stored.
        with ros_node("late") as node:
            late = FakeTask(node, session_id="b")
            late.connect()
            late.until(lambda: late.policies, "the policy")
            assert late.status.phase == LearnerStatus.PHASE_FINISHED
            assert late.policies[0].version == task.policies[-1].version
        task.publish(120, 121)
        learner.signal(signal.SIGTERM)
        assert learner.wait() == 0
    numbers = [number for _, number, _ in logged(tmp_path)]
    assert sorted(numbers) == list(range(120))
    assert {n for _, n, kind in logged(tmp_path) if kind is Kind.REPAIRED} == task.lose - {0}
    assert load_policy(tmp_path / "policy.safetensors").updates == 100
    assert list((tmp_path / "metrics").glob("events*"))


def test_killed_and_restarted_nothing_is_lost_or_doubled(task, tmp_path):
    with start_learner(tmp_path) as learner:
        task.connect()
        task.run_to(70)
        task.until(lambda: task.status.updates >= 26, "updates after a checkpoint")
        learner.signal(signal.SIGKILL)
        learner.wait()
    # Sent while there is no learner: gone, and the task, in lockstep, then waits.
    task.publish(*range(70, 75))
    task.made = 75
    version = task.policies[-1].version
    with start_learner(tmp_path) as learner:
        task.connect()
        status = task.until_stored(75)
        assert (status.transitions, status.transitions_lost) == (75, 0)
        task.run_to(100)
        task.until_stored(100)
        task.until(lambda: task.status.updates == 80, "all updates")
        assert task.policies[-1].version > version
        learner.signal(signal.SIGINT)
        assert learner.wait() == 0
        assert "resumed at" in learner.output()
    assert sorted(number for _, number, _ in logged(tmp_path)) == list(range(100))


def test_what_the_task_has_forgotten_is_counted_as_lost_and_bad_transitions_are_named(task, tmp_path):
    with start_learner(tmp_path, total_steps=60):
        task.connect()
        task.run_to(10)
        task.lose, task.first_available = set(range(10, 14)), 13
        task.run_to(20)
        status = task.until_stored(20)
        assert (status.transitions_lost, status.transitions_repaired, status.transitions) == (3, 1, 17)

        bad_enum, implausible = transition_to_message(make_transition(22)), transition_to_message(make_transition(23))
        bad_enum.end_reason, implausible.sequence = 99, 2**63
        nan = np.full(OBSERVATION_SIZE, np.nan, np.float32)
        bad = (
            (transition_to_message(make_transition(20, observation=nan)), "transition 20 .* not finite"),
            (transition_to_message(make_transition(21, executed_action=np.zeros(3, np.float32))), "has 3 values"),
            (bad_enum, "transition 22 .* 99 is not a valid EndReason"),
            (implausible, f"sequence number {2**63} .* beyond the expected one"),
        )
        for count, (message, problem) in enumerate(bad, 1):
            task.publish_message(message)
            task.until(lambda: task.status.transitions_rejected == count, problem)  # noqa: B023
            assert re.search(problem, task.status.message)
        task.made = 23
        task.until_stored(23)

        # Nor does an episode that makes no row: the topic keeps it, a restarted learner would hear it again.
        episodes = task.node.create_publisher(EpisodeSummary, "episode", qos.EPISODES)
        episodes.publish(EpisodeSummary(episode=7, reward_term_names=["a", "b"], reward_term_sums=[1.0]))
        task.until(lambda: "episode 7 of session '' is refused: reward: 1 values" in task.status.message, "the refusal")
        episodes.publish(EpisodeSummary(episode=8, steps=23))
        task.until(lambda: read_episodes(tmp_path / "episodes.csv"), "an episode in the table")
        assert [row["episode"] for row in read_episodes(tmp_path / "episodes.csv")] == ["8"]
        episodes.publish(EpisodeSummary(episode=12, index=3, steps=23))
        task.until(lambda: "2 episodes of session '' ended unheard" in task.status.message, "the missing episodes")

        # The limit grows by what was never stored: the run still gets its 60 transitions.
        task.run_to(60 + 3 + 3)
        task.until(lambda: task.status.phase == LearnerStatus.PHASE_FINISHED, "the end of the run")
        assert task.status.transitions == 60


def test_interrupted_it_writes_a_checkpoint_within_4_s_and_the_next_one_goes_on_from_it(task, tmp_path):
    resumed_at = 0
    for number, steps in ((signal.SIGINT, 45), (signal.SIGTERM, 62)):
        for _ in range(5):  # until the machine makes no pause
            start_s = time.monotonic()
            with start_learner(tmp_path) as learner:
                task.connect()
                # Where the start alone takes longer than 4 s, so may the end.
                limit_s = max(4.0, time.monotonic() - start_s)
                task.run_to(steps)
                task.until(lambda: task.status.updates == steps - 20, "updates")  # noqa: B023
                start_s = time.monotonic()
                learner.signal(number)
                assert learner.wait() == 0
                took_s = time.monotonic() - start_s
                checkpoints = sorted((tmp_path / "checkpoints").glob("checkpoint_*"))
                assert checkpoints[-1].name == f"checkpoint_{steps - 20:012d}.safetensors"
                if resumed_at:
                    said = f"resumed at {resumed_at} transitions and {resumed_at - 20} updates"
                    assert said in learner.output()
            resumed_at = steps
            if took_s < limit_s:
                break
        assert took_s < limit_s


def test_what_cannot_work_ends_with_a_clear_error(tmp_path):
    path = tmp_path / "checkpoints" / "checkpoint_000000000025.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"torn")
    values = to_mapping(learner_settings(tmp_path))
    cases = (
        (values, f"error: {path} (4 bytes) is truncated"),
        ({**values, "sac.discuont": 0.5}, "unknown setting 'sac.discuont'; did you mean 'sac.discount'?"),
    )
    for parameters, problem in cases:
        with NodeProcess("sac_learner", "learner", parameters) as learner:
            assert learner.wait() == 2
            assert problem in learner.output()
            assert "Traceback" not in learner.output()
