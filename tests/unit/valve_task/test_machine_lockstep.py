"""The step machine in lockstep: the normal course, what the learner allows, and who falls silent."""

import numpy as np
import pytest
from robot_bridge.gate_types import GateState
from rosac_common.transition import EndReason, Source
from valve_task.machine_io import Phase, Problem
from valve_task.reset import ResetPhase

HELD = [0, 0, 0, 0, 1]


def sequences(world):
    return [transition.sequence for transition in world.out.transitions]


def test_it_waits_for_states_and_gate(world):
    w = world()
    assert w.machine.phase is Phase.WAITING_FOR_BRIDGE
    w.state()
    assert (w.machine.phase, w.out.commands) == (Phase.WAITING_FOR_BRIDGE, [])
    w.gate()
    assert w.machine.phase is Phase.RESETTING
    assert len(w.out.commands) == 1


def test_gate_before_state(world):
    w = world()
    w.gate()
    assert w.out.commands == []
    w.state()
    assert w.machine.phase is Phase.RESETTING


def test_reset_then_episodes(world):
    w = world(**{"task.horizon_steps": 4, "task.initial_valve_rad": [0.5, 0.5]}).start()
    assert all(torque is not None for _, _, torque in w.out.commands)
    assert w.position[9] == pytest.approx(0.5, abs=0.09)
    first = w.out.observations[-1]
    assert (first.session_id, first.episode, first.step, first.time_ns) == ("session", 0, 0, w.time_ns)
    for _ in range(4):
        w.step(0.2)
    assert sequences(w) == [0, 1, 2, 3]
    assert [t.end_reason for t in w.out.transitions] == [EndReason.NONE] * 3 + [EndReason.TIME_LIMIT]
    assert [t.step for t in w.out.transitions] == [0, 1, 2, 3]
    (record,) = w.out.episodes
    assert (record.steps, record.end_reason, record.reset_attempts) == (4, EndReason.TIME_LIMIT, 1)
    # the state that ended the episode is answered at once by the next reset
    assert w.machine.phase is Phase.RESETTING
    assert w.out.commands[-1][0] == w.time_ns
    w.finish_reset()
    following = w.out.observations[-1]
    assert (following.episode, following.step) == (1, 0)
    w.step()
    assert (w.out.transitions[-1].episode, w.out.transitions[-1].sequence) == (1, 4)


def test_an_action_becomes_a_command_at_once(world):
    w = world().start()
    before = len(w.out.commands)
    w.answer(0.1)
    assert len(w.out.commands) == before + 1
    time_ns, goals, torque = w.out.commands[-1]
    assert time_ns == w.time_ns
    assert goals.shape == (9,)
    assert torque is None  # the valve is not named: it is free


def test_latency_is_measured(world):
    w = world().start()
    w.now_s += 0.003
    w.answer()
    w.turn()
    assert w.out.transitions[-1].action_latency_s == pytest.approx(0.003)


def test_state_before_executed_waits_for_it(world):
    w = world().start()
    w.answer(0.1)
    w.time_ns += w.period_ns
    w.state()
    assert w.out.transitions == []
    w.executed(w.time_ns - w.period_ns, w.out.commands[-1][1])
    assert sequences(w) == [0]
    assert w.out.observations[-1].step == 1


def test_a_step_in_which_a_motor_did_not_hold_its_goal_is_dropped_and_the_episode_goes_on(world):
    w = world().start()
    w.answer(0.1)
    w.executed(w.time_ns, np.append(np.nan, w.out.commands[-1][1][1:]))
    w.time_ns += w.period_ns
    w.state()
    assert (w.out.transitions, w.loop.record.counters["steps_dropped"]) == ([], 1)
    assert w.out.observations[-1].step == 1
    w.answer(0.1)
    w.turn()
    assert sequences(w) == [0]


def test_what_the_gate_changed_is_what_was_executed(world):
    w = world().start()
    w.answer(0.1)
    goals = w.out.commands[-1][1].copy()
    goals[0] = 0.12  # of 0.48
    w.execute(goals)
    w.time_ns += w.period_ns
    w.state()
    (transition,) = w.out.transitions
    assert transition.requested_action == pytest.approx(np.full(9, 0.1))
    assert transition.executed_action[0] == pytest.approx(0.25)


def test_a_repeated_state_repeats_the_command(world):
    w = world().start()
    w.answer(0.1)
    command, count = w.out.commands[-1], len(w.out.commands)
    w.state()
    w.state()
    assert len(w.out.commands) == count + 2
    assert all(again[0] == command[0] and again[1] is command[1] for again in w.out.commands[-2:])
    assert w.out.transitions == []
    w.turn()
    assert sequences(w) == [0]


def test_a_repeated_state_repeats_the_commands_of_a_reset(world):
    w = world()
    w.state()
    w.gate()
    w.state()
    assert len(w.out.commands) == 2
    assert w.out.commands[0][0] == w.out.commands[1][0]
    assert w.machine.reset_progress.phase == ResetPhase.CLEAR.value


def test_a_repeated_state_asks_the_actor_again(world):
    w = world().start()
    asked = w.out.observations[-1]
    w.state()
    assert w.out.observations[-1] is asked
    assert len(w.out.observations) == 2
    w.answer()
    w.answer()  # it answers both; the second one is not executed again
    assert w.loop.record.counters["actions_ignored"] == 1


@pytest.mark.parametrize("change", [{"session_id": "other"}, {"episode": 1}, {"step": 1}, {"time_ns": 5}])
def test_an_action_for_something_else_is_ignored_and_counted(world, change):
    w = world().start()
    count = len(w.out.commands)
    w.answer(observation=w.out.observations[-1]._replace(**change))
    assert len(w.out.commands) == count
    assert w.loop.record.counters["actions_ignored"] == 1
    w.step()
    assert sequences(w) == [0]


def test_a_bad_action_is_refused_and_the_next_good_one_goes(world):
    w = world().start()
    count = len(w.out.commands)
    for bad in (np.zeros(8, np.float32), np.full(9, np.nan, np.float32), np.full(9, np.inf, np.float32)):
        w.answer(bad)
    assert len(w.out.commands) == count
    assert [problem for problem, _ in w.out.problems if problem is Problem.ACTION] == [Problem.ACTION]  # said once
    assert "shape (8,)" in dict(w.out.problems)[Problem.ACTION]
    assert "not finite" in w.machine.problems.texts[Problem.ACTION]
    assert w.loop.record.counters["actions_refused"] == 3
    w.step()
    assert Problem.ACTION in w.out.solutions
    assert sequences(w) == [0]


# the learner


def test_no_transition_at_or_above_the_limit(world):
    w = world(wait_for_learner=True).start()
    w.learner(2)
    for _ in range(2):
        w.step()
    assert (sequences(w), w.machine.phase) == ([0, 1], Phase.ACTING)
    w.step()
    assert (sequences(w), w.machine.phase) == ([0, 1], Phase.WAITING_FOR_LEARNER)
    assert w.out.observations[-1].step == 2
    commands, observations = len(w.out.commands), len(w.out.observations)
    w.state()  # the bridge repeats itself meanwhile
    w.learner(2)
    assert (len(w.out.commands), len(w.out.observations), sequences(w)) == (commands, observations, [0, 1])
    w.learner(3)
    assert (sequences(w), w.machine.phase) == ([0, 1, 2], Phase.ACTING)
    assert w.out.observations[-1].step == 3
    assert w.machine.history.added == 3


def test_an_episode_may_end_while_the_learner_is_behind(world):
    w = world(wait_for_learner=True, **{"task.horizon_steps": 2}).start()
    w.learner(1)
    w.step()
    w.step()
    assert (sequences(w), len(w.out.episodes)) == ([0], 1)
    w.finish_reset()
    assert w.machine.phase is Phase.WAITING_FOR_LEARNER
    w.learner(5)
    assert sequences(w) == [0, 1]
    assert (w.out.observations[-1].episode, w.out.observations[-1].step) == (1, 0)


def test_a_learner_that_does_not_know_the_session_gets_the_first_transition_only(world):
    w = world(wait_for_learner=True).start()
    w.step()
    assert (sequences(w), w.machine.phase) == ([], Phase.WAITING_FOR_LEARNER)
    w.learner(20, session="")
    assert sequences(w) == [0]
    w.step()
    assert sequences(w) == [0]
    w.learner(20)
    assert sequences(w) == [0, 1]


def test_a_restarted_learner_is_told_of_the_session(world):
    w = world(wait_for_learner=True).start()
    w.learner(3)
    for _ in range(4):
        w.step()
    assert sequences(w) == [0, 1, 2]
    w.learner(20, session="another run")
    w.now_s += 0.5
    w.learner(20, session="another run")
    assert sequences(w) == [0, 1, 2, 2]  # the newest again, not at each status
    w.now_s += 0.6
    w.learner(20, session="another run")
    assert sequences(w) == [0, 1, 2, 2, 2]
    w.learner(20)
    assert sequences(w)[-1] == 3


def test_a_silent_learner_is_named(world):
    w = world(wait_for_learner=True).start()
    w.step()
    w.now_s += 5.1
    w.state()
    w.machine.tick()
    assert Problem.LEARNER in w.machine.problems
    w.learner(9)
    assert Problem.LEARNER not in w.machine.problems
    w.learner(9, failure="loss is NaN")
    assert "loss is NaN" in w.machine.problems.texts[Problem.LEARNER]


def test_a_finished_learner_leaves_the_task_idle(world):
    w = world(wait_for_learner=True).start()
    w.learner(2)
    w.step()
    w.answer()
    commands = len(w.out.commands)
    w.learner(2, finished=True)
    assert w.machine.phase is Phase.FINISHED
    w.turn()
    w.gate(GateState.HOLD)
    for _ in range(100):
        w.now_s += 0.1
        w.state()
        w.machine.tick()
    assert (len(w.out.commands), sequences(w), w.out.episodes) == (commands, [0], [])
    # a resumed run goes on with a new episode
    w.learner(50)
    w.finish_reset()
    w.step()
    assert sequences(w) == [0, 1]
    assert w.out.transitions[-1].episode == 1


# the gate


@pytest.mark.parametrize(
    ("causes", "reason"),
    [
        (("operator_stop",), EndReason.OPERATOR_STOP),
        (("read_failed",), EndReason.SAFETY_STOP),
        (("read_failed", "operator_stop"), EndReason.OPERATOR_STOP),
    ],
)
def test_a_stop_ends_the_episode(world, causes, reason):
    w = world().start()
    w.step()
    w.gate(GateState.STOPPED, *causes)
    (record,) = w.out.episodes
    assert (record.end_reason, record.steps) == (reason, 1)
    assert w.machine.phase is Phase.STOPPED
    assert causes[0] in dict(w.out.problems)[Problem.GATE]
    commands = len(w.out.commands)
    for _ in range(3):
        w.state()
        w.answer()
        w.machine.tick()
    w.gate(GateState.DISARMED)
    w.state()
    assert len(w.out.commands) == commands
    assert "safety/arm" in w.machine.problems.texts[Problem.GATE]
    w.gate(GateState.ARMED)
    assert w.machine.phase is Phase.RESETTING
    w.finish_reset()
    w.step()
    assert (w.out.transitions[-1].episode, sequences(w)) == (1, [0, 1])


def test_a_stop_before_execution_drops_the_step(world):
    w = world().start()
    w.step()
    w.answer()
    w.gate(GateState.STOPPED, "operator_stop")
    assert sequences(w) == [0]
    assert w.out.episodes[0].counters["steps_dropped"] == 1
    # the command of before is not sent again after arming
    old = w.out.commands[-1]
    w.gate(GateState.ARMED)
    w.state()
    assert w.out.commands[-1][2] is not None
    assert w.out.commands[-1][1] is not old[1]


def test_an_episode_without_a_command_leaves_no_trace(world):
    w = world().start()
    w.gate(GateState.STOPPED, "operator_stop")
    assert w.out.episodes == []
    w.gate(GateState.ARMED)
    w.finish_reset()
    w.step()
    assert (w.out.transitions[-1].episode, sequences(w)) == (1, [0])


def test_a_mere_hold_does_not_end_the_episode(world):
    w = world().start()
    w.step()
    w.gate(GateState.HOLD, "command_timeout")
    w.step()
    w.gate(GateState.ARMED)
    w.step()
    assert (sequences(w), w.out.episodes) == ([0, 1, 2], [])


def test_a_stop_during_the_reset_begins_it_anew(world):
    w = world()
    w.state()
    w.gate()
    w.turn()
    w.gate(GateState.STOPPED, "operator_stop")
    commands = len(w.out.commands)
    w.state()
    assert (len(w.out.commands), w.out.episodes) == (commands, [])
    w.gate(GateState.ARMED)
    assert w.machine.reset_progress.phase == ResetPhase.CLEAR.value
    assert w.finish_reset().machine.phase is Phase.ACTING


# who falls silent


def test_a_silent_actor_ends_the_episode(world):
    w = world(action_timeout_s=5.0).start()
    w.step()
    for _ in range(49):
        w.now_s += 0.1
        w.state()
        w.machine.tick()
    assert w.out.episodes == []
    w.now_s += 0.2
    w.state()
    w.machine.tick()
    (record,) = w.out.episodes
    assert (record.end_reason, record.steps) == (EndReason.CONNECTION_LOST, 1)
    assert "start the actor" in dict(w.out.problems)[Problem.ACTOR]
    # the reset answers the state that nobody has answered, without waiting for its repetition
    assert w.out.commands[-1][0] == w.time_ns
    assert w.out.commands[-1][2] is not None
    w.finish_reset()
    # an episode that waits for its first action does not end; it is asked for again and again
    for _ in range(200):
        w.now_s += 0.1
        w.state()
        w.machine.tick()
    assert (len(w.out.episodes), w.machine.phase) == (1, Phase.ACTING)
    assert (w.out.observations[-1].episode, w.out.observations[-1].step) == (1, 0)
    w.step()
    assert Problem.ACTOR in w.out.solutions
    assert sequences(w) == [0, 1]


def test_a_silent_bridge_ends_the_episode(world):
    w = world().start()
    w.step()
    w.answer()
    w.now_s += 2.1
    w.machine.tick()
    (record,) = w.out.episodes
    assert (record.end_reason, record.counters["steps_dropped"]) == (EndReason.CONNECTION_LOST, 1)
    assert w.machine.phase is Phase.WAITING_FOR_BRIDGE
    assert "start the bridge" in dict(w.out.problems)[Problem.BRIDGE]
    w.answer()
    commands = len(w.out.commands)
    w.gate()
    # its old state is not acted on
    assert (w.machine.phase, len(w.out.commands)) == (Phase.WAITING_FOR_BRIDGE, commands)
    w.state()
    assert w.machine.phase is Phase.RESETTING
    assert Problem.BRIDGE in w.out.solutions
    w.finish_reset()
    w.step()
    assert (sequences(w), w.out.transitions[-1].episode) == ([0, 1], 1)


def test_a_bridge_that_repeats_states_but_executes_nothing(world):
    w = world().start()
    w.step()
    w.answer()
    for _ in range(22):
        w.now_s += 0.1
        w.state()
        w.machine.tick()
    assert w.out.episodes[0].end_reason is EndReason.CONNECTION_LOST
    assert "no command executed" in dict(w.out.problems)[Problem.BRIDGE]


@pytest.mark.parametrize("leap_s", [-3.0, 5.0])
def test_a_restarted_bridge_is_noticed_by_its_time(world, leap_s):
    w = world().start()
    w.step()
    w.answer()
    w.now_s += 0.2
    w.time_ns += round(leap_s * 1e9)
    commands = len(w.out.commands)
    w.state()
    (record,) = w.out.episodes
    assert (record.end_reason, record.counters["steps_dropped"]) == (EndReason.CONNECTION_LOST, 1)
    # what the old bridge said of its gate does not hold for the new one
    assert (w.machine.phase, len(w.out.commands)) == (Phase.WAITING_FOR_BRIDGE, commands)
    w.state()
    assert len(w.out.commands) == commands
    w.gate()
    assert w.machine.phase is Phase.RESETTING
    w.finish_reset()
    w.step()
    assert sequences(w) == [0, 1]


def test_a_restarted_bridge_may_speak_of_its_gate_first(world):
    w = world().start()
    w.step()
    w.now_s += 0.5
    w.gate()
    w.now_s += 0.1
    w.time_ns -= 10**9
    w.state()
    assert w.machine.phase is Phase.RESETTING


def test_an_unusable_state_counts_as_silence(world):
    w = world().start()
    w.step()
    w.answer()
    for _ in range(22):
        w.now_s += 0.1
        w.machine.on_unusable_state("joint_states holds a value that is not finite: nan")
        w.machine.tick()
    assert w.out.episodes[0].end_reason is EndReason.CONNECTION_LOST
    assert "not finite" in dict(w.out.problems)[Problem.SENSORS]
    w.state()
    assert Problem.SENSORS not in w.machine.problems


def test_an_unusable_action_message_is_refused_and_counted(world):
    w = world().start()
    w.machine.on_unusable_action("9 is not a valid Source")
    assert "9 is not a valid Source" in dict(w.out.problems)[Problem.ACTION]
    assert w.loop.record.counters["actions_refused"] == 1
    w.step()
    assert Problem.ACTION not in w.machine.problems


# dynamics


def test_dynamics_are_drawn_before_each_reset(world):
    w = world(**{"task.name": "DClawTurnRandomDynamics", "task.horizon_steps": 1})
    w.state()
    w.gate()
    assert (w.machine.phase, w.out.randomised, w.out.commands) == (Phase.RANDOMISING, 1, [])
    w.state()
    assert w.out.commands == []
    w.machine.on_randomised(True, "")
    assert len(w.out.commands) == 1
    w.finish_reset()
    w.step()
    assert (w.machine.phase, w.out.randomised) == (Phase.RANDOMISING, 2)


def test_dynamics_are_asked_for_again(world):
    w = world(**{"task.name": "DClawTurnRandomDynamics"})
    w.out.offers_randomise = False
    w.state()
    w.gate()
    assert Problem.RANDOMISE in w.machine.problems
    w.out.offers_randomise = True
    w.now_s += 1.1
    w.state()
    w.machine.tick()
    assert w.out.randomised == 1
    w.machine.on_randomised(False, "no")
    assert w.machine.phase is Phase.RANDOMISING
    w.now_s += 1.1
    w.state()
    w.machine.tick()
    w.machine.on_randomised(True, "")
    assert (w.machine.phase, w.out.randomised) == (Phase.RESETTING, 2)
    assert Problem.RANDOMISE not in w.machine.problems


# reset and joystick


def test_a_human_takes_over(world):
    w = world().start()
    w.step(0.2)
    w.machine.on_joy([0.5, -0.5, 0.0, 0.0, 0.25], HELD)
    w.step(0.2)  # this step had been asked for already
    commands = len(w.out.commands)
    w.turn()  # the human has answered before the policy
    assert len(w.out.commands) == commands + 1
    w.answer(0.2, version=9, observation=w.out.observations[-1])
    w.machine.on_joy([0.5, -0.5, 0.0, 0.0, 0.25], [0] * 5)
    w.turn()
    w.step(0.2)
    assert [t.source for t in w.out.transitions] == [
        Source.POLICY,
        Source.POLICY,
        Source.HUMAN,
        Source.HUMAN,
        Source.POLICY,
    ]
    taken = w.out.transitions[3]
    assert taken.executed_action == pytest.approx([0.5, -0.5, 0.25] * 3)
    assert taken.requested_action == pytest.approx(np.full(9, 0.2))
    assert taken.policy_version == 9
    assert w.out.transitions[2].requested_action == pytest.approx([0.5, -0.5, 0.25] * 3)  # the policy was silent


def test_a_joystick_of_another_layout_is_named(world):
    w = world()
    w.machine.on_joy([0.0], [1])
    assert "teleop" in dict(w.out.problems)[Problem.JOYSTICK]
    w.machine.on_joy([0.0] * 8, [0] * 11)
    assert Problem.JOYSTICK in w.out.solutions
