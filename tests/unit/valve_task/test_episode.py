import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from robot_bridge.robot import load_robot
from robot_bridge.simulation import make_simulation
from robot_bridge.simulation.settings import SimulationSettings
from rosac_common.transition import EndReason, Source
from valve_task.episode import EpisodeLoop, ResetReport
from valve_task.tasks import ActionError, TaskSettings, make_task, tasks_of

ROBOTS = Path(__file__).parents[3] / "config" / "robots"
AGES = np.array([0.01], dtype=np.float32)


@pytest.fixture
def loop(robot):
    task = make_task(TaskSettings(horizon_steps=3), robot)
    task.draw(np.random.default_rng(0))
    return EpisodeLoop(task, "session", training=True)


@pytest.fixture
def begun(loop, make_state):
    loop.begin(make_state(0.0, valve=0.5), AGES, ResetReport(2, 1.5))
    return loop


def step(loop, state, action=0.1, executed=None, source=Source.POLICY, version=7):
    goals = loop.act(np.full(9, action, dtype=np.float32), source, version)
    return loop.settle(state, goals if executed is None else executed, AGES)


def test_a_step_makes_a_transition(begun, make_state):
    first = begun.observation
    goals = begun.act(np.full(9, 0.1, dtype=np.float32), Source.POLICY, 7)
    assert goals == pytest.approx(0.1 * np.array([0.48, math.pi / 3, math.pi / 2] * 3))
    begun.set_latency(0.002)
    transition = begun.settle(make_state(0.1, joints=0.05, valve=0.4), goals, AGES)
    assert (transition.session_id, transition.sequence, transition.episode, transition.step) == ("session", 0, 0, 0)
    assert (transition.policy_version, transition.source, transition.end_reason) == (7, Source.POLICY, EndReason.NONE)
    assert transition.observation is first.observation
    assert transition.requested_action == pytest.approx(np.full(9, 0.1))
    assert transition.executed_action is transition.requested_action
    assert transition.next_observation is begun.observation.observation
    assert transition.next_observation[-1] == pytest.approx(-0.4)  # target 0 minus 0.4
    assert transition.next_observation[11:20] == pytest.approx(np.full(9, 0.1))  # last action
    judged = begun.task.evaluate(make_state(0.1, joints=0.05, valve=0.4), 1, transition.executed_action)
    assert transition.reward == pytest.approx(judged.reward)
    assert (transition.stamp_s, transition.action_latency_s) == (0.1, 0.002)
    assert transition.problem(21, 9) is None


@pytest.mark.parametrize(
    ("name", "task"), [(name, task) for name in ("dclaw", "minitaur") for task in sorted(tasks_of(name))]
)
def test_a_bridge_that_says_nothing_for_a_period_drops_the_step_of_any_task(name, task):
    robot = load_robot(ROBOTS / f"{name}.yaml")
    simulation = make_simulation(robot, SimulationSettings(), seed=0, epoch_ns=0)
    simulation.open()
    state = simulation.read()
    simulation.close()
    made = make_task(TaskSettings(name=task), robot)
    made.draw(np.random.default_rng(0))
    loop = EpisodeLoop(made, "session", training=True)
    loop.begin(state, AGES, ResetReport(1, 1.0))
    for _ in range(2):
        goals = loop.act(np.zeros(made.action_size, dtype=np.float32), Source.POLICY, 1)
        assert loop.settle(state, goals, AGES) is None
    assert loop.record.counters["steps_dropped"] == 2


@pytest.mark.parametrize(
    ("training", "source", "executed"),
    [(True, Source.POLICY, 0.15), (False, Source.POLICY, 0.3), (True, Source.HUMAN, 0.3)],
)
def test_actions_are_shaped_for_training_alone(robot, make_state, training, source, executed):
    class HalfWay(type(make_task(TaskSettings(), robot))):
        def shaped(self, action, last_action, episode):
            return (action + last_action) / 2

    task = make_task(TaskSettings(), robot)
    task.__class__ = HalfWay
    loop = EpisodeLoop(task, "session", training)
    loop.begin(make_state(0.0), AGES, ResetReport(1, 0.0))
    transition = step(loop, make_state(0.1), action=0.3, source=source)
    assert transition.requested_action == pytest.approx(np.full(9, 0.3))
    assert transition.executed_action == pytest.approx(np.full(9, executed))


def test_the_first_observation_knows_no_action(begun):
    assert begun.observation.observation[11:20].tolist() == [0.0] * 9


def test_time_limit_is_a_truncation_with_an_observation_of_the_same_episode(begun, make_state):
    reasons, last = [], None
    for number in range(1, 4):
        last = step(begun, make_state(0.1 * number, valve=0.5 + 0.1 * number))
        reasons.append(last.end_reason)
    assert reasons == [EndReason.NONE, EndReason.NONE, EndReason.TIME_LIMIT]
    assert last.end_reason.bootstraps
    assert last.next_observation[9] == pytest.approx(math.cos(0.8))
    assert not begun.running
    # the next episode starts elsewhere; nothing of it is in the last transition
    begun.begin(make_state(9.0, valve=-2.0), AGES, ResetReport(1, 1.0))
    assert last.next_observation[9] == pytest.approx(math.cos(0.8))
    following = step(begun, make_state(9.1, valve=-2.0))
    assert (following.episode, following.step, following.sequence) == (1, 0, 3)
    assert following.observation[11:20].tolist() == [0.0] * 9


def test_terminated_wins_over_the_time_limit(begun, make_state, monkeypatch):
    judge = begun.task.evaluate
    monkeypatch.setattr(begun.task, "evaluate", lambda *a: judge(*a)._replace(terminated=a[1] == 3))
    reasons = [step(begun, make_state(0.1 * number)).end_reason for number in (1, 2, 3)]
    assert reasons == [EndReason.NONE, EndReason.NONE, EndReason.TERMINATED]
    assert not EndReason.TERMINATED.bootstraps


@pytest.mark.parametrize("reason", [EndReason.SAFETY_STOP, EndReason.OPERATOR_STOP, EndReason.STALE_SENSOR])
def test_a_fall_cuts_the_bootstrap_also_if_the_gate_closes_with_it(begun, make_state, monkeypatch, reason):
    evaluate = begun.task.evaluate
    monkeypatch.setattr(begun.task, "evaluate", lambda *args: evaluate(*args)._replace(terminated=True))
    goals = begun.act(np.full(9, 0.1, dtype=np.float32), Source.POLICY, 7)
    transition = begun.end(reason, make_state(0.1), goals, AGES)
    assert (transition.end_reason, begun.record.end_reason) == (EndReason.TERMINATED, reason)


def test_executed_action_is_the_inverse_image_of_what_was_executed(begun, make_state):
    goals = begun.act(np.full(9, 0.1, dtype=np.float32), Source.POLICY, 7)
    limited = goals.copy()
    limited[0] = 0.024
    transition = begun.settle(make_state(0.1), limited, AGES)
    assert transition.requested_action == pytest.approx(np.full(9, 0.1))
    assert transition.executed_action == pytest.approx([0.05] + [0.1] * 8, abs=1e-6)
    # the policy sees what was executed
    assert transition.next_observation[11:20] == pytest.approx(transition.executed_action)


@pytest.mark.parametrize("time_s", [0.04, 0.16, 0.0])
def test_a_step_of_another_length_is_dropped_and_counted(begun, make_state, time_s):
    assert step(begun, make_state(time_s)) is None
    assert begun.record.counters["steps_dropped"] == 1
    assert (begun.running, begun.observation.step, begun.next_sequence) == (True, 1, 0)
    assert step(begun, make_state(time_s + 0.1)).sequence == 0


def test_a_step_whose_execution_is_unknown_is_dropped(begun, make_state):
    begun.act(np.full(9, 0.1, dtype=np.float32), Source.POLICY, 7)
    assert begun.settle(make_state(0.1), None, AGES) is None
    assert begun.record.counters["steps_dropped"] == 1
    assert begun.record.steps == 0


def test_dropped_steps_count_towards_the_horizon(begun, make_state):
    for number in range(1, 4):
        begun.act(np.zeros(9), Source.POLICY, 7)
        begun.settle(make_state(0.1 * number), None, AGES)
    assert begun.record.end_reason is EndReason.TIME_LIMIT
    assert begun.record.counters["steps_dropped"] == 3


ABNORMAL = [EndReason.SAFETY_STOP, EndReason.OPERATOR_STOP, EndReason.STALE_SENSOR, EndReason.CONNECTION_LOST]


@pytest.mark.parametrize("reason", ABNORMAL)
def test_an_abnormal_end_settles_the_open_step_with_a_valid_reading(begun, make_state, reason):
    step(begun, make_state(0.1))
    goals = begun.act(np.full(9, 0.1, dtype=np.float32), Source.POLICY, 7)
    transition = begun.end(reason, make_state(0.17, valve=0.3), goals, AGES)
    assert (transition.end_reason, transition.sequence, transition.step) == (reason, 1, 1)
    assert transition.next_observation[-1] == pytest.approx(-0.3)
    assert (begun.running, begun.record.end_reason, begun.record.steps) == (False, reason, 2)


@pytest.mark.parametrize("reason", ABNORMAL)
@pytest.mark.parametrize(("time_s", "known"), [(0.12, True), (0.2, False), (0.9, True)])
def test_an_abnormal_end_without_a_valid_reading_drops_the_open_step(begun, make_state, reason, time_s, known):
    step(begun, make_state(0.1))
    goals = begun.act(np.full(9, 0.1, dtype=np.float32), Source.POLICY, 7)
    assert begun.end(reason, make_state(time_s), goals if known else None, AGES) is None
    assert (begun.running, begun.record.end_reason, begun.record.steps) == (False, reason, 1)
    assert begun.record.counters["steps_dropped"] == 1
    assert begun.next_sequence == 1


@pytest.mark.parametrize("reason", ABNORMAL)
def test_an_episode_that_was_cut_short_is_no_success(begun, make_state, reason):
    step(begun, make_state(0.1, valve=0.0))
    assert begun.record.success, "the valve is at its target"
    goals = begun.act(np.full(9, 0.1, dtype=np.float32), Source.POLICY, 7)
    begun.end(reason, make_state(0.2, valve=0.0), goals, AGES)
    assert (begun.record.end_reason, begun.record.success) == (reason, False)


def test_an_abnormal_end_between_steps_leaves_no_transition(begun, make_state):
    step(begun, make_state(0.1))
    assert begun.end(EndReason.CONNECTION_LOST, make_state(0.1), None, AGES) is None
    assert begun.record.end_reason is EndReason.CONNECTION_LOST
    assert begun.record.counters["steps_dropped"] == 0


def test_bad_actions_are_refused_and_counted(begun):
    for bad in (np.zeros(8), np.full(9, math.nan)):
        with pytest.raises(ActionError):
            begun.act(bad, Source.POLICY, 7)
    assert not begun.commanded
    assert begun.record.counters["actions_refused"] == 2


def test_actions_outside_the_box_are_clipped_and_counted(begun, make_state):
    transition = step(begun, make_state(0.1), action=1.5)
    assert transition.requested_action.tolist() == [1.0] * 9
    assert begun.record.counters["actions_clipped"] == 1


def test_human_acts_and_the_policys_wish_is_noted(begun, make_state):
    goals = begun.act(np.full(9, 0.1), Source.HUMAN, 7)
    assert begun.note_request(np.full(9, -0.5), 8)
    transition = begun.settle(make_state(0.1), goals, AGES)
    assert (transition.source, transition.policy_version) == (Source.HUMAN, 8)
    assert transition.requested_action == pytest.approx(np.full(9, -0.5))
    assert transition.executed_action == pytest.approx(np.full(9, 0.1))
    assert begun.record.steps_by_source[Source.HUMAN] == 1


def test_a_second_answer_of_the_policy_is_not_a_wish(begun):
    begun.act(np.full(9, 0.1), Source.POLICY, 7)
    assert not begun.note_request(np.full(9, -0.5), 8)


def test_renewing_sees_the_same_step_again(begun, make_state):
    step(begun, make_state(0.1))
    renewed = begun.renew(make_state(0.2, valve=0.1), AGES)
    assert (renewed.step, renewed.time_ns) == (1, 200_000_000)
    assert renewed.observation[-1] == pytest.approx(-0.1)
    # the step's length counts from the renewed reading
    assert step(begun, make_state(0.3)) is not None


def test_an_episode_begins_with_its_first_action(begun, make_state):
    begun.renew(make_state(4.0, valve=0.25), AGES)
    assert not begun.started
    assert step(begun, make_state(4.1, valve=0.2)).step == 0
    assert begun.started
    assert begun.record.initial_error == pytest.approx(0.25)
    assert begun.record.duration_s == pytest.approx(0.1)


def test_record(begun, make_state):
    rewards = []
    for number, valve in enumerate((0.4, 0.2, 0.05), start=1):
        state = dataclasses.replace(make_state(0.1 * number, joints=0.47, valve=valve, velocity=1.5))
        rewards.append(step(begun, state, source=Source.RANDOM).reward)
    record = begun.record
    assert (record.steps, record.task, record.episode, record.session_id) == (3, "DClawTurn", 0, "session")
    assert record.episode_return == pytest.approx(sum(rewards))
    assert sum(record.reward_terms.values()) == pytest.approx(sum(rewards))
    assert record.reward_terms["near_bonus"] == 20.0
    assert record.reward_terms["distance"] == pytest.approx(-5 * 0.65)
    assert record.success
    assert (record.initial_error, record.final_error) == (pytest.approx(0.5), pytest.approx(0.05))
    # three top joints at 0.47 of 0.48 rad, nine joints at 1.5 rad/s, three steps
    assert (record.counters["near_joint_limit"], record.counters["high_speed"]) == (9, 27)
    assert record.steps_by_source[Source.RANDOM] == 3
    assert (record.reset_attempts, record.reset_duration_s) == (2, 1.5)
    assert record.duration_s == pytest.approx(0.3)
