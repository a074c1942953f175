"""A quadruped of eight servos, MuJoCo's Minitaur behind the emulated bus: the walk task over the whole path."""

import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import walker as faults
from helpers.graph import GraphProcess
from helpers.patience import PATIENCE_S, until
from helpers.ros import call, ros_node, spin_until
from helpers.truth import assert_true
from helpers.walker import PATIENCE, Walker
from robot_bridge.emulator import ReadingHistory
from robot_bridge.leg_kinematics import motor_angles
from robot_bridge.robot import load_robot
from rosac_common.transition import EndReason
from sac_interfaces.msg import EpisodeSummary, SafetyState, Transition
from sac_learner.runs.episode_table import read_episodes
from std_msgs.msg import String
from std_srvs.srv import Trigger
from valve_task.tasks import TaskSettings, make_task

from rosac_common import qos

pytestmark = pytest.mark.ros

ROBOT_FILE = Path(__file__).parents[2] / "config" / "robots" / "minitaur_servos.yaml"
ROBOT = load_robot(ROBOT_FILE)
FAST = {
    "sac.batch_size": 32,
    "sac.hidden_sizes": [32, 32],
    "sac.initial_random_steps": 100,
    "sac.min_pool_steps": 100,
    "sac.gradients": "derived",
}


def own_file(path, **nodes):
    """The robot file, and parameters of single nodes, in one file for `params:=`."""
    document = yaml.safe_load(ROBOT_FILE.read_text())
    document |= {f"/**/{node}": {"ros__parameters": values} for node, values in nodes.items()}
    path.write_text(yaml.safe_dump(document))
    return f"params:={path}"


@pytest.mark.parametrize("time_base", ["lockstep", "realtime"])
def test_it_walks_over_the_bus_with_one_argument(tmp_path, time_base):
    own = own_file(
        tmp_path / "own.yaml",
        learner=FAST,
        task={"task.horizon_steps": 60},
        bridge={name: value for name, value in PATIENCE.items() if name != "realtime_priority"},
    )
    arguments = ("backend:=dynamixel", "port:=emulator", f"time_base:={time_base}", "steps:=0", "run:=legs", own)
    with GraphProcess("up", *arguments, directory=tmp_path, stack="minitaur_walk") as graph:
        table = tmp_path / "runs/legs/episodes.csv"
        until(lambda: len(read_episodes(table)) >= 3 or graph.process.poll() is not None, "episodes", 3 * PATIENCE_S)
        rows = read_episodes(table)
        assert len(rows) >= 3, graph.output()
    reasons = {EndReason(int(row["end_reason"])) for row in rows}
    assert reasons & {EndReason.TIME_LIMIT, EndReason.TERMINATED}, reasons
    if time_base == "lockstep":
        assert reasons <= {EndReason.TIME_LIMIT, EndReason.TERMINATED}


# Where its joints are observed as 0.
STAND = motor_angles(np.zeros(4), np.full(4, 2.0))
# max_observation_age_s
OLDEST_S = 0.06
BODY_FAULTS = (
    faults.nan_imu,
    faults.unnormalised_imu,
    faults.imu_without_orientation,
    faults.silent_imu,
    faults.late_imu,
    faults.unstamped_odometry,
    faults.nan_odometry,
    faults.silent_odometry,
    faults.jumping_odometry(),
    faults.odometry_that_jumped_once(),
)
SERVO_FAULTS = (  # and one of their causes
    ("silent", {"id": 2}, {"read_failed", "robot_failed"}),
    ("lost", {"rate": 1.0}, {"read_failed", "robot_failed"}),
    ("corrupt", {"rate": 1.0}, {"read_failed", "robot_failed"}),
    ("reboot", {"id": 5}, {"read_failed", "robot_failed"}),
    ("hardware_error", {"id": 7, "bit": 5}, {"hardware_error"}),
    ("voltage", {"id": 1, "volts": 5.0}, {"hardware_error"}),
    ("stale_encoder", {"id": 4}, {"frozen_joint"}),
    ("unplug", {}, {"connection_lost"}),
)
# All the while sync writes of goals do not arrive, and the task stands still now and then, so that messages queue up.
NOISE = {"lost_writes": {"rate": 0.05}}
PAUSE_EVERY_S, PAUSE_S = 0.5, 0.03
TRIES, TOLD_WITHIN_S = 5, 1.0


def test_a_bad_reading_ends_the_episode_and_gets_into_no_transition(tmp_path):
    """As on a bench: the sensors' own drivers, an operator who arms and puts back, real time."""
    transitions, episodes, safety, questions, readings = [], [], [], [], ReadingHistory()
    with ros_node("bench") as node:
        walker = Walker(node, ROBOT)
        # A busy machine's task answers late, and its robot stands still under load.
        bridge = {**PATIENCE, "robot.safety.command_timeout_periods": 50.0, "robot.safety.current_time_s": 10.0}
        bridge["bus.reply_timeout_s"] = 0.1
        task = {name: value for name, value in PATIENCE.items() if name.startswith("robot.body.")}
        own = own_file(tmp_path / "own.yaml", learner=FAST, bridge=bridge, task=task)
        arguments = ("backend:=dynamixel", f"port:={walker.emulator.port}", "steps:=0", "run:=bench", own)
        node.create_subscription(Transition, "replay", transitions.append, qos.REPLAY)
        node.create_subscription(EpisodeSummary, "episode", episodes.append, qos.EPISODES)
        node.create_subscription(SafetyState, "safety/state", safety.append, qos.LATCHED)
        node.create_subscription(String, "operator/request", questions.append, qos.LATCHED)

        def acting():
            """The operator does what is asked for, until the robot acts."""
            assert graph.process.poll() is None, "rosac has ended"
            readings.add(walker.emulator.take_readings())
            if safety and safety[-1].state == SafetyState.STOPPED:
                walker.emulator.put_back()  # legs without torque may fold out of their range
                call(node, Trigger, "safety/reset")
            elif safety and safety[-1].state == SafetyState.DISARMED:
                walker.emulator.put_back()
                call(node, Trigger, "safety/arm")
            elif questions and questions[-1].data:
                walker.emulator.put_back()
                call(node, Trigger, "operator/done")
            return len(transitions) >= wanted

        def stopped():
            return safety[-1].state == SafetyState.STOPPED

        def suffered(fault):
            """Whether it stopped the robot; one that was without torque just then, or that was stopped because this
            machine stalled, goes on without."""
            nonlocal wanted
            befall(walker, fault)
            spin_until(node, lambda: stopped() or not walker.has_torque(), what=f"stopped by {fault}")
            end_s = time.monotonic() + TOLD_WITHIN_S
            spin_until(node, lambda: stopped() or time.monotonic() > end_s, what="it says so")
            expected = {"body_sensor"} if fault in BODY_FAULTS else fault[2]
            by_it = stopped() and bool(expected & set(safety[-1].causes))
            mend(walker)
            wanted = len(transitions) + 30
            spin_until(node, acting, 3 * PATIENCE_S, "more transitions")
            return by_it

        with GraphProcess("up", *arguments, directory=tmp_path, stack="minitaur_walk") as graph:
            pauses = node.create_timer(PAUSE_EVERY_S, lambda: graph.pause_node("task", PAUSE_S))
            try:
                wanted = 30
                spin_until(node, acting, 3 * PATIENCE_S, "transitions")
                for fault in (*BODY_FAULTS, *SERVO_FAULTS):
                    assert any(suffered(fault) for _ in range(TRIES)), f"never stopped by {fault}"
            except AssertionError as error:
                raise AssertionError(f"{error}\n{graph.output()}") from None
            finally:
                pauses.cancel()
        assert walker.emulator.status()["faults_unseen"]["lost_writes"] > 0
        walker.close()
    asked = {question.data.split(",")[0] for question in questions}
    assert {"Hold the robot up", "Set the robot on its mark and take your hands off; then call operator/done"} <= asked
    assert EndReason.SAFETY_STOP in {episode.end_reason for episode in episodes}
    measured = np.array(walker.measured)
    for transition in transitions:
        assert np.isfinite(transition.reward)
        joints_s, imu_s, _ = transition.sensor_ages_s
        assert max(joints_s, imu_s) <= OLDEST_S
        for observation in (transition.observation, transition.next_observation):
            assert np.isfinite(observation).all()
            shown = np.array(observation)[8:12]
            assert np.abs(measured - shown).max(axis=1).min() < 1e-5, f"{shown} was not measured"
    settings = TaskSettings(name="MinitaurWalk", control_period_s=0.02)
    assert_true(transitions, readings, make_task(settings, ROBOT).actions, settings.control_period_s, STAND)


def befall(walker, fault):
    """A fault of the body's sensors, or of the servos."""
    if fault in BODY_FAULTS:
        walker.spoil = fault
    else:
        kind, values, _ = fault
        walker.emulator.fault(kind, **values)


def mend(walker):
    """All in order but for the noise."""
    walker.spoil = None
    walker.emulator.clear_faults()
    for kind, rates in NOISE.items():
        walker.emulator.fault(kind, **rates)
