"""The step machine in real time: the control period, missed ones, and sensors that fall silent."""

import numpy as np
import pytest
from robot_bridge.gate_types import GateState
from rosac_common.transition import EndReason, Source
from valve_task.machine_io import Phase, Problem

HELD = [0, 0, 0, 0, 1]


def test_nothing_moves_between_ticks(world):
    w = world("realtime")
    w.state()
    w.gate()
    assert (w.machine.phase, w.out.commands) == (Phase.RESETTING, [])
    w.machine.tick()
    assert len(w.out.commands) == 1


def test_one_step_each_period(started):
    w = started(**{"task.horizon_steps": 5})
    w.answer(0.1)
    for _ in range(5):
        w.period(0.1)
    assert [t.step for t in w.out.transitions] == [0, 1, 2, 3, 4]
    assert w.out.transitions[-1].end_reason is EndReason.TIME_LIMIT
    assert all(t.sensor_ages_s == pytest.approx([0.001], abs=1e-6) for t in w.out.transitions)
    assert all(t.action_latency_s == pytest.approx(0.001) for t in w.out.transitions[1:])
    (record,) = w.out.episodes
    assert (record.steps, record.missed_periods, record.counters["steps_dropped"]) == (5, 0, 0)
    # the reset goes on in the very tick that ended the episode
    assert w.out.commands[-1][0] == w.time_ns
    assert w.out.commands[-1][2] is not None


def test_the_command_answers_the_state_that_was_observed(started):
    w = started()
    observed_ns = w.time_ns
    w.now_s += 0.01
    w.time_ns += 10_000_000
    w.state()  # a newer state comes before the action
    w.answer(0.1)
    assert w.out.commands[-1][0] == observed_ns


def test_a_missed_period_is_counted_and_the_policy_asked_again(started):
    w = started()
    w.answer()
    w.period()  # the step is settled, the action for the next one does not come
    assert len(w.out.transitions) == 1
    first = w.out.observations[-1]
    w.period()
    again = w.out.observations[-1]
    assert (again.step, again.time_ns - first.time_ns) == (first.step, w.period_ns)
    assert w.loop.record.missed_periods == 1
    w.answer(observation=first)
    assert w.loop.record.counters["actions_ignored"] == 1
    w.answer()
    w.period()
    assert [t.step for t in w.out.transitions] == [0, 1]
    assert w.loop.record.counters["steps_dropped"] == 0


def test_missed_periods_that_are_not_in_a_row_end_nothing(started):
    w = started(missed_periods_limit=3)
    w.answer()
    for _ in range(4):
        w.period()
        w.period()
        w.answer()
        w.period()
    assert w.out.episodes == []
    assert w.loop.record.missed_periods >= 4


def test_too_many_missed_periods_end_the_episode(started):
    w = started(missed_periods_limit=3)
    w.answer()
    for _ in range(3):
        w.period()
    assert w.out.episodes == []
    w.period()
    (record,) = w.out.episodes
    assert (record.end_reason, record.missed_periods, record.steps) == (EndReason.CONNECTION_LOST, 3, 1)
    assert Problem.ACTOR in w.machine.problems
    w.finish_reset()
    # the next episode waits for its first action, however long it takes
    for _ in range(100):
        w.period()
    assert (len(w.out.episodes), w.machine.phase, w.out.observations[-1].step) == (1, Phase.ACTING, 0)
    assert w.out.observations[-1].time_ns == w.time_ns
    w.period(0.1)
    w.period(0.1)
    assert Problem.ACTOR not in w.machine.problems
    assert w.out.transitions[-1].episode == 1
    assert w.loop.record.missed_periods == 0


def test_an_action_that_comes_after_a_pause_of_the_process_is_not_executed(started):
    w = started()
    commands = len(w.out.commands)
    w.now_s += 0.2  # the timer could not run
    w.answer()
    assert len(w.out.commands) == commands
    assert w.loop.record.counters["actions_ignored"] == 1


@pytest.mark.parametrize(
    ("since_ns", "until_ns", "dropped"),
    [(0, 0, 0), (1, 5, 1), (-5, -1, 1)],
    ids=["in force", "read before it was", "in force no more, or not said yet"],
)
def test_a_step_counts_only_if_its_action_was_in_force_when_its_last_state_was_read(
    started, since_ns, until_ns, dropped
):
    """Messages of two topics come in any order, and late."""
    w = started()
    w.answer(0.1)
    command_ns, goals, _ = w.out.commands[-1]
    w.now_s += w.period_s
    w.time_ns += w.period_ns
    w.executed(command_ns, goals, w.time_ns + since_ns, w.time_ns + until_ns)
    w.state()
    w.machine.tick()
    assert (len(w.out.transitions), w.loop.record.counters["steps_dropped"]) == (1 - dropped, dropped)


def test_a_reading_that_grew_old_while_the_process_stood_still_is_not_counted(started, monkeypatch):
    """After it was found fresh."""
    w = started()
    w.answer()
    monkeypatch.setattr(w.machine._runner, "_clock", lambda: w.now_s + 0.07)
    w.period()
    assert (w.out.transitions, w.loop.record.counters["steps_dropped"]) == ([], 1)


def test_a_late_timer_costs_the_step(started):
    w = started()
    w.answer()
    w.period(0.1)
    w.now_s += 0.15
    w.time_ns += 150_000_000
    w.period(0.1)
    assert w.loop.record.missed_periods >= 1
    assert w.loop.record.counters["steps_dropped"] == 1
    w.period()
    assert [t.sequence for t in w.out.transitions] == [0, 1]
    assert [t.step for t in w.out.transitions] == [0, 2]


def silent(w, periods, frozen=False):
    for _ in range(periods):
        w.now_s += w.period_s
        if frozen:
            w.state()
        w.machine.tick()


@pytest.mark.parametrize("frozen", [False, True])
def test_a_stale_sensor_stops_commands_and_ends_the_episode_when_it_is_back(started, frozen):
    w = started()
    w.answer()
    w.period(0.1)
    w.execute()
    commands, observations = len(w.out.commands), len(w.out.observations)
    silent(w, 5, frozen)  # no states, or the same reading again and again
    assert (len(w.out.commands), len(w.out.observations), w.out.episodes) == (commands, observations, [])
    assert "limit 0.06 s" in dict(w.out.problems)[Problem.SENSORS]
    w.answer()
    assert len(w.out.commands) == commands
    w.time_ns += 5 * w.period_ns
    w.period()
    (record,) = w.out.episodes
    assert (record.end_reason, record.steps) == (EndReason.STALE_SENSOR, 1)
    assert record.counters["steps_dropped"] == 1  # the reading came 6 periods late: no sample of the step
    assert record.missed_periods >= 5
    assert [t.sequence for t in w.out.transitions] == [0]
    assert Problem.SENSORS in w.out.solutions
    w.finish_reset()
    w.period(0.1)
    w.period(0.1)
    assert [t.sequence for t in w.out.transitions] == [0, 1]


def test_a_bad_reading_of_the_body_ends_the_episode_with_the_state_before_it(started):
    w = started()
    w.answer()
    w.period(0.1)
    w.execute()
    w.now_s += w.period_s
    w.time_ns += w.period_ns
    w.state()
    w.machine.on_bad_body("the odometry jumps by 3.000 m")
    (record,) = w.out.episodes
    assert (record.end_reason, record.success, record.steps) == (EndReason.STALE_SENSOR, False, 2)
    assert [t.end_reason for t in w.out.transitions] == [EndReason.NONE, EndReason.STALE_SENSOR]
    assert "jumps by 3.000 m" in dict(w.out.problems)[Problem.SENSORS]
    w.machine.on_bad_body("the odometry jumps by 3.000 m")
    assert len(w.out.episodes) == 1
    w.time_ns += w.period_ns
    w.period()
    w.finish_reset()
    assert w.machine.phase is Phase.ACTING
    assert Problem.SENSORS in w.out.solutions


def test_an_action_is_not_executed_while_the_sensors_are_stale(started):
    w = started()
    silent(w, 1)
    commands = len(w.out.commands)
    w.answer()
    assert len(w.out.commands) == commands
    assert w.loop.record.counters["actions_ignored"] == 1
    # no episode had begun, so none ends
    w.time_ns += w.period_ns
    w.period(0.1)
    w.period(0.1)
    assert (w.out.episodes, [t.sequence for t in w.out.transitions]) == ([], [0])


def test_a_short_gap_leaves_a_valid_last_transition(started):
    w = started()
    w.answer()
    w.period(0.1)
    w.execute()
    w.now_s += w.period_s  # one tick without a fresh state
    w.machine.tick()
    w.now_s += 0.02
    w.time_ns += round(1.2 * w.period_ns)
    w.state()
    w.machine.tick()
    assert w.out.episodes[0].end_reason is EndReason.STALE_SENSOR
    assert [t.end_reason for t in w.out.transitions] == [EndReason.NONE, EndReason.STALE_SENSOR]


def test_a_lost_bridge_ends_the_episode_as_connection_lost(started):
    w = started()
    w.answer()
    w.period(0.1)
    silent(w, 22)
    (record,) = w.out.episodes
    assert record.end_reason is EndReason.CONNECTION_LOST
    assert w.machine.phase is Phase.WAITING_FOR_BRIDGE
    assert Problem.BRIDGE in w.machine.problems
    commands = len(w.out.commands)
    silent(w, 5)
    assert len(w.out.commands) == commands
    w.time_ns += 10**10
    w.state()
    w.gate()
    w.finish_reset()
    w.period(0.1)
    w.period(0.1)
    assert w.out.transitions[-1].episode == 1


def test_a_stop_in_the_middle_of_a_step(started):
    w = started()
    w.answer(0.1)
    w.period(0.1)
    w.execute()
    w.now_s += 0.06
    w.time_ns += 60_000_000
    w.state()
    w.gate(GateState.STOPPED, "operator_stop")
    last = w.out.transitions[-1]
    assert (last.end_reason, last.step, last.sequence) == (EndReason.OPERATOR_STOP, 1, 1)
    assert last.stamp_s == pytest.approx(w.time_ns * 1e-9)
    commands = len(w.out.commands)
    for _ in range(3):
        w.period(0.1)
    assert len(w.out.commands) == commands


def test_a_stop_too_early_in_a_step_drops_it(started):
    w = started()
    w.answer(0.1)
    w.period(0.1)
    w.execute()
    w.time_ns += 40_000_000
    w.state()
    w.gate(GateState.STOPPED, "read_failed")
    assert [t.end_reason for t in w.out.transitions] == [EndReason.NONE]
    assert w.out.episodes[0].end_reason is EndReason.SAFETY_STOP
    assert w.out.episodes[0].counters["steps_dropped"] == 1


def test_a_refused_command_is_stored_as_what_the_robot_did_instead(started):
    w = started()
    before = w.position[:9].copy()
    w.answer(0.1)
    w.execute(before + 0.048)  # the gate announces the goals before it
    w.elapse()
    (transition,) = w.out.transitions
    assert transition.requested_action == pytest.approx(np.full(9, 0.1))
    assert transition.executed_action[0] == pytest.approx(0.1, abs=1e-6)
    assert transition.executed_action[1] == pytest.approx((before[1] + 0.048) / (np.pi / 3), abs=1e-6)


def test_goals_of_an_earlier_command_that_no_action_leads_to_are_not_stored(started):
    """Further from the joint than its speed limit lets an action ask for: the action would claim another goal."""
    w = started()
    w.answer(0.1)
    w.execute(w.position[:9] + 0.25)
    w.elapse()
    assert w.out.transitions == []
    assert w.loop.record.counters["steps_dropped"] == 1


def test_goals_that_a_motor_did_not_hold_are_no_execution(started):
    """The servos' answers to the command's write: first as told, then one of them has lost it."""
    w = started()
    w.answer(0.1)
    w.execute()
    w.execute(np.where(np.arange(9) == 4, np.nan, w.out.commands[-1][1]))
    w.position = np.nan_to_num(w.position)
    w.elapse()
    assert w.out.transitions == []
    assert w.loop.record.counters["steps_dropped"] == 1


def test_an_unknown_execution_is_dropped(started):
    w = started()
    w.answer(0.1)
    w.elapse()
    assert w.out.transitions == []
    assert w.loop.record.counters["steps_dropped"] == 1


def test_the_robot_never_waits_for_the_learner(started):
    w = started(wait_for_learner=True)
    w.answer()
    for _ in range(10):
        w.period(0.1)
    assert len(w.out.transitions) == 10


def test_a_human_needs_no_actor(started):
    w = started()
    for _ in range(4):
        w.machine.on_joy([0.5, -0.5, 0.0, 0.0, 0.25], HELD)
        w.period()
    w.machine.on_joy([0.0] * 5, [0] * 5)
    assert [t.source for t in w.out.transitions] == [Source.HUMAN] * 3
    assert w.loop.record.missed_periods == 0
    w.period(0.1)
    w.period(0.1)
    assert w.out.transitions[-1].source is Source.POLICY


def test_a_silent_joystick_hands_back(started):
    w = started(**{"teleop.joy_timeout_s": 0.25})
    w.machine.on_joy([0.5, -0.5, 0.0, 0.0, 0.25], HELD)
    for _ in range(5):
        w.period(0.1)
    assert [t.source for t in w.out.transitions] == [Source.HUMAN, Source.HUMAN, Source.POLICY, Source.POLICY]


def test_a_real_robot_keeps_its_dynamics(world):
    w = world("realtime", **{"task.name": "DClawTurnRandomDynamics"})
    w.out.offers_randomise = False
    w.state()
    w.gate()
    assert w.machine.phase is Phase.RESETTING
    assert w.finish_reset().machine.phase is Phase.ACTING
