"""Steps whose readings may not have been measured: stored once that is known, or never."""

import numpy as np
import pytest
from robot_bridge.causes import Cause
from robot_bridge.gate_types import GateState
from valve_task.confirmation import Confirmation

from .chaos import Chaos


class TestJointsThatDoNotMeasure:
    """A servo that shows its last values again and again is found out later; until then nothing is stored."""

    @pytest.fixture
    def frozen(self, started):
        """After two good steps, and three of which nobody knows yet."""
        w = started()
        w.answer(0.1)
        for _ in range(2):
            w.period(0.1)
        w.measures = False
        for _ in range(3):
            w.period(0.1)
        assert [t.step for t in w.out.transitions] == [0, 1]
        return w

    @pytest.mark.parametrize(
        "causes", [(Cause.FROZEN_JOINT,), (Cause.OPERATOR_STOP, Cause.FROZEN_JOINT)], ids=["alone", "second"]
    )
    def test_what_was_not_measured_is_never_stored(self, frozen, causes):
        frozen.gate(GateState.STOPPED, *causes)
        assert [t.step for t in frozen.out.transitions] == [0, 1]
        assert frozen.machine.voided == 3
        assert any("3 steps are not stored: a joint did not measure" in note for note in frozen.out.notes)
        frozen.measures = True
        frozen.state()
        frozen.gate()
        frozen.finish_reset()
        frozen.answer(0.1)
        frozen.period(0.1)
        assert [(t.sequence, t.episode, t.step) for t in frozen.out.transitions[2:]] == [(2, 1, 0)]

    def test_joints_that_stood_still_delay_it_only(self, frozen):
        frozen.measures = True
        frozen.period(0.1)
        assert [t.step for t in frozen.out.transitions] == [0, 1, 2, 3, 4, 5]
        assert [t.sequence for t in frozen.out.transitions] == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize("states", [1, 10])
    def test_nobody_waits_longer_than_it_takes_to_find_out(self, frozen, states):
        """0.3 s from when the goal has moved."""
        for _ in range(5):
            frozen.period(0.1, states=states)
        assert [t.step for t in frozen.out.transitions] == [0, 1, 2]

    def test_a_stop_for_another_reason_loses_nothing_that_was_measured(self, frozen):
        frozen.gate(GateState.STOPPED, Cause.OPERATOR_STOP)
        assert [t.step for t in frozen.out.transitions] == [0, 1]
        frozen.measures = True
        frozen.elapse()  # without torque, joints show something else
        assert [t.step for t in frozen.out.transitions] == [0, 1, 2, 3, 4]
        assert frozen.machine.voided == 0

    def test_a_stop_before_frozen_joints_are_found_out_stores_nothing_of_them(self, frozen):
        frozen.gate(GateState.STOPPED, Cause.OPERATOR_STOP)
        for _ in range(20):  # no goal moves, so that time shows nothing
            frozen.period(0.1)
        assert [t.step for t in frozen.out.transitions] == [0, 1]
        frozen.gate()
        assert any("3 steps are not stored: a sensor showed nothing new" in note for note in frozen.out.notes)
        frozen.measures = True
        frozen.state()
        frozen.finish_reset()
        frozen.answer(0.1)
        frozen.period(0.1)
        assert [(t.sequence, t.episode, t.step) for t in frozen.out.transitions[2:]] == [(2, 1, 0)]
        frozen.measures = False
        for _ in range(12):  # and now it does again
            frozen.period(0.1)
        assert [t.sequence for t in frozen.out.transitions] == list(range(len(frozen.out.transitions)))
        assert len(frozen.out.transitions) > 4

    def test_what_no_reading_confirms_before_the_bridge_is_lost_is_not_stored(self, frozen):
        frozen.now_s += frozen.machine.settings.state_timeout_s + 1.0
        frozen.machine.tick()
        assert [t.step for t in frozen.out.transitions] == [0, 1]
        assert frozen.machine.voided == 3
        assert any("3 steps are not stored: the bridge was lost" in note for note in frozen.out.notes)

    def test_nor_before_it_is_restarted(self, frozen):
        frozen.time_ns -= 10**10
        frozen.state()
        assert [t.step for t in frozen.out.transitions] == [0, 1]
        assert frozen.machine.voided == 3

    def test_a_joint_that_showed_the_same_before_the_clock_was_set_back_is_not_measured_since(self, robot, make_state):
        confirmation = Confirmation(robot, 0.1)
        for time_s in (1000.0, 1.0, 1.1):
            confirmation.read(make_state(time_s))
        assert not confirmation.counts(1.1)
        confirmation.read(make_state(1.2, joints=0.001))
        assert confirmation.counts(1.1)

    def test_one_joint_is_enough_and_the_valve_does_not_count(self, started):
        w = started()
        w.answer(0.1)
        w.measures = False
        w.effort = w.effort.copy()

        def periods(moving):
            for _ in range(2):
                w.effort[moving] = np.nextafter(w.effort[moving], 1.0)
                w.period(0.1)
            return len(w.out.transitions)

        assert periods(np.arange(10) < 9) == 2, "only the valve stands still"
        assert periods(np.arange(10) != 4) == 2, "one finger joint does"


class TestABodyThatIsNotMeasured:
    """A driver that sends the inertial sensor's last values under new stamps."""

    @pytest.fixture
    def still(self):
        """Some good steps; then three of which nobody knows yet. Returns all this and how many were good."""
        chaos, rng = Chaos("MinitaurWalk", "realtime"), np.random.default_rng(0)
        chaos.send()
        chaos.gate(GateState.ARMED)
        chaos.work(60, rng)
        stored = len(chaos.out.transitions)
        assert stored > 5
        chaos.feels = False
        chaos.work(3, rng)
        return chaos, rng, stored

    def test_it_is_never_stored(self, still):
        chaos, rng, stored = still
        chaos.gate(GateState.STOPPED, Cause.BODY_SENSOR)
        chaos.feels = True
        chaos.send()
        assert len(chaos.out.transitions) == stored
        assert any("3 steps are not stored: the body was not measured" in note for note in chaos.out.notes)
        chaos.gate(GateState.ARMED)
        chaos.work(60, rng)
        assert [t.sequence for t in chaos.out.transitions] == list(range(len(chaos.out.transitions)))
        assert chaos.out.transitions[stored].episode == 1

    def test_nor_if_somebody_stops_the_robot_before_that_is_found_out(self, still):
        """And the driver revives before it is armed again: its first new reading confirms nothing of before."""
        chaos, _, stored = still
        chaos.gate(GateState.STOPPED, Cause.OPERATOR_STOP)
        chaos.gate(GateState.STOPPED, Cause.OPERATOR_STOP, Cause.BODY_SENSOR)
        chaos.feels = True
        chaos.send()
        assert len(chaos.out.transitions) == stored
        assert chaos.machine.voided == 3
        assert any("3 steps are not stored: the body was not measured" in note for note in chaos.out.notes)

    @pytest.mark.parametrize(("periods", "kept"), [(10, 0), (1, 3)])
    def test_nor_if_the_bridge_does_not_look_any_more_since_somebody_stopped_the_robot(self, periods, kept, still):
        """The driver sends its last values for 0.26 s, or 0.08, in all, and revives before the robot is armed."""
        chaos, _, stored = still
        chaos.gate(GateState.STOPPED, Cause.OPERATOR_STOP)
        for _ in range(periods):
            chaos.pass_time(1)
            chaos.send()
        chaos.feels = True
        chaos.pass_time(1)
        chaos.send()
        assert len(chaos.out.transitions) == stored + kept
        assert chaos.machine.voided == 3 - kept
        said = any("3 steps are not stored: the body was not measured" in note for note in chaos.out.notes)
        assert said == (not kept)

    def test_a_body_that_lay_still_delays_it_only(self, still):
        chaos, rng, stored = still
        chaos.feels = True
        chaos.work(1, rng)
        assert len(chaos.out.transitions) == stored + 4

    def test_nobody_waits_longer_than_the_bridge_takes_to_find_out(self, still):
        """robot.body.imu_timeout_s (0.1 s) and three periods of 0.02 s."""
        chaos, rng, stored = still
        chaos.work(6, rng)
        assert len(chaos.out.transitions) == stored
        chaos.work(3, rng)
        assert len(chaos.out.transitions) > stored
