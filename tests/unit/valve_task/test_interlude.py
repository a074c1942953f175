"""Between two episodes: resets that somebody asks for, the operator, and the rest of a hot robot."""

import dataclasses

import numpy as np
import pytest
from robot_bridge.gate_types import GateState
from rosac_common.transition import EndReason
from valve_task.machine_io import HealthView, Phase, Problem
from valve_task.reset import ResetPhase
from valve_task.reset_request import ResetRequest

from . import conftest
from .chaos import Chaos

STUCK = {"reset.retries": 0, "reset.draws": 1, "reset.pose_time_s": 2.0}
BASES = ("lockstep", "realtime")


@pytest.fixture(params=BASES)
def base(request):
    return request.param


def go_on(w):
    """One control period, whatever the time base."""
    if w.machine.settings.time_base == "realtime":
        w.period()
    elif w.out.commands and w.out.commands[-1][0] == w.time_ns:
        w.turn()
    else:
        w.state()  # nothing was commanded: time stands still, the bridge repeats itself


def until(w, phase, limit=400):
    for _ in range(limit):
        if w.machine.phase is phase:
            return
        go_on(w)
    raise AssertionError(f"{w.machine.phase}, not {phase}")


def begin(w):
    w.state()
    w.gate()
    return w


def fail(w, joint=4):
    """A joint is stuck until the reset has failed."""
    for _ in range(100):
        if w.machine.phase is Phase.WAITING_FOR_OPERATOR:
            return
        stuck = w.position[joint]
        if w.out.commands and w.out.commands[-1][0] == w.time_ns:
            w.execute()
        w.position[joint] = stuck
        w.time_ns += w.period_ns
        w.now_s += w.period_s
        w.state()
        if w.machine.settings.time_base == "realtime":
            w.machine.tick()
    raise AssertionError(f"the reset does not fail: {w.machine.phase}")


def ask(w, *start_rad, interrupt=False):
    return w.machine.request_reset(ResetRequest(start_rad, interrupt))


def heat(w, *temperature_c):
    values = np.full(10, 30.0)
    values[: len(temperature_c)] = temperature_c
    w.machine.on_health(HealthView(tuple(w.machine.settings.robot.all_joint_names), values))


def torque(w):
    """Torque flags of the newest command."""
    return w.out.commands[-1][2]


# resets that somebody asks for


def test_a_requested_reset_goes_where_it_is_told(world, base):
    w = begin(world(base))
    w.finish_reset()
    assert ask(w, 1.25) == ""
    until(w, Phase.ACTING)
    (outcome,) = w.out.outcomes
    assert (outcome.success, outcome.message, outcome.attempts) == (True, "", 1)
    assert outcome.position_rad[9] == pytest.approx(1.25, abs=0.09)
    assert outcome.duration_s > 0.5
    phases = list(dict.fromkeys(progress.phase for progress in w.out.progress))
    assert phases[:2] == [ResetPhase.CLEAR.value, ResetPhase.POSE.value]
    errors = [abs(progress.worst_error_rad) for progress in w.out.progress]
    assert errors[-1] < 0.09 < errors[0]
    assert w.out.progress[0].worst_joint in w.machine.settings.robot.all_joint_names


def test_the_tasks_own_resets_are_told_to_nobody(world):
    w = world().start()
    assert (w.out.outcomes, w.out.progress, w.out.questions) == ([], [], [])


def test_a_drawn_start_is_the_tasks(world):
    w = world(**{"task.initial_valve_rad": [0.5, 0.5]}).start()
    assert ask(w) == ""
    until(w, Phase.ACTING)
    assert w.out.outcomes[0].position_rad[9] == pytest.approx(0.5, abs=0.09)


def test_a_screws_target_starts_where_the_valve_was_asked_to(world):
    w = world(**{"task.name": "DClawScrewFixed"}).start()
    assert ask(w, 2.0) == ""
    until(w, Phase.ACTING)
    assert w.machine.task.target_rad(0) == 2.0


@pytest.mark.parametrize(
    ("start_rad", "text"),
    [
        ((0.1, 0.2), "holds 2 angles"),
        ((float("nan"),), "'valve' is nan"),
        ((7.0,), "'valve' is 7, allowed are -6.28 .. 6.28 rad"),
    ],
)
def test_a_start_that_cannot_be_is_refused(world, start_rad, text):
    w = world().start()
    assert text in ask(w, *start_rad)
    assert (w.machine.phase, w.out.outcomes) == (Phase.ACTING, [])


def test_a_running_episode_is_interrupted_only_when_that_is_asked_for(world, base):
    w = begin(world(base))
    w.finish_reset()
    w.answer(0.1)
    assert "episode 0 is running" in ask(w)
    assert w.machine.phase is Phase.ACTING
    assert ask(w, interrupt=True) == ""
    assert w.out.episodes[0].end_reason is EndReason.OPERATOR_STOP
    until(w, Phase.ACTING)
    assert w.out.outcomes[0].success


def test_one_reset_at_a_time(world):
    w = world().start()
    assert ask(w, 1.0) == ""
    assert "another reset" in ask(w, 0.5)
    until(w, Phase.ACTING)
    assert [outcome.success for outcome in w.out.outcomes] == [True]
    assert w.position[9] == pytest.approx(1.0, abs=0.09)


def test_the_tasks_own_reset_gives_way(world):
    w = begin(world(**{"task.initial_valve_rad": [0.0, 0.0]}))
    assert ask(w, 1.0) == ""
    until(w, Phase.ACTING)
    assert w.out.outcomes[0].position_rad[9] == pytest.approx(1.0, abs=0.09)


def test_no_reset_without_a_bridge_or_with_a_closed_gate(world):
    w = world()
    assert "bridge is silent" in ask(w)
    w.state()
    w.gate(GateState.STOPPED, "operator_stop")
    assert "operator_stop" in ask(w)
    w.gate(GateState.DISARMED)
    assert "safety/arm" in ask(w)
    assert w.out.commands == []


def test_a_stop_ends_a_requested_reset(world, base):
    w = begin(world(base))
    w.finish_reset()
    ask(w, 1.0)
    go_on(w)
    w.gate(GateState.STOPPED, "operator_stop")
    (outcome,) = w.out.outcomes
    assert not outcome.success
    assert "operator_stop" in outcome.message
    w.gate(GateState.ARMED)
    until(w, Phase.ACTING)
    assert len(w.out.outcomes) == 1  # the reset after it is the task's own


def test_a_lost_bridge_ends_a_requested_reset(world, base):
    w = begin(world(base))
    w.finish_reset()
    ask(w, 1.0)
    w.now_s += 2.1
    w.machine.tick()
    (outcome,) = w.out.outcomes
    assert (outcome.success, w.machine.phase) == (False, Phase.WAITING_FOR_BRIDGE)
    assert "no joint_states for 2.1 s" in outcome.message


def test_an_idle_task_resets_and_is_idle_again(world):
    w = world(wait_for_learner=True).start()
    w.learner(2, finished=True)
    assert w.machine.phase is Phase.FINISHED
    assert ask(w, 1.0) == ""
    w.learner(2, finished=True)  # it repeats itself: the reset goes on
    until(w, Phase.FINISHED)
    assert w.out.outcomes[0].success
    assert w.position[9] == pytest.approx(1.0, abs=0.09)


def test_an_idle_task_that_resets_has_no_problem_with_the_gate_any_more(world):
    w = world(wait_for_learner=True).start()
    w.gate(GateState.STOPPED, "operator_stop")
    w.learner(2, finished=True)
    w.gate(GateState.ARMED)
    assert w.machine.phase is Phase.FINISHED
    assert ask(w, 1.0) == ""
    w.learner(100)
    until(w, Phase.ACTING)
    assert Problem.GATE not in w.machine.problems.texts


def test_an_idle_task_stays_idle_when_the_bridge_is_restarted(world):
    w = world(wait_for_learner=True).start()
    w.learner(2, finished=True)
    count = len(w.out.commands)
    w.time_ns -= 10**10
    w.state()
    w.gate(GateState.ARMED)
    for _ in range(5):
        w.state()
    assert (w.machine.phase, len(w.out.commands)) == (Phase.FINISHED, count)


def test_dynamics_are_drawn_for_a_requested_reset(world):
    w = begin(world(**{"task.name": "DClawTurnRandomDynamics"}))
    w.machine.on_randomised(True, "")
    w.finish_reset()
    assert ask(w, 1.0) == ""
    assert (w.machine.phase, w.out.randomised) == (Phase.RANDOMISING, 2)
    w.machine.on_randomised(True, "")
    until(w, Phase.ACTING)
    assert w.out.outcomes[0].success


# cancelling


def test_a_cancelled_reset_holds_and_waits(world, base):
    w = begin(world(base))
    w.finish_reset()
    ask(w, 1.0)
    go_on(w)
    w.machine.cancel_reset()
    (outcome,) = w.out.outcomes
    assert not outcome.success
    assert "cancelled" in outcome.message
    assert w.machine.phase is Phase.WAITING_FOR_OPERATOR
    assert "operator/done" in w.out.questions[-1]
    for _ in range(3):
        go_on(w)
    held = w.position.copy()
    for _ in range(10):
        go_on(w)
    assert w.position == pytest.approx(held)
    assert torque(w)[:9].all()
    assert not torque(w)[9]
    assert ask(w, 1.0) == ""
    until(w, Phase.ACTING)
    assert w.out.outcomes[1].success
    assert w.out.questions[-1] == ""


def test_the_operator_lets_the_task_go_on_after_a_cancelled_reset(world, base):
    w = begin(world(base))
    w.finish_reset()
    ask(w, 1.0)
    w.machine.cancel_reset()
    assert w.machine.operator_done() == (True, "the reset begins")
    until(w, Phase.ACTING)
    assert len(w.out.outcomes) == 1


def test_nothing_to_cancel(world):
    w = begin(world())
    w.machine.cancel_reset()  # the task's own reset is nobody's to cancel
    assert (w.machine.phase, w.out.outcomes) == (Phase.RESETTING, [])


# the operator


def test_a_failed_reset_asks_the_operator_and_goes_on_after_the_answer(world, base):
    w = begin(world(base, **STUCK))
    fail(w)
    text = w.out.questions[-1]
    assert "finger2_middle" in text
    assert "by hand" in text
    assert "operator/done" in text
    assert text == dict(w.out.problems)[Problem.RESET]
    assert not torque(w).any()
    commands = len(w.out.commands)
    for _ in range(5):
        go_on(w)
    if base == "lockstep":
        assert len(w.out.commands) <= commands + 1  # time stands still
    else:
        assert len(w.out.commands) == commands + 5  # the bridge must not take the task for dead
    assert not torque(w).any()
    assert "operator/done" in ask(w)
    assert w.machine.operator_done()[0]
    assert w.out.questions[-1] == ""
    until(w, Phase.ACTING)
    assert Problem.RESET in w.out.solutions
    assert w.loop.record.reset_attempts == 2  # the failed one counts


def test_a_requested_reset_waits_for_the_operator_too(world, base):
    w = begin(world(base, **STUCK))
    w.finish_reset()
    ask(w, 1.0)
    w.position[4] = 0.5
    fail(w)
    assert w.out.outcomes == []
    assert w.out.progress[-1].phase == Phase.WAITING_FOR_OPERATOR.value
    w.machine.operator_done()
    until(w, Phase.ACTING)
    (outcome,) = w.out.outcomes
    assert (outcome.success, outcome.attempts) == (True, 2)
    assert outcome.position_rad[9] == pytest.approx(1.0, abs=0.09)


def test_cancelling_does_not_spare_the_operator_his_work(world):
    w = begin(world(**STUCK))
    ask(w, 1.0)
    fail(w)
    w.machine.cancel_reset()
    assert [outcome.success for outcome in w.out.outcomes] == [False]
    assert "by hand" in w.out.questions[-1]
    assert not torque(w).any()
    w.machine.operator_done()
    until(w, Phase.ACTING)


def by_hand(in_lane_m=0.0):
    """A walking robot that nobody but its operator puts back; it lies on its back, and is asked about."""
    chaos = Chaos("MinitaurWalk", "realtime", **{"walk_reset.in_lane_m": in_lane_m})
    chaos.out.offers_put_back = False
    chaos.tilt = 3.0
    chaos.send()
    chaos.gate(GateState.ARMED)
    chaos.work(5, np.random.default_rng(0))
    assert "Hold the robot up" in chaos.out.questions[-1]
    return chaos


@pytest.mark.parametrize("in_lane_m", [0.0, 5.0])
def test_no_reset_for_others_while_the_operator_has_the_robot_in_hand(in_lane_m):
    chaos = by_hand(in_lane_m)
    chaos.tilt = 0.0  # lifted, near its mark
    assert "operator/done first" in chaos.machine.request_reset(ResetRequest((), True))
    count = len(chaos.out.commands)
    chaos.work(20, np.random.default_rng(0))
    assert not any(torque_on.any() for _, _, torque_on in chaos.out.commands[count:])
    assert chaos.machine.operator_done()[0]
    chaos.work(60, np.random.default_rng(0))
    assert "Set the robot on its mark" in chaos.out.questions[-1]
    assert "operator/done first" in chaos.machine.request_reset(ResetRequest((), True))
    chaos.work(5, np.random.default_rng(0))
    assert chaos.out.commands[-1][2].all(), "it must not go limp in somebody's hands"


@pytest.mark.parametrize("time_base", BASES)
def test_after_a_cancelled_reset_the_simulation_is_asked_again(time_base):
    chaos, rng = Chaos("MinitaurWalk", time_base), np.random.default_rng(0)
    chaos.send()
    chaos.gate(GateState.ARMED)
    chaos.work(60, rng)
    assert chaos.machine.request_reset(ResetRequest((), True)) == ""
    while chaos.machine.phase is not Phase.PUTTING_BACK:
        chaos.executed()
        chaos.pass_time(1.0)
        chaos.send()
        chaos.machine.tick()
    asked = chaos.out.put_backs
    chaos.machine.cancel_reset()
    assert chaos.machine.operator_done() == (True, "the reset begins")
    chaos.work(60, rng)
    assert (chaos.machine.phase, chaos.out.questions[-1]) == (Phase.ACTING, "")
    assert chaos.out.put_backs == asked + 1


def test_dynamics_that_nobody_offers_any_more_are_not_waited_for(world):
    w = world("realtime", **{"task.name": "DClawTurnRandomDynamics"})
    w.state()
    w.gate()
    assert w.machine.phase is Phase.RANDOMISING
    w.out.offers_randomise = False
    w.now_s += 1.1
    w.machine.tick()
    until(w, Phase.ACTING)


def test_a_lost_command_that_lets_go_is_repeated(world):
    w = begin(world(**STUCK))
    fail(w)
    count, (time_ns, _, _) = len(w.out.commands), w.out.commands[-1]
    assert time_ns == w.time_ns
    w.state()
    assert len(w.out.commands) == count + 1
    assert w.out.commands[-1][0] == time_ns


def test_nothing_is_asked_of_the_operator(world):
    w = world()
    assert w.machine.operator_done() == (False, "nothing is asked of the operator: the task is waiting for the bridge")
    w.start()
    assert w.machine.operator_done() == (False, "nothing is asked of the operator: the task is acting")


def test_stopping_and_arming_is_an_answer_too(world, base):
    w = begin(world(base, **STUCK))
    fail(w)
    w.gate(GateState.STOPPED, "operator_stop")
    assert w.out.questions[-1] == ""
    commands = len(w.out.commands)
    for _ in range(3):
        go_on(w)
    assert len(w.out.commands) == commands
    w.gate(GateState.DISARMED)
    w.gate(GateState.ARMED)
    until(w, Phase.ACTING)
    assert Problem.RESET in w.out.solutions


# rest


def test_a_hot_robot_rests_between_two_episodes(world, base):
    w = begin(world(base, **{"task.horizon_steps": 2}))
    w.finish_reset()
    heat(w, 66.0)
    w.answer(0.1)
    go_on(w)
    assert w.machine.phase is Phase.ACTING  # an episode is not torn
    w.answer(0.1)
    go_on(w)
    assert w.machine.phase is Phase.RESTING
    assert "finger1_top 66 C" in dict(w.out.problems)[Problem.HEAT]
    seen = set()
    for _ in range(30):
        go_on(w)
        seen.add(tuple(np.flatnonzero(torque(w))))
    assert seen <= {(1, 4, 7, 9), ()}  # fingers off the valve, then no torque
    assert not torque(w).any()
    commands = len(w.out.commands)
    go_on(w)
    assert len(w.out.commands) == commands + 1  # time passes, and the bridge hears from the task
    heat(w, 50.0)
    go_on(w)
    assert w.machine.phase is Phase.RESTING
    heat(w, 49.0)
    go_on(w)
    assert w.machine.phase is Phase.RESETTING
    assert Problem.HEAT in w.out.solutions
    until(w, Phase.ACTING)
    assert w.loop.record.reset_attempts == 1


@pytest.mark.parametrize("cancels", [False, True])
def test_a_rest_that_has_begun_is_not_cut_short(world, base, cancels):
    w = begin(world(base, **{"task.horizon_steps": 1}))
    w.finish_reset()
    heat(w, 66.0)
    w.answer(0.1)
    go_on(w)
    heat(w, 60.0)
    go_on(w)
    assert ask(w) == ""
    if cancels:
        w.machine.cancel_reset()
        assert w.machine.operator_done()[0]
    for _ in range(30):
        go_on(w)
    assert w.machine.phase is Phase.RESTING
    assert Problem.HEAT in w.machine.problems.texts
    heat(w, 49.0)
    until(w, Phase.ACTING)
    assert Problem.HEAT not in w.machine.problems.texts


def test_a_robot_that_cooled_down_while_nobody_said_done_is_not_called_hot(world):
    w = begin(world(**{"task.horizon_steps": 1}))
    w.finish_reset()
    heat(w, 66.0)
    w.step()
    ask(w)
    w.machine.cancel_reset()
    heat(w, 40.0)
    assert w.machine.operator_done()[0]
    until(w, Phase.ACTING)
    assert Problem.HEAT not in w.machine.problems.texts


def test_a_hot_robot_that_is_no_hand_goes_to_its_start_pose_before_its_torque_goes_off(robot):
    w = begin(conftest.World(dataclasses.replace(robot, reset_procedure="straight"), "lockstep"))
    w.finish_reset()
    w.position[:9] = 0.4
    heat(w, 66.0)
    ask(w, interrupt=True)
    held = []
    while w.machine.phase is Phase.RESTING and (not held or held[-1]):
        held.append(bool(torque(w)[:9].all()))
        assert held[-1] == bool(torque(w)[:9].any())
        last = w.position.copy()
        go_on(w)
    assert sum(held) > 3
    assert last[:9] == pytest.approx(w.machine.task.reset_pose_rad, abs=np.radians(5))


def test_rest_ends_only_with_fresh_temperatures(world):
    w = begin(world(**{"task.horizon_steps": 1}))
    w.finish_reset()
    heat(w, 70.0)
    w.step()
    heat(w, 40.0)
    w.now_s += 5.1
    for _ in range(3):
        go_on(w)
    w.state()
    w.machine.tick()
    assert w.machine.phase is Phase.RESTING
    assert "no joint_health for 5 s" in dict(w.out.problems)[Problem.HEALTH]
    heat(w, 40.0)
    assert Problem.HEALTH in w.out.solutions
    go_on(w)
    assert w.machine.phase is Phase.RESETTING


def test_a_requested_reset_rests_first_and_can_be_cancelled(world):
    w = world().start()
    heat(w, 70.0)
    ask(w, 1.0)
    for _ in range(20):
        go_on(w)
    assert w.out.progress[-1].phase == Phase.RESTING.value
    assert not torque(w).any()
    w.machine.cancel_reset()
    go_on(w)
    assert w.machine.phase is Phase.WAITING_FOR_OPERATOR
    assert not torque(w).any()  # a hot robot does not hold
    heat(w, 40.0)
    assert ask(w, 1.0) == ""
    until(w, Phase.ACTING)
    assert [outcome.success for outcome in w.out.outcomes] == [False, True]


def test_unusable_temperatures_are_named(world):
    w = world().start()
    w.machine.on_unusable_health("joint_health holds 3 temperatures")
    assert "3 temperatures" in dict(w.out.problems)[Problem.HEALTH]
    heat(w)
    assert Problem.HEALTH in w.out.solutions


def test_a_bridge_that_is_gone_takes_its_temperatures_with_it(world):
    w = world().start()
    heat(w, 70.0)
    w.now_s += 2.1
    w.machine.tick()
    assert w.machine.phase is Phase.WAITING_FOR_BRIDGE
    w.state()
    w.gate()
    assert w.machine.phase is Phase.RESETTING
    w.now_s += 10.0
    w.state()
    w.machine.tick()
    assert Problem.HEALTH not in w.machine.problems
