"""A whole graph in real time on servos that fail: what it stores was measured, and it goes on after each fault."""

import os
import signal
import time

import numpy as np
import pytest
from helpers.commander import ROBOT, Commander
from helpers.graph import GraphProcess, own_parameters
from helpers.ros import ros_node
from helpers.truth import assert_true
from robot_bridge.emulator import EmulatorProcess, ReadingHistory
from rosac_common.messages import nanoseconds
from sac_interfaces.msg import SafetyState, Transition
from sensor_msgs.msg import JointState
from valve_task.tasks import TaskSettings, make_task

from rosac_common import qos

pytestmark = pytest.mark.ros

PERIOD_S, JOINTS = 0.1, 9
STEPS = 12
STALE_ID, STALE_JOINT = 22, 5
# What stops the robot in the midst of a step; "" is nothing, and goes on for so many steps with the noise that is on.
FAULTS = (
    ("silent", {"id": 11}),
    ("lost", {"rate": 1.0}),
    ("corrupt", {"rate": 1.0}),
    ("late", {"rate": 1.0, "delay_s": 0.3}),
    ("reboot", {"id": 21}),
    ("hardware_error", {"id": 31, "bit": 5}),
    ("voltage", {"id": 12, "volts": 5.0}),
    ("stale_encoder", {"id": STALE_ID}),
    ("unplug", {}),
    ("stop", {}),
    ("bridge paused", {}),
    ("bridge killed", {}),
    ("", {}),
)
# What the robot goes on with; more losses would leave the witness too few transitions without a gap.
NOISE = {
    "lost": {"rate": 0.0005},
    "lost_writes": {"rate": 0.05},
    "duplicated": {"rate": 0.2},
    "late": {"rate": 0.0005, "delay_s": 0.01},
}
WATCHDOG_S = 1.0

SHOWN = ("position", "velocity", "effort")
# States come every 10 ms; where they are further apart, one was not read, or the witness had no processor.
GAP_NS = 15e6


def restored(commander):
    if commander.safety[-1].state == SafetyState.STOPPED:
        commander.try_call("safety/reset")
    return commander.safety[-1].state == SafetyState.DISARMED


def test_no_transition_holds_what_was_not_measured(tmp_path):
    own = own_parameters(
        tmp_path / "own.yaml",
        {
            "learner": {"sac.initial_random_steps": 5000, "sac.min_pool_steps": 5000},
            "task": {"task.horizon_steps": 30},
            "bridge": {"robot.servos.bus_watchdog_s": WATCHDOG_S, "robot.safety.state_timeout_s": 1.5},
        },
    )
    transitions, states, readings = [], [], ReadingHistory()
    with EmulatorProcess(ROBOT) as emulator, ros_node("witness") as node:
        commander = Commander(node, commands=False)
        node.create_subscription(Transition, "replay", transitions.append, qos.REPLAY)
        node.create_subscription(JointState, "joint_states", states.append, qos.REPLAY)  # deep: every one counts
        arguments = ("backend:=dynamixel", f"port:={emulator.port}", "steps:=0", "run:=faults", own)
        with GraphProcess("up", *arguments, directory=tmp_path) as graph:
            commander.connect(simulated=False)
            commander.until_safety(SafetyState.DISARMED)
            commander.call("safety/arm")
            for kind, values in FAULTS:
                count = len(transitions)

                def gone_on(count=count):
                    """A machine that stalls may stop the robot meanwhile."""
                    readings.add(emulator.take_readings())
                    if restored(commander):
                        commander.try_call("safety/arm")
                    return len(transitions) > count + STEPS

                commander.until(gone_on, f"transitions before the fault '{kind}'")
                if not kind:
                    break
                befall(graph, commander, emulator, kind, values)
                causes = commander.safety[-1].causes
                if kind == "stale_encoder":
                    assert "frozen_joint" in causes
                    frozen_ns = shown_since_ns(states)
                commander.press(False)
                emulator.clear_faults()
                commander.until(lambda: restored(commander), "disarmed after a reset")
                for noise, rates in NOISE.items():
                    emulator.fault(noise, **rates)
            assert len({transition.session_id for transition in transitions}) == 1
            # What the learner missed while it started is sent again.
            transitions = list({transition.sequence: transition for transition in transitions}.values())
            sequence = sorted(transition.sequence for transition in transitions)
            assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
            assert len({transition.episode for transition in transitions}) > 3, "each fault ends an episode"
            check(transitions, states)
            readings.add(emulator.take_readings())
            assert emulator.status()["faults_unseen"]["lost_writes"] > 0
            actions = make_task(TaskSettings(control_period_s=PERIOD_S), ROBOT).actions
            assert_true(transitions, readings, actions, PERIOD_S)
            since_ns, until_ns = frozen_ns
            assert until_ns - since_ns > 0.2e9, "it was found out after some steps"
            stamps_ns = [nanoseconds(transition.header.stamp) for transition in transitions]
            false = [stamp_ns for stamp_ns in stamps_ns if since_ns + GAP_NS < stamp_ns <= until_ns]
            assert not false, "these were not measured"


def befall(graph, commander, emulator, kind, values):
    """Let it happen, and wait until the robot has stopped."""
    if kind == "bridge killed":
        before = graph.node_pid("bridge")
        commander.safety.clear()
        graph.kill_node("bridge")
        commander.until(lambda: graph.node_pid("bridge") not in (None, before), "another bridge")
        commander.until(lambda: commander.safety, "it says how it is")
        assert commander.safety[-1].state != SafetyState.ARMED
        return
    if kind == "stop":
        commander.press(True)
    elif kind == "bridge paused":
        bridge = graph.node_pid("bridge")
        os.kill(bridge, signal.SIGSTOP)
        end_s = time.monotonic() + 2.0 * WATCHDOG_S
        commander.until(lambda: time.monotonic() > end_s, "its servos stop by themselves")
        os.kill(bridge, signal.SIGCONT)
    else:
        emulator.fault(kind, **values)
    commander.until_safety(SafetyState.STOPPED)


def shown_since_ns(states):
    """For how long the joint has shown what it shows at last: times of the first and the last such state."""
    last = states[-1]
    same = [last]
    for state in reversed(states[:-1]):
        if any(getattr(state, kind)[STALE_JOINT] != getattr(last, kind)[STALE_JOINT] for kind in SHOWN):
            break
        same.append(state)
    return nanoseconds(same[-1].header.stamp), nanoseconds(last.header.stamp)


def check(transitions, states):
    """Each observation shows a state that the bridge has published, and the next one a state one period later."""
    stamps_ns = np.array([nanoseconds(state.header.stamp) for state in states])
    joints = np.array([state.position[:JOINTS] for state in states], dtype=np.float32)
    heard = 0
    for transition in transitions:
        assert np.isfinite([*transition.executed_action, transition.reward]).all()
        ages_s = (nanoseconds(transition.header.stamp) - stamps_ns) * 1e-9
        around = np.flatnonzero((ages_s > -0.5 * PERIOD_S) & (ages_s < 1.7 * PERIOD_S))
        if around.size < 2 or np.diff(stamps_ns[around]).max() > GAP_NS or ages_s[around].min() > 1e-6:
            continue  # the witness has missed a state, perhaps the last one of a bridge that was killed
        heard += 1
        after = int(np.argmin(np.abs(ages_s)))
        assert abs(ages_s[after]) < 1e-6, "no state of that time was published"
        np.testing.assert_allclose(joints[after], transition.next_observation[:JOINTS], atol=1e-6)
        candidates = np.flatnonzero((ages_s > 0.4 * PERIOD_S) & (ages_s < 1.7 * PERIOD_S))
        shown = np.array(transition.observation[:JOINTS], dtype=np.float32)
        assert np.abs(joints[candidates] - shown).max(axis=1).min() < 1e-6
    assert heard > len(transitions) / 2
