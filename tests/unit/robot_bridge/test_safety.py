"""Every cause that stops the robot: found, named, latched, answered as the table says, and cleared."""

import dataclasses
import math

import numpy as np
import pytest
from robot_bridge.arming import Arming
from robot_bridge.backend import BackendError, ConnectionLostError, ReadError, RobotHealth, RobotState
from robot_bridge.causes import RULES, Cause, Reaction
from robot_bridge.dynamixel.settings import BusSettings
from robot_bridge.gate_types import Command, GateState
from robot_bridge.loop import RealtimeLoop, make_gate
from robot_bridge.monitor import Beats, JointMonitor
from robot_bridge.safety_limits import SafetyLimits
from robot_bridge.settings import BridgeSettings
from robot_bridge.simulation.settings import SimulationSettings
from rosac_common.settings import SettingsError

TICK_S = 0.01


class FakeRobot:
    """A robot of real time whose readings and failures are set by the test."""

    def __init__(self):
        self.now_ns = 0
        self.position, self.velocity, self.current = np.zeros(10), np.zeros(10), np.zeros(10)
        self.effort, self.measures = np.zeros(10), True
        self.health = RobotHealth(np.full(10, 30.0), np.full(10, 24.0), np.zeros(10, np.uint8), np.zeros(10))
        self.read_temperatures = np.ones(10, dtype=bool)
        self.torque_on = np.zeros(10, dtype=bool)
        self.goals = np.zeros(10)
        self.error = self.write_error = None
        self.recovered = self.writes = self.attempts = self.fail_writes = 0

    def read(self):
        if self.error is not None:
            raise self.error
        self.now_ns += 10_000_000
        if self.measures:  # no two readings are the same to the bit
            self.effort = np.nextafter(self.effort, 1.0)
        return RobotState(
            self.now_ns, self.position.copy(), self.velocity.copy(), self.effort.copy(), self.current.copy()
        )

    def write(self, goals_rad, torque_on):
        self.attempts += 1
        if self.write_error is not None:
            raise self.write_error
        self.writes += 1
        if self.fail_writes:
            self.fail_writes -= 1
            raise ReadError("servo 11: no answer")
        self.goals, self.torque_on = goals_rad.copy(), torque_on.copy()

    def poll_health(self):
        if isinstance(self.health, BackendError):
            raise self.health
        if self.health is not None:
            self.health.read_s[self.read_temperatures] += 0.05
        return self.health

    def recover(self):
        if self.write_error is not None:
            raise self.write_error
        self.recovered += 1
        self.error = None
        self.torque_on = np.zeros(10, dtype=bool)
        if self.health is not None:
            self.health.hardware_error[:] = 0

    def figures(self):
        return {}


class Others:
    """Who else there is, as the test says."""

    bridge = commander = ""

    def second_bridge(self):
        return self.bridge

    def second_commander(self):
        return self.commander


class Bench:
    """A real-time loop that ticks every 10 ms and is commanded every 100 ms, unless the task is silent."""

    def __init__(self, robot, **limits):
        robot = dataclasses.replace(robot, safety=SafetyLimits(**limits))
        settings = BridgeSettings(robot=robot, simulation=SimulationSettings(), time_base="realtime")
        self.robot, self.gate, self.states = FakeRobot(), make_gate(settings), []
        self.beats = Beats(robot)
        self.loop = RealtimeLoop(settings, self.robot, self.gate, self.beats, lambda _: None, self.states.append)
        self.names, self.now_s, self.task_speaks = robot.joint_names, 0.0, True
        self.commanded_s, self.command_period_s = -math.inf, 0.1
        self.sway_rad = 0.0  # how far the goals go to and fro
        self.others = Others()
        self.arming = Arming(robot, self.gate, self.robot, self.others)
        self.arming.loop = self.loop
        self.loop.start(0.0)
        self.beating = ()

    def arm(self):
        armed, message = self.arming.arm(self.now_s)
        assert armed, message

    def run(self, duration_s):
        for _ in range(round(duration_s / TICK_S)):
            self.now_s += TICK_S
            for beat in self.beating:
                beat.beat(self.now_s)
            self.loop.tick(self.now_s)
            goal_rad = self.sway_rad * math.sin(10.0 * self.now_s)
            if self.task_speaks and self.states and self.now_s - self.commanded_s > self.command_period_s - 1e-6:
                self.commanded_s = self.now_s
                self.loop.command(self.states[-1].time_ns, Command(self.names, [goal_rad] * 9), self.now_s)

    def causes(self):
        return {report.cause: report for report in self.gate.report().causes}

    def assert_stopped(self, cause):
        assert self.gate.state is GateState.STOPPED
        assert cause in self.causes(), self.causes()
        if RULES[cause].reaction is Reaction.CONTROLLED_STOP:
            # Joint 0 outside its range could not be held there.
            inside = np.arange(9) >= (cause is Cause.JOINT_RANGE)
            np.testing.assert_array_equal(self.robot.torque_on[:9], inside, "a controlled stop holds first")
            np.testing.assert_array_equal(self.robot.goals[:9], self.loop.state.position_rad[:9])
            self.run(0.32)
        assert not self.robot.torque_on.any()

    def assert_stopped_without_torque(self, cause):
        assert self.gate.state is GateState.STOPPED
        assert cause in self.causes(), self.causes()
        assert not self.robot.torque_on.any()

    def assert_reset_then_arm(self, cause):
        """Nothing moves until it is reset and armed; the cause is gone after that."""
        assert not self.arming.arm(self.now_s)[0]
        assert self.arming.reset(self.now_s)[0], self.causes()
        self.run(0.1)
        assert self.gate.state is GateState.DISARMED
        assert not self.robot.torque_on.any()
        self.arm()
        self.run(0.1)
        assert self.gate.state is GateState.ARMED


@pytest.fixture
def bench(robot):
    made = Bench(robot)
    made.arm()
    made.run(0.1)
    return made


def test_every_cause_has_a_rule():
    assert set(RULES) == set(Cause)


@pytest.mark.parametrize(
    ("cause", "field", "value"),
    [
        (Cause.JOINT_RANGE, "position", 0.48 + 0.51),
        (Cause.JOINT_SPEED, "velocity", -15.1),
        (Cause.MOTOR_CURRENT, "current", 0.42),
    ],
)
def test_a_measured_value_beyond_its_limit_stops(bench, cause, field, value):
    healthy = getattr(bench.robot, field)[0]
    getattr(bench.robot, field)[0] = value
    bench.run({Cause.MOTOR_CURRENT: 0.6, Cause.JOINT_SPEED: 0.12}.get(cause, 0.01))
    detail = bench.causes()[cause].detail
    assert "finger1_top" in detail
    assert "limit" in detail
    bench.assert_stopped(cause)
    getattr(bench.robot, field)[0] = healthy
    bench.run(0.02)
    bench.assert_reset_then_arm(cause)


def test_a_second_bridge_stops_a_robot_that_moves(bench):
    bench.others.bridge = "2 nodes publish joint_states"
    bench.arming.look_for_others(bench.now_s)
    assert bench.causes()[Cause.SECOND_GRAPH].detail == "2 nodes publish joint_states"
    bench.assert_stopped(Cause.SECOND_GRAPH)
    assert not bench.arming.reset(bench.now_s)[0]
    bench.others.bridge = ""
    bench.arming.look_for_others(bench.now_s)
    bench.assert_reset_then_arm(Cause.SECOND_GRAPH)


def test_a_second_commander_is_in_the_way_of_the_next_arming_only(bench):
    bench.others.commander = "2 nodes publish joint_command"
    bench.arming.look_for_others(bench.now_s)
    bench.run(0.1)
    assert bench.gate.state is GateState.ARMED
    bench.gate.disarm()
    bench.loop.enforce()
    assert bench.arming.arm(bench.now_s) == (False, "2 nodes publish joint_command")
    assert (bench.gate.state, set(bench.causes())) == (GateState.STOPPED, {Cause.SECOND_GRAPH})
    assert not bench.robot.torque_on.any()
    bench.others.commander = ""
    bench.arming.look_for_others(bench.now_s)
    bench.assert_reset_then_arm(Cause.SECOND_GRAPH)


@pytest.mark.parametrize(("field", "value"), [("position", 0.48 + 0.49), ("velocity", 14.9), ("current", 0.34)])
def test_just_within_the_limit_goes_on(bench, field, value):
    getattr(bench.robot, field)[0] = value
    bench.run(1.0)
    assert bench.gate.state is GateState.ARMED


def test_a_joint_out_of_range_stays_a_cause_until_it_is_back(bench):
    bench.robot.position[3] = -2.0
    bench.run(0.5)
    assert not bench.gate.reset()[0]
    bench.robot.position[3] = 0.0
    bench.run(0.02)
    assert bench.gate.reset()[0]


def test_a_robot_with_a_joint_outside_its_range_is_not_to_be_armed(robot):
    bench = Bench(robot)
    assert bench.loop.obstacles(0.0) == []
    bench.robot.position[9] = 40.0  # the valve was turned by hand
    bench.robot.position[3] = -0.57
    bench.run(0.01)
    assert bench.loop.obstacles(0.0) == []
    bench.robot.position[3] = -0.6
    bench.run(0.01)
    (obstacle,) = bench.loop.obstacles(0.0)
    assert "joint 'finger2_top' is at -0.600 rad, 0.120 outside its range -0.48 .. 0.48, limit 0.1" in obstacle


def test_a_short_peak_of_current_is_no_cause(bench):
    bench.robot.current[0] = 0.9
    bench.run(0.4)
    bench.robot.current[0] = 0.1
    bench.run(0.02)
    bench.robot.current[0] = 0.9
    bench.run(0.4)
    assert bench.gate.state is GateState.ARMED


def test_how_long_a_motor_pushes_counts_in_robot_time(robot):
    """In lockstep a busy machine makes a step last: for the robot it is as short as any."""
    monitor, torque_on = JointMonitor(robot, robot.fastest_rad_s), np.ones(10, dtype=bool)

    def problems(time_s):
        zeros = np.zeros(10)
        state = RobotState(round(time_s * 1e9), zeros, zeros, zeros, np.full(10, 0.9))
        return [cause for cause, _ in monitor.problems(state, torque_on)]

    assert problems(7.0) == problems(7.5) == []
    assert problems(7.51) == [Cause.MOTOR_CURRENT]


def test_joints_without_torque_are_not_judged(bench):
    bench.robot.velocity[9] = 30.0  # the fingers spin the free valve
    bench.robot.position[9] = 40.0
    bench.run(0.2)
    assert bench.gate.state is GateState.ARMED


class TestFrozenJoint:
    @pytest.fixture
    def swaying(self, bench):
        bench.sway_rad = 0.1
        bench.robot.measures = False
        return bench

    def test_the_same_values_while_the_goal_moves_stop(self, swaying):
        swaying.run(0.5)
        detail = swaying.causes()[Cause.FROZEN_JOINT].detail
        assert "joint 'finger1_top' shows the same position, velocity and effort for 0.3" in detail
        swaying.assert_stopped(Cause.FROZEN_JOINT)
        swaying.assert_reset_then_arm(Cause.FROZEN_JOINT)
        swaying.run(0.5)
        assert swaying.gate.state is GateState.STOPPED, "it is still frozen"

    @pytest.mark.parametrize("alive", ["position", "velocity", "effort"])
    def test_one_value_that_changes_by_one_bit_is_a_measurement(self, swaying, alive):
        for _ in range(100):
            values = getattr(swaying.robot, alive)
            values[:] = np.nextafter(values, 1.0)
            swaying.run(TICK_S)
        assert swaying.gate.state is GateState.ARMED

    def test_a_joint_that_stood_has_time_to_answer_its_goal(self, bench):
        bench.robot.measures = False
        bench.run(1.0)
        bench.sway_rad = 0.1
        bench.run(0.25)
        bench.robot.measures = True
        bench.run(0.5)
        assert bench.gate.state is GateState.ARMED

    def test_goals_from_before_torque_came_on_do_not_count(self, robot):
        bench = Bench(robot)
        bench.robot.measures, bench.task_speaks = False, False
        bench.robot.position[:9] = 0.4
        bench.run(0.1)
        bench.arm()
        bench.run(1.0)
        assert Cause.FROZEN_JOINT not in bench.causes()

    def test_a_joint_that_shall_stand_may_stand(self, bench):
        bench.sway_rad = 0.02
        bench.robot.measures = False
        bench.run(1.0)
        assert bench.gate.state is GateState.ARMED


def test_a_warm_motor_stops_until_it_has_cooled(bench):
    bench.robot.health.temperature_c[4] = 76.0
    bench.run(0.12)
    assert "finger2_middle' is at 76 C, limit 75 C" in bench.causes()[Cause.TEMPERATURE].detail
    bench.run(0.4)
    assert not bench.robot.torque_on.any()
    assert not bench.gate.reset()[0]
    bench.robot.health.temperature_c[4] = 60.0
    bench.run(0.2)
    bench.assert_reset_then_arm(Cause.TEMPERATURE)


def test_each_motor_may_have_its_own_limit(robot):
    limits = dataclasses.replace(robot.safety, temperature_stop_c=[75.0] * 9 + [65.0])
    limited = JointMonitor(dataclasses.replace(robot, safety=limits), robot.fastest_rad_s)
    health = RobotHealth(np.full(10, 70.0), np.full(10, 12.0), np.zeros(10, dtype=np.uint8), np.zeros(10))
    on = np.ones(10, dtype=bool)
    assert [detail for _, detail in limited.health_problems(health, on, 0.0)] == [
        "joint 'valve' is at 70 C, limit 65 C: let it cool down, then call safety/reset"
    ]
    assert list(JointMonitor(robot, robot.fastest_rad_s).health_problems(health, on, 0.0)) == []


def test_a_joint_that_slips_is_fast_for_a_moment_only(bench):
    for _ in range(20):
        bench.robot.velocity[0] = 30.0
        bench.run(0.09)
        bench.robot.velocity[0] = 0.0
        bench.run(0.01)
    assert bench.gate.state is GateState.ARMED
    bench.robot.velocity[0] = 30.0
    bench.run(0.06)
    bench.robot.velocity[:2] = 0.0, 30.0  # each for a moment only
    bench.run(0.06)
    assert bench.gate.state is GateState.ARMED
    bench.run(0.06)
    assert "finger1_middle' moves at 30.00 rad/s for 0.1" in bench.causes()[Cause.JOINT_SPEED].detail


def test_what_speed_is_too_fast(robot):
    """A simulated joint knows no top speed, and may be faster than a real one should be."""
    rest = {"robot": robot, "simulation": SimulationSettings(speed_stop_rad_s=6.0)}
    assert BridgeSettings(**rest).fastest_rad_s == [6.0] * 9 + [15.0]
    bus = BusSettings(port="/dev/ttyUSB0")
    real = BridgeSettings(**rest, backend="dynamixel", bus=bus, time_base="realtime")
    assert real.fastest_rad_s == [3.3] * 9 + [15.0]


def test_a_motor_whose_temperature_is_not_known_any_more_stops_the_robot(bench):
    bench.robot.read_temperatures[4] = False
    bench.run(9.5)
    assert bench.gate.state is GateState.ARMED
    bench.run(1.0)
    assert (
        "of joint 'finger2_middle' could not be read for 10 s, limit 10 s" in bench.causes()[Cause.TEMPERATURE].detail
    )
    bench.run(0.4)
    assert not bench.robot.torque_on.any()
    bench.run(0.1)
    assert not bench.gate.reset()[0], "it is not known yet"
    bench.robot.read_temperatures[4] = True
    bench.run(0.2)
    bench.assert_reset_then_arm(Cause.TEMPERATURE)


def test_a_bus_that_never_answers_for_slow_values_stops_the_robot(bench):
    bench.run(0.2)
    bench.robot.health = ReadError("servo 11: no answer")
    bench.run(9.5)
    assert bench.gate.state is GateState.ARMED
    bench.run(1.0)
    assert "could not be read" in bench.causes()[Cause.TEMPERATURE].detail


def test_a_hardware_error_stops_and_reset_recovers_the_robot(bench):
    bench.robot.health.hardware_error[2] = 1 << 5
    bench.run(0.12)
    assert bench.causes()[Cause.HARDWARE_ERROR].detail == (
        "joint 'finger1_bottom' reports hardware error overload (bits 0x20): look for the reason, then call "
        "safety/reset, which clears it"
    )
    bench.assert_stopped(Cause.HARDWARE_ERROR)
    bench.assert_reset_then_arm(Cause.HARDWARE_ERROR)
    assert bench.robot.recovered == 1


def test_failed_reads_publish_nothing_then_hold_then_stop(bench):
    published, bench.robot.error = len(bench.states), ReadError("servo 11: no answer")
    bench.run(0.01)
    assert bench.gate.state is GateState.ARMED
    bench.run(0.01)
    assert bench.gate.state is GateState.HOLD
    assert Cause.READ_FAILED in bench.causes()
    bench.run(0.02)
    assert bench.gate.state is GateState.HOLD
    bench.run(0.01)
    assert "5 failed reads in a row, limit 5; the last one: servo 11" in bench.causes()[Cause.READ_FAILED].detail
    bench.assert_stopped(Cause.READ_FAILED)
    assert len(bench.states) == published
    bench.robot.error = None
    bench.run(0.02)
    bench.assert_reset_then_arm(Cause.READ_FAILED)


def test_single_failed_reads_do_not_add_up(bench):
    for _ in range(20):
        bench.robot.error = ReadError("lost")
        bench.run(0.01)
        bench.robot.error = None
        bench.run(0.01)
    assert bench.gate.state is GateState.ARMED


def test_a_lost_port_stops_and_is_read_again_after_reset_only_but_torque_goes_off_as_soon_as_it_is_back(bench):
    gone = ConnectionLostError("/dev/ttyUSB0 is gone: plug the adapter in, then call safety/reset")
    bench.robot.error = bench.robot.write_error = gone
    published = len(bench.states)
    bench.run(0.5)
    assert bench.gate.state is GateState.STOPPED
    assert "plug the adapter in" in bench.causes()[Cause.CONNECTION_LOST].detail
    assert len(bench.states) == published
    with pytest.raises(ConnectionLostError):
        bench.loop.recover(bench.now_s)
    assert not bench.gate.reset()[0]
    assert bench.robot.torque_on.any()
    assert bench.loop.end()  # why torque is not known to be off
    bench.robot.write_error = None
    bench.run(0.25)
    assert not bench.robot.torque_on.any()
    assert not bench.gate.reset()[0]
    assert not bench.loop.end()
    bench.robot.error = None
    bench.assert_reset_then_arm(Cause.CONNECTION_LOST)


def test_torque_off_that_could_not_be_sent_is_sent_again(bench):
    bench.robot.write_error, bench.robot.attempts = BackendError("servos [11] do not confirm"), 0
    bench.gate.stop(Cause.OPERATOR_STOP, True, "pressed")
    bench.loop.enforce()
    assert Cause.ROBOT_FAILED in bench.causes()
    assert bench.robot.torque_on.any()
    bench.run(1.0)
    assert bench.robot.attempts < 8, "each try may take as long as many missing answers"
    bench.robot.write_error = None
    bench.run(0.25)
    assert not bench.robot.torque_on.any()


@pytest.mark.parametrize("source", ["poll", "read"])
def test_a_servo_that_stopped_by_itself_takes_torque_off_and_is_recovered_although_it_answers_again(bench, source):
    """As the driver says it: its bus watchdog has tripped, or it has restarted."""
    error = BackendError("servo 11 has restarted and lost its settings")
    if source == "poll":
        bench.robot.health = error
        bench.run(0.06)
    else:
        bench.robot.error = error
        bench.run(0.01)
    cause = Cause.ROBOT_FAILED if source == "poll" else Cause.READ_FAILED
    assert "has restarted" in bench.causes()[cause].detail
    bench.assert_stopped(cause)
    bench.robot.error, bench.robot.health = None, None
    bench.run(0.1)
    bench.assert_reset_then_arm(cause)
    assert bench.robot.recovered == 1


def test_one_lost_answer_while_commanding_is_no_reason_to_stop(bench):
    bench.command_period_s = TICK_S
    bench.robot.fail_writes = 1
    bench.run(0.01)
    assert bench.gate.state is GateState.ARMED
    bench.robot.fail_writes = 2
    bench.run(0.01)
    assert bench.gate.state is GateState.STOPPED
    assert Cause.ROBOT_FAILED in bench.causes()
    bench.run(0.02)
    assert not bench.robot.torque_on.any()


@pytest.mark.parametrize("cause", [Cause.HEARTBEAT_LOST, Cause.JOINT_RANGE, Cause.MOTOR_CURRENT])
def test_a_cause_that_stays_is_said_once(bench, cause):
    """The values in its text change with every reading; topic, log and bus must not hear of each."""
    bench.robot.position[0] = 1.5 if cause is Cause.JOINT_RANGE else 0.0
    bench.robot.current[0] = 0.44 if cause is Cause.MOTOR_CURRENT else 0.0
    if cause is Cause.HEARTBEAT_LOST:
        bench.beats.heartbeat.beat(bench.now_s)
    bench.run(1.5)
    assert cause in bench.causes()
    revision, orders, writes = bench.gate.revision, bench.gate.orders, bench.robot.writes
    bench.robot.position[0] += 0.01
    bench.robot.current[0] *= 1.01
    bench.run(1.0)
    assert (bench.gate.revision, bench.gate.orders, bench.robot.writes) == (revision, orders, writes)


def test_commands_do_not_end_the_hold_while_reads_fail(bench):
    bench.command_period_s = TICK_S
    bench.robot.error = ReadError("lost")
    bench.run(0.03)
    assert bench.gate.state is GateState.HOLD
    assert "reads have failed: wait for joint_states" in bench.gate.last_detail
    bench.robot.error = None
    bench.run(0.01)
    assert bench.gate.state is GateState.ARMED


def test_no_fresh_state_for_too_long_stops(bench):
    bench.robot.error = ReadError("slow")
    bench.now_s += 0.26  # the machine stood still
    bench.run(0.01)
    bench.assert_stopped(Cause.STALE_STATE)
    bench.robot.error = None
    bench.run(0.02)
    bench.assert_reset_then_arm(Cause.STALE_STATE)


def test_a_task_that_does_not_come_back_stops(robot):
    bench = Bench(robot, task_timeout_s=2.0)
    bench.arm()
    bench.task_speaks = False
    bench.run(1.9)
    assert bench.gate.state is GateState.HOLD
    assert bench.robot.torque_on[:9].all()
    bench.run(0.15)
    bench.assert_stopped(Cause.TASK_LOST)
    bench.task_speaks = True
    bench.assert_reset_then_arm(Cause.TASK_LOST)


@pytest.mark.parametrize("name", ["heartbeat", "dead_man", "manager"])
class TestBeats:
    def made(self, robot, name, required=True):
        bench = Bench(robot, **{f"{name}_required": required})
        return bench, getattr(bench.beats, name)

    def test_a_required_beat_that_was_never_heard_forbids_to_arm(self, robot, name):
        bench, beat = self.made(robot, name)
        assert "was never heard" in beat.problem(bench.now_s)
        armed, message = bench.arming.arm(bench.now_s)
        assert (armed, "was never heard" in message) == (False, True)
        assert bench.gate.arm(bench.loop.state.position_rad, bench.now_s)[0]  # as if it had been armed all the same
        bench.loop.enforce()
        bench.run(0.01)
        bench.assert_stopped(beat.cause)

    def test_its_end_stops_and_its_return_only_clears(self, robot, name):
        bench, beat = self.made(robot, name)
        bench.beating = (beat,)
        bench.run(0.1)
        bench.arm()
        bench.run(1.0)
        assert bench.gate.state is GateState.ARMED
        bench.beating = ()
        bench.run(0.6 if name != "manager" else 4.1)
        bench.assert_stopped(beat.cause)
        assert "silent for" in bench.causes()[beat.cause].detail
        assert not bench.gate.reset()[0]
        bench.beating = (beat,)
        bench.run(0.1)
        assert bench.gate.state is GateState.STOPPED
        bench.assert_reset_then_arm(beat.cause)

    def test_it_must_go_on_once_it_has_begun(self, robot, name):
        bench, beat = self.made(robot, name, required=False)
        bench.arm()
        bench.run(1.0)
        assert bench.gate.state is GateState.ARMED
        beat.beat(bench.now_s)
        bench.run(5.0)
        assert bench.gate.state is GateState.STOPPED
        assert beat.cause in bench.causes()


def test_a_released_dead_man_stops_at_once(robot):
    bench = Bench(robot, dead_man_required=True)
    bench.beats.dead_man.beat(0.0)
    bench.arm()
    bench.beats.dead_man.beat(0.005, good=False)
    bench.loop.watch(0.005)
    bench.assert_stopped(Cause.DEAD_MAN_RELEASED)


@pytest.mark.parametrize("unseen", ["failed reads", "an old state"])
@pytest.mark.parametrize("cause", [Cause.DEAD_MAN_RELEASED, Cause.SECOND_GRAPH])
def test_a_controlled_stop_throws_nothing_back_to_where_it_was_seen_last(bench, unseen, cause):
    """The joint has run on; no speed limit holds on the way back."""
    bench.sway_rad = 0.1
    bench.run(0.1)
    bench.robot.position[:9] = -0.3
    bench.run(TICK_S)
    bench.task_speaks, goals = False, bench.gate.goals_rad.copy()
    if unseen == "failed reads":
        bench.robot.error = ReadError("servo 11: no answer")
        bench.run(TICK_S)
    else:
        bench.now_s += 0.021
    if cause is Cause.DEAD_MAN_RELEASED:
        bench.beats.dead_man.beat(bench.now_s, good=False)
        bench.loop.watch(bench.now_s)
    else:
        bench.others.bridge = "2 nodes publish joint_states"
        bench.arming.look_for_others(bench.now_s)
    assert (bench.gate.state, set(bench.causes())) == (GateState.STOPPED, {cause})
    assert (goals[:9] > -0.2).all() and bench.robot.torque_on[:9].all()
    np.testing.assert_array_equal(bench.robot.goals[:9], goals[:9])
    bench.robot.error = None
    bench.run(0.32)
    assert not bench.robot.torque_on.any()


LIMP = [0.0] * 9


def limp(bench, duration_s):
    """A robot that is armed and has no torque, as fingers are that are being disentangled."""
    bench.task_speaks = False
    for _ in range(round(duration_s / 0.1)):
        bench.run(0.1)
        bench.loop.command(bench.states[-1].time_ns, Command(bench.names, LIMP, LIMP), bench.now_s)


def test_a_beat_that_is_missed_while_the_joints_are_limp_stops_too(robot):
    bench = Bench(robot, dead_man_required=True)
    bench.beats.dead_man.beat(0.0)
    bench.arm()
    limp(bench, 0.1)
    assert not bench.robot.torque_on.any()
    bench.beats.dead_man.beat(bench.now_s, good=False)
    bench.loop.watch(bench.now_s)
    assert bench.gate.state is GateState.STOPPED
    bench.beats.dead_man.beat(bench.now_s)
    bench.task_speaks = True
    bench.run(0.05)
    assert not bench.robot.torque_on.any(), "only a reset and arming let it move again"


def test_a_second_bridge_and_a_lost_task_stop_limp_joints_too(bench):
    limp(bench, 0.1)
    bench.others.bridge = "2 nodes publish joint_states"
    bench.arming.look_for_others(bench.now_s)
    bench.assert_stopped_without_torque(Cause.SECOND_GRAPH)
    bench.others.bridge = ""
    bench.arming.look_for_others(bench.now_s)
    bench.task_speaks = True
    bench.assert_reset_then_arm(Cause.SECOND_GRAPH)
    limp(bench, 0.1)
    bench.run(bench.loop._limits.task_timeout_s + 0.1)
    bench.assert_stopped_without_torque(Cause.TASK_LOST)


def test_it_is_armed_where_it_is_now_and_not_where_it_was_seen_last(bench):
    bench.gate.disarm()
    bench.loop.enforce()
    bench.task_speaks = False
    bench.run(0.02)
    bench.robot.position[:9] += 0.3  # by hand; nobody has looked since
    bench.arm()
    np.testing.assert_array_equal(bench.robot.goals[:9], bench.robot.position[:9])


def test_it_is_not_armed_blindly(bench):
    bench.gate.disarm()
    bench.loop.enforce()
    bench.robot.error = ReadError("no answer")
    armed, message = bench.arming.arm(bench.now_s)
    assert (armed, bench.gate.state) == (False, GateState.DISARMED)
    assert message.startswith("where the robot is cannot be read just now")
    assert not bench.robot.torque_on.any()


def test_a_robot_that_cannot_be_switched_on_is_not_said_to_be_armed(bench):
    bench.gate.disarm()
    bench.loop.enforce()
    bench.robot.write_error = BackendError("id 11: torque_enable is not 1")
    armed, message = bench.arming.arm(bench.now_s)
    assert (armed, bench.gate.state) == (False, GateState.STOPPED)
    assert "could not be switched on" in message and "torque_enable is not 1" in message


def test_a_reset_during_a_controlled_stop_ends_it(bench):
    for bench.others.bridge in ("2 nodes publish joint_states", ""):
        bench.arming.look_for_others(bench.now_s)
    assert bench.gate.state is GateState.STOPPED and bench.robot.torque_on[:9].all()
    assert bench.arming.reset(bench.now_s)[0]
    assert (bench.gate.state, bench.robot.torque_on.any()) == (GateState.DISARMED, False)
    bench.arm()
    for _ in range(60):  # longer than the stop would have taken
        bench.run(0.01)
        assert bench.gate.torque_on[:9].all(), "nothing is left of the stop before"


def test_a_reset_after_which_a_servo_is_still_under_torque_is_none(bench):
    for bench.others.bridge in ("2 nodes publish joint_states", ""):
        bench.arming.look_for_others(bench.now_s)
    assert bench.gate.state is GateState.STOPPED and bench.robot.torque_on[:9].all()
    bench.robot.write_error = BackendError("servo 11: torque_enable is not 0: cut the power")
    reset, message = bench.arming.reset(bench.now_s)
    assert (reset, bench.gate.state) == (False, GateState.STOPPED)
    assert "could not be switched off: robot_failed: servo 11: torque_enable is not 0: cut the power" in message
    assert bench.robot.torque_on[:9].all()
    bench.robot.write_error = None
    bench.run(0.3)
    assert bench.arming.reset(bench.now_s)[0] and not bench.robot.torque_on.any()


def test_a_controlled_stop_lets_a_joint_go_that_is_outside_its_range(bench):
    """Its servo takes no goal there, and would pull it back."""
    bench.robot.position[0] = 2.2
    bench.run(0.01)
    assert bench.gate.state is GateState.STOPPED
    assert bench.robot.torque_on.tolist() == [False] + [True] * 8 + [False]


def test_a_second_harder_cause_ends_a_controlled_stop(bench):
    bench.robot.position[0] = 1.5
    bench.run(0.01)
    assert bench.robot.torque_on[1:9].all()
    bench.gate.stop(Cause.OPERATOR_STOP, True, "pressed")
    bench.loop.enforce()
    assert not bench.robot.torque_on.any()


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(SettingsError, match="read_failures_stop is 1; it must be at least read_failures_hold"):
        SafetyLimits(read_failures_stop=1)
