"""A quadruped of eight servos, MuJoCo's Minitaur behind the emulated bus: what bad sensors and commands lead to, and
the walk task over the whole path, in both time bases.
"""

from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import walker as faults
from helpers.commander import Commander, hardware_bridge
from helpers.graph import GraphProcess
from helpers.patience import PATIENCE_S, until
from helpers.ros import call, ros_node, spin_until
from helpers.walker import PATIENCE, Walker
from robot_bridge.leg_kinematics import motor_angles
from robot_bridge.robot import load_robot
from rosac_common.transition import EndReason
from sac_interfaces.msg import EpisodeSummary, SafetyState, Transition
from sac_learner.episode_table import read_episodes
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rosac_common import qos

pytestmark = pytest.mark.ros

ROBOT_FILE = Path(__file__).parents[2] / "config" / "robots" / "minitaur_servos.yaml"
ROBOT = load_robot(ROBOT_FILE)
STAND = motor_angles(np.zeros(4), np.full(4, 2.0))
STRETCHED = motor_angles(np.zeros(4), np.array([2.0, 2.0, 3.1, 2.0]))
FAST = {"sac.batch_size": 32, "sac.hidden_sizes": [32, 32], "sac.initial_random_steps": 100, "sac.min_pool_steps": 100}
_TRIES = 5


class Rig:
    """Bridge, servos, sensors of the body, and someone who commands."""

    def __init__(self, node):
        self.walker = Walker(node, ROBOT)
        self.bridge = hardware_bridge(ROBOT, self.walker.emulator.port, **PATIENCE)
        self.commander = Commander(node, ROBOT)
        self.commander.connect(simulated=False)

    def close(self):
        self.bridge.close()
        self.walker.close()

    @property
    def causes(self):
        """Of the gate, with what it says of them."""
        newest = self.commander.safety[-1]
        return dict(zip(newest.causes, newest.causes_detail, strict=True))

    def stand(self):
        """Whatever happened before: on its mark, armed, and told to stand. Once more if a machine that stalls stops
        it."""
        self.walker.spoil = None
        self.walker.emulator.clear_faults()
        for _ in range(_TRIES):
            self.commander.goals = None
            self.commander.until(self.restored, "no stop after a reset")
            self.walker.emulator.put_back()
            self.commander.until(lambda: self.restored() and self.commander.try_call("safety/arm").success, "armed")
            self.commander.goals = lambda state: STAND.tolist()
            self.commander.until(lambda: self.state in (SafetyState.ARMED, SafetyState.STOPPED), "it stands")
            if self.state == SafetyState.ARMED:
                return
        raise AssertionError(f"stopped again and again: {self.causes}")

    def restored(self):
        """Whether a reset has ended the stop; asks for one."""
        if self.state == SafetyState.STOPPED:
            self.commander.try_call("safety/reset")
        return self.state != SafetyState.STOPPED

    @property
    def state(self):
        return self.commander.safety[-1].state


@pytest.fixture(scope="module")
def module_rig():
    with ros_node("walker") as node:
        rig = Rig(node)
        yield rig
        rig.close()


@pytest.fixture
def rig(module_rig):
    module_rig.stand()
    return module_rig


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda _: faults.silent_imu, "imu/data is silent for"),
        (faults.stale_imu, "imu/data is silent for"),
        (lambda _: faults.nan_imu, "the inertial sensor reports a value that is not finite"),
        (lambda _: faults.unnormalised_imu, "the inertial sensor's quaternion has norm 1.1314"),
        (lambda _: faults.silent_odometry, "odom is silent for"),
        (lambda _: faults.nan_odometry, "the odometry reports a value that is not finite"),
        (lambda _: faults.jumping_odometry(), "the odometry jumps by "),
    ],
    ids=["imu silent", "imu stale", "imu NaN", "imu not normalised", "odom stops", "odom NaN", "odom jumps"],
)
def test_a_bad_sensor_of_the_body_stops_the_robot_until_it_is_mended_reset_and_armed(rig, fault, said):
    commander, walker = rig.commander, rig.walker
    walker.spoil = fault(walker)
    commander.until_safety(SafetyState.STOPPED)
    assert rig.causes["body_sensor"].startswith(said), rig.causes
    commander.until(lambda: not walker.has_torque(), "torque off")
    assert not commander.try_call("safety/arm").success
    commander.until(lambda: not commander.try_call("safety/reset").success, "no reset while it lasts")
    walker.spoil = None
    commander.until(rig.restored, "reset once it is mended")
    assert rig.state == SafetyState.DISARMED
    assert not walker.has_torque()
    rig.stand()
    commander.until(walker.has_torque, "it stands again")


def test_a_robot_on_its_back_is_not_armed(rig):
    commander, walker = rig.commander, rig.walker
    commander.press(True)
    commander.until(lambda: rig.state == SafetyState.STOPPED and not walker.has_torque(), "stopped")
    walker.spoil = faults.on_its_back
    commander.press(False)
    commander.until(rig.restored, "disarmed")
    commander.until(lambda: not commander.try_call("safety/arm").success, "not armed")
    commander.until_safety(SafetyState.STOPPED)
    assert rig.causes["upside_down"].startswith("the robot lies with -1.00 of its z axis up, at least 0.5 is needed")
    assert not walker.has_torque()
    rig.stand()


def test_a_command_that_leads_out_of_the_legs_workspace_moves_nothing(rig):
    commander, walker = rig.commander, rig.walker

    def held():
        if rig.state == SafetyState.STOPPED:  # a machine that stalls
            rig.stand()
        commander.goals = lambda state: STRETCHED.tolist()
        return rig.state == SafetyState.HOLD and "bad_command" in rig.causes

    commander.until(held, "held, cause named")
    assert (
        "leg front_right: extension 3.100 rad (mean of its motors) is outside its workspace"
        in rig.causes["bad_command"]
    )
    np.testing.assert_allclose(walker.goals(), STAND, atol=0.01)
    commander.goals = lambda state: STAND.tolist()
    commander.until_safety(SafetyState.ARMED)


def test_a_motor_at_its_thermal_limit_stops_the_robot(rig):
    rig.walker.emulator.fault("temperature", id=3, celsius=78.0)
    rig.commander.until_safety(SafetyState.STOPPED)
    assert "temperature" in rig.causes
    rig.commander.until(lambda: not rig.walker.has_torque(), "torque off")
    rig.walker.emulator.fault("temperature", id=3, celsius=30.0)


# the task


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
        until(lambda: len(read_episodes(table)) >= 3 or graph.process.poll() is not None, "episodes", 10 * PATIENCE_S)
        rows = read_episodes(table)
        assert len(rows) >= 3, graph.output()
    reasons = {EndReason(int(row["end_reason"])) for row in rows}
    assert reasons & {EndReason.TIME_LIMIT, EndReason.TERMINATED}, reasons
    if time_base == "lockstep":
        assert reasons <= {EndReason.TIME_LIMIT, EndReason.TERMINATED}


def test_a_bad_reading_ends_the_episode_and_gets_into_no_transition(tmp_path):
    """As on a bench: the sensors' own drivers, an operator who arms and puts back, real time."""
    transitions, episodes, safety, questions = [], [], [], []
    with ros_node("bench") as node:
        walker = Walker(node, ROBOT)
        bridge = {**PATIENCE, "gate.command_timeout_periods": 50.0}  # a busy machine's task answers late
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
            if safety and safety[-1].state == SafetyState.STOPPED:
                call(node, Trigger, "safety/reset")
            elif safety and safety[-1].state == SafetyState.DISARMED:
                walker.emulator.put_back()
                call(node, Trigger, "safety/arm")
            elif questions and questions[-1].data:
                walker.emulator.put_back()
                call(node, Trigger, "operator/done")
            return len(transitions) >= wanted

        with GraphProcess("up", *arguments, directory=tmp_path, stack="minitaur_walk") as graph:
            try:
                wanted = 30
                spin_until(node, acting, 5 * PATIENCE_S, "transitions")
                walker.spoil = faults.nan_imu
                spin_until(node, lambda: safety[-1].state == SafetyState.STOPPED, what="stopped")
                spin_until(
                    node,
                    lambda: episodes and episodes[-1].end_reason == EndReason.SAFETY_STOP,
                    what="the episode's end",
                )
                walker.spoil, wanted = None, len(transitions) + 30
                spin_until(node, acting, 5 * PATIENCE_S, "more transitions")
            except AssertionError as error:
                raise AssertionError(f"{error}\n{graph.output()}") from None
        walker.close()
    for transition in transitions:
        assert np.isfinite(transition.observation).all()
        assert np.isfinite(transition.next_observation).all()
        assert np.isfinite(transition.reward)
