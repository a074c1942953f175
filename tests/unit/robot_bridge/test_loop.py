"""The motion loops on a robot that only writes down what is done to it."""

import dataclasses

import numpy as np
import pytest
from robot_bridge.backend import BackendError, ReadError, RobotState
from robot_bridge.causes import Cause
from robot_bridge.gate_types import Command, GateState
from robot_bridge.loop import LONGEST_CATCH_UP_S, REPEAT_AFTER_S, LockstepLoop, RealtimeLoop, check_period, make_gate
from robot_bridge.monitor import Beats
from robot_bridge.settings import BridgeSettings
from robot_bridge.simulation.settings import SimulationSettings
from rosac_common.settings import SettingsError

EPOCH_NS = 1_000_000_000


class FakeRobot:
    """Counts physics time; positions are what was last sent."""

    time_step_s = 0.0025

    def __init__(self, held=None):
        self.held = held  # whether each motor holds its goal; None: they always do
        self.turned = None  # what joints count less at the next reading
        self.time_ns, self.position = EPOCH_NS, np.zeros(10)
        self.torque_on = np.zeros(10, dtype=bool)
        self.writes, self.advanced_s, self.broken, self.error = 0, [], False, None

    def open(self): ...

    def close(self): ...

    def poll_health(self): ...

    def recover(self): ...

    def figures(self):
        return {}

    def read(self):
        if self.error is not None:
            raise self.error
        if self.broken:
            raise BackendError("no answer of id 11: check its cable")
        held = None if self.held is None else self.held.copy()
        turned, self.turned = self.turned, None
        return RobotState(
            self.time_ns, self.position.copy(), np.zeros(10), np.zeros(10), goals_held=held, turned_rad=turned
        )

    def write(self, goals_rad, torque_on):
        self.writes += 1
        self.torque_on = torque_on.copy()
        self.position = np.where(torque_on, goals_rad, self.position)

    def advance(self, duration_s):
        self.advanced_s.append(duration_s)
        self.time_ns += round(duration_s * 1e9)

    def randomise(self, rng): ...


class Bench:
    """A loop, its robot and gate, and all that it published."""

    def __init__(self, kind, robot, backend=None, **settings):
        self.settings = BridgeSettings(robot=robot, simulation=SimulationSettings(), **settings)
        self.robot, self.gate = backend or FakeRobot(), make_gate(self.settings)
        self.executed, self.states = [], []
        beats = Beats(self.settings.robot)
        self.loop = kind(self.settings, self.robot, self.gate, beats, self.executed.append, self.states.append)
        self.loop.start(0.0)
        self.names = robot.joint_names

    def arm(self, now_s=0.0):
        assert self.gate.arm(self.loop.state.position_rad, now_s)[0]
        self.loop.enforce()

    def send(self, stamp_ns, goal=0.1, now_s=0.0):
        self.loop.command(stamp_ns, Command(self.names, [goal] * 9), now_s)


@pytest.fixture
def lockstep(robot):
    bench = Bench(LockstepLoop, robot, time_base="lockstep")
    bench.arm()
    return bench


@pytest.fixture
def realtime(robot):
    bench = Bench(RealtimeLoop, robot, time_base="realtime")
    bench.arm()
    bench.loop.tick(0.0)  # commands answer what was read under torque
    return bench


@pytest.fixture
def servos(robot):
    """In real time, on motors that may not hold what they are told."""
    bench = Bench(RealtimeLoop, robot, FakeRobot(np.ones(10, dtype=bool)), time_base="realtime")
    bench.arm()
    bench.loop.tick(0.0)
    return bench


@pytest.mark.parametrize("kind", [LockstepLoop, RealtimeLoop])
@pytest.mark.parametrize("lost", [1, 4, 5])
def test_a_lost_answer_to_the_first_reading_is_asked_for_again(robot, kind, lost):
    backend, left = FakeRobot(), [ReadError("lost")] * lost
    plain = backend.read

    def read():
        if left:
            raise left.pop()
        return plain()

    backend.read = read
    made = {"time_base": "lockstep" if kind is LockstepLoop else "realtime"}
    if lost < robot.safety.read_failures_stop:
        assert Bench(kind, robot, backend, **made).states[-1].time_ns == EPOCH_NS
        return
    with pytest.raises(ReadError):
        Bench(kind, robot, backend, **made)


class TestLockstep:
    def test_a_command_is_executed_then_time_advances_by_one_period(self, lockstep):
        lockstep.send(EPOCH_NS)
        (executed,) = lockstep.executed
        assert executed.stamp_ns == EPOCH_NS
        np.testing.assert_array_equal(executed.goals_rad[:9], [0.1] * 9)
        assert executed.since_ns == executed.until_ns == EPOCH_NS + 100_000_000
        assert lockstep.robot.advanced_s == [0.1]
        assert [state.time_ns for state in lockstep.states] == [EPOCH_NS, EPOCH_NS + 100_000_000]

    @pytest.mark.parametrize("wrong", [-100_000_000, -1, 1, 100_000_000])
    def test_a_command_of_any_other_stamp_is_not_executed(self, lockstep, wrong):
        writes = lockstep.robot.writes
        lockstep.send(EPOCH_NS + wrong)
        assert (lockstep.executed, lockstep.robot.writes, lockstep.robot.advanced_s) == ([], writes, [])
        assert (lockstep.loop.duplicates, lockstep.gate.refused) == ((1, 0) if wrong < 0 else (0, 1))

    def test_the_same_command_again_is_not_executed_again(self, lockstep):
        lockstep.send(EPOCH_NS)
        lockstep.send(EPOCH_NS)
        assert (len(lockstep.executed), lockstep.robot.advanced_s, lockstep.loop.duplicates) == (1, [0.1], 1)

    def test_what_was_executed_comes_with_the_state_that_shows_it(self, robot):
        bench = Bench(LockstepLoop, robot, FakeRobot(np.ones(10, dtype=bool)), time_base="lockstep")
        bench.arm()
        bench.robot.error = ReadError("lost")
        bench.send(EPOCH_NS)
        assert bench.executed == []
        bench.robot.error = None
        bench.robot.held[0] = False
        bench.loop.tick(0.2)
        assert bench.executed[-1].stamp_ns == EPOCH_NS
        assert np.isnan(bench.executed[-1].goals_rad).tolist() == [True] + [False] * 9

    def test_silence_repeats_executed_and_state_without_moving_time(self, lockstep):
        lockstep.send(EPOCH_NS, now_s=1.0)
        lockstep.loop.tick(1.0 + 0.9 * REPEAT_AFTER_S)
        assert len(lockstep.states) == 2
        lockstep.loop.tick(1.0 + REPEAT_AFTER_S)
        assert lockstep.states[2] is lockstep.states[1]
        assert lockstep.executed[1] is lockstep.executed[0]
        lockstep.loop.tick(1.0 + 1.9 * REPEAT_AFTER_S)
        assert len(lockstep.states) == 3
        assert lockstep.robot.advanced_s == [0.1]

    def test_before_the_first_command_only_the_state_is_repeated(self, lockstep):
        lockstep.loop.tick(REPEAT_AFTER_S)
        assert (len(lockstep.states), lockstep.executed) == (2, [])

    def test_a_refused_command_moves_nothing(self, lockstep):
        lockstep.send(EPOCH_NS, goal=np.nan)
        assert (lockstep.executed, lockstep.robot.advanced_s) == ([], [])
        lockstep.send(EPOCH_NS)
        assert len(lockstep.executed) == 1

    def test_commands_that_cease_for_long_lead_to_hold_with_torque(self, lockstep):
        lockstep.loop.tick(10.0)
        assert lockstep.gate.state is GateState.ARMED
        lockstep.loop.tick(10.1)
        assert lockstep.gate.state is GateState.HOLD
        assert lockstep.robot.torque_on[:9].all()

    def test_a_failed_read_stops_and_publishes_no_state_until_a_read_succeeds(self, lockstep):
        lockstep.robot.broken = True
        lockstep.send(EPOCH_NS)
        assert len(lockstep.states) == 1
        assert lockstep.gate.state is GateState.STOPPED
        assert not lockstep.robot.torque_on.any()
        assert lockstep.gate.report().causes[0].cause is Cause.READ_FAILED
        lockstep.loop.tick(1.0)
        assert len(lockstep.states) == 1
        lockstep.send(EPOCH_NS)
        assert lockstep.robot.advanced_s == [0.1]
        lockstep.robot.broken = False
        lockstep.loop.tick(2.0)
        assert lockstep.states[-1].time_ns == EPOCH_NS + 100_000_000
        assert lockstep.gate.state is GateState.STOPPED
        assert lockstep.gate.reset()[0]

    def test_a_command_whose_reading_was_lost_is_not_executed_again(self, lockstep):
        lockstep.robot.error = ReadError("lost")
        lockstep.send(EPOCH_NS)
        assert (lockstep.robot.advanced_s, len(lockstep.states)) == ([0.1], 1)
        lockstep.send(EPOCH_NS)
        assert (lockstep.robot.advanced_s, lockstep.loop.duplicates) == ([0.1], 1)
        lockstep.robot.error = None
        lockstep.loop.tick(1.0)
        assert lockstep.states[-1].time_ns == EPOCH_NS + 100_000_000
        assert lockstep.gate.state is GateState.ARMED

    def test_the_end_takes_torque_off(self, lockstep):
        assert lockstep.robot.torque_on[:9].all()
        lockstep.loop.end()
        assert not lockstep.robot.torque_on.any()


class TestRealtime:
    def test_the_simulation_follows_the_clock_in_whole_steps(self, realtime):
        realtime.loop.tick(0.011)
        assert realtime.states[-1].time_ns == EPOCH_NS + 10_000_000
        realtime.loop.tick(0.0199)
        assert realtime.states[-1].time_ns == EPOCH_NS + 17_500_000
        realtime.loop.tick(0.0301)
        assert realtime.states[-1].time_ns == EPOCH_NS + 30_000_000

    def test_a_long_pause_of_the_machine_is_skipped_and_counted(self, realtime):
        realtime.loop.tick(60.0)
        assert realtime.loop.skipped_s == pytest.approx(60.0 - LONGEST_CATCH_UP_S)
        assert realtime.states[-1].time_ns == EPOCH_NS + round(LONGEST_CATCH_UP_S * 1e9)
        realtime.loop.tick(60.011)
        assert realtime.states[-1].time_ns == EPOCH_NS + round((LONGEST_CATCH_UP_S + 0.01) * 1e9)

    def test_speed_is_judged_from_the_state_that_the_command_answers(self, realtime):
        answered = realtime.states[-1].time_ns
        realtime.robot.position = np.full(10, 0.15)  # the robot has moved on since
        realtime.loop.tick(0.01)
        realtime.send(answered, goal=-0.2, now_s=0.012)
        assert realtime.gate.report().limited == 0
        realtime.loop.tick(0.02)
        np.testing.assert_array_equal(realtime.executed[-1].goals_rad[:9], [-0.2] * 9)

    def test_each_reading_tells_what_is_in_force_and_since_which_reading(self, servos):
        stamp_ns = servos.states[-1].time_ns
        servos.send(stamp_ns, goal=0.1, now_s=0.002)
        assert servos.executed == []
        servos.loop.tick(0.01)
        servos.loop.tick(0.02)
        read_ns = [state.time_ns for state in servos.states[-2:]]
        assert [executed.stamp_ns for executed in servos.executed] == [stamp_ns] * 2
        assert [(executed.since_ns, executed.until_ns) for executed in servos.executed] == [
            (read_ns[0], read_ns[0]),
            (read_ns[0], read_ns[1]),
        ]
        np.testing.assert_array_equal(servos.executed[-1].goals_rad[:9], [0.1] * 9)

    @pytest.mark.parametrize("cause", [Cause.OPERATOR_STOP, Cause.JOINT_RANGE], ids=["torque off", "controlled stop"])
    def test_after_a_stop_no_command_is_in_force(self, realtime, cause):
        realtime.send(realtime.states[-1].time_ns, goal=0.1, now_s=0.002)
        realtime.loop.tick(0.01)
        realtime.gate.stop(cause, True, "that", realtime.loop.state.position_rad, 0.012)
        realtime.loop.enforce()
        realtime.loop.tick(0.02)
        assert [executed.until_ns for executed in realtime.executed] == [realtime.states[-2].time_ns]

    def test_what_a_motor_did_not_hold_is_never_told_as_executed(self, servos):
        """Not at first, and not after it was written again."""
        servos.send(servos.states[-1].time_ns, goal=0.1, now_s=0.002)
        servos.robot.held[[3, 9]] = False  # one of them is free
        servos.loop.tick(0.01)
        servos.robot.held[:] = True
        servos.loop.tick(0.02)
        for executed in servos.executed:
            np.testing.assert_array_equal(executed.goals_rad[:9], [0.1] * 3 + [np.nan] + [0.1] * 5)
        assert len(servos.executed) == 2

    def test_what_a_motor_no_longer_holds_is_taken_back(self, servos):
        stamp_ns = servos.states[-1].time_ns
        servos.send(stamp_ns, goal=0.1, now_s=0.002)
        servos.loop.tick(0.01)
        servos.robot.held[3] = False
        servos.loop.tick(0.02)
        assert [executed.stamp_ns for executed in servos.executed] == [stamp_ns] * 2
        assert np.flatnonzero(np.isnan(servos.executed[-1].goals_rad)).tolist() == [3]
        assert servos.states[-1].time_ns == servos.robot.time_ns  # what is measured is measured

    def test_a_command_older_than_two_periods_is_refused(self, realtime):
        for tick in range(1, 40):
            realtime.loop.tick(tick * 0.01)
        answered = realtime.states[6].time_ns
        realtime.send(answered, goal=0.1, now_s=0.27)
        assert realtime.gate.report().refused == 1
        assert "0.220 s old, limit 0.2 s" in realtime.gate.last_detail

    def test_a_stamp_of_no_known_state_is_refused_with_what_is_in_force(self, realtime):
        realtime.send(realtime.states[-1].time_ns, goal=0.1)
        realtime.send(EPOCH_NS - 1, goal=0.2)
        realtime.loop.tick(0.01)
        assert realtime.gate.report().refused == 1
        assert "copy that of joint_states" in realtime.gate.last_detail
        assert realtime.executed[-1].stamp_ns == EPOCH_NS - 1
        np.testing.assert_array_equal(realtime.executed[-1].goals_rad[:9], [0.1] * 9)

    def test_without_torque_what_is_in_force_is_where_the_robot_is(self, realtime):
        limp = Command(realtime.names, [0.1] * 9, [0.0] * 9)
        realtime.loop.command(realtime.states[-1].time_ns, limp, 0.0)
        realtime.robot.position = np.full(10, 0.7)
        realtime.loop.tick(0.01)
        realtime.send(EPOCH_NS - 1, goal=0.1)  # refused
        realtime.loop.tick(0.02)
        assert realtime.executed[-1].stamp_ns == EPOCH_NS - 1
        np.testing.assert_array_equal(realtime.executed[-1].goals_rad, [0.7] * 10)
        assert not realtime.executed[-1].torque_on.any()

    def test_while_stopped_nothing_is_in_force(self, realtime):
        realtime.gate.stop(Cause.OPERATOR_STOP, True, "pressed")
        realtime.loop.enforce()
        realtime.loop.tick(0.01)
        realtime.send(realtime.states[-1].time_ns, goal=0.1)
        realtime.loop.tick(0.02)
        assert realtime.executed == []

    @pytest.mark.parametrize("every_s", [0.01, 0.1])
    def test_many_commands_move_the_robot_no_faster_than_few(self, realtime, every_s):
        """The robot here is at once where it is sent."""
        speed_rad_s = realtime.settings.robot.speed_limit_rad_s[1]
        for tick in range(1, 101):
            now_s = tick * 0.01
            realtime.loop.tick(now_s)
            if tick % round(every_s * 100) == 0:
                realtime.send(realtime.states[-1].time_ns, goal=1.5, now_s=now_s)
            # Two periods are in hand at first, for a command on time behind a late one.
            assert realtime.robot.position[1] <= speed_rad_s * (now_s + 0.2) + 1e-9
        assert realtime.robot.position[1] == pytest.approx(1.5)

    def test_only_recent_states_are_remembered(self, realtime):
        for tick in range(1, 1000):
            realtime.loop.tick(tick * 0.01)
        assert len(realtime.loop._known) <= 42

    def test_no_command_answers_a_state_from_before_torque_came_on(self, realtime):
        """Servos count anew from there, and limp joints move on."""
        before = realtime.states[-1].time_ns
        everyone = Command(realtime.settings.robot.all_joint_names, [0.1] * 9 + [0.2])
        realtime.loop.command(before, everyone, 0.002)
        assert realtime.gate.torque_on[9]
        realtime.send(before, now_s=0.004)
        assert (realtime.gate.accepted, realtime.gate.refused) == (1, 1)
        realtime.loop.tick(0.01)
        realtime.send(realtime.states[-1].time_ns, now_s=0.012)
        assert (realtime.gate.accepted, realtime.gate.refused) == (2, 1)

    def test_goals_in_force_are_of_the_count_of_the_newest_reading(self, realtime):
        """A controlled stop, or a command that comes too soon, goes on from them."""
        turned, goals = np.array([0.0] * 9 + [2.0 * np.pi]), [0.1] * 9 + [0.2]
        realtime.loop.command(
            realtime.states[-1].time_ns, Command(realtime.settings.robot.all_joint_names, goals), 0.002
        )
        realtime.robot.turned = turned
        for now_s in (0.01, 0.02):
            realtime.loop.tick(now_s)
            np.testing.assert_array_equal(realtime.gate.goals_rad, goals - turned)
            np.testing.assert_array_equal(realtime.executed[-1].goals_rad, goals - turned)

    def test_hold_after_two_periods_without_a_command(self, realtime):
        realtime.loop.tick(0.2)
        assert realtime.gate.state is GateState.ARMED
        realtime.loop.tick(0.21)
        assert realtime.gate.state is GateState.HOLD
        assert realtime.robot.torque_on[:9].all()
        realtime.send(realtime.states[-1].time_ns, now_s=0.22)
        assert realtime.gate.state is GateState.ARMED

    def test_a_failed_read_stops_at_once_and_a_good_one_clears_the_cause(self, realtime):
        realtime.robot.broken = True
        realtime.loop.tick(0.01)
        assert realtime.gate.state is GateState.STOPPED
        assert not realtime.robot.torque_on.any()
        assert not realtime.gate.reset()[0]
        published = len(realtime.states)
        realtime.loop.tick(0.02)
        assert len(realtime.states) == published
        realtime.robot.broken = False
        realtime.loop.tick(0.03)
        assert len(realtime.states) == published + 1
        assert realtime.gate.reset()[0]

    def test_time_passes_also_without_torque(self, realtime):
        realtime.gate.stop(Cause.OPERATOR_STOP, True, "pressed")
        realtime.loop.enforce()
        assert not realtime.robot.torque_on.any()
        realtime.loop.tick(0.01)
        assert realtime.states[-1].time_ns == EPOCH_NS + 10_000_000

    def test_figures_show_the_period_and_its_longest(self, realtime):
        realtime.loop.figures()
        for now_s in (0.01, 0.02, 0.05):
            realtime.loop.tick(now_s)
        figures = realtime.loop.figures()
        assert (figures["periods"], figures["period_longest_ms"]) == (3, "30.000")
        assert realtime.loop.figures()["periods"] == 0


@pytest.mark.parametrize("period_s", [0.0333, 0.101, 1e-10])
def test_lockstep_needs_whole_physics_steps(robot, period_s):
    settings = Bench(LockstepLoop, robot).settings
    with pytest.raises(SettingsError, match=f"control_period_s is {period_s}.*multiple of the physics step, 0.0025 s"):
        check_period(dataclasses.replace(settings, control_period_s=period_s), FakeRobot())
    check_period(dataclasses.replace(settings, control_period_s=0.05), FakeRobot())


def test_lockstep_needs_a_robot_whose_time_waits(robot):
    settings = Bench(LockstepLoop, robot).settings
    with pytest.raises(SettingsError, match="time does not wait for backend mujoco: use realtime"):
        check_period(settings, object())


def test_a_state_rate_below_the_control_rate_is_refused(robot):
    settings = Bench(RealtimeLoop, robot, time_base="realtime").settings
    with pytest.raises(SettingsError, match="state_rate_hz is 5, less than one state a control period of 0.1 s"):
        dataclasses.replace(settings, state_rate_hz=5.0)
