"""Nonsense on every topic of the bridge: it neither crashes nor moves a joint out of its limits."""

import array

import numpy as np
import pytest
from helpers.commander import SERVO_ROBOTS
from helpers.rig import Rig
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Empty

from rosac_common import qos

pytestmark = pytest.mark.ros

MESSAGES = 300
# A servo stands this far off its goal while it is fast; goals themselves are exact to a tick.
OVERSHOOT_RAD, TICK_RAD = 0.15, 0.002
WILD = (0.0, -0.0, 1.0, 0.5, 1e-300, 1e300, -1e300, np.inf, -np.inf, np.nan, 3.14, 1e6)


def wild_numbers(rng, count):
    return array.array("d", [float(rng.choice(WILD)) if rng.random() < 0.3 else rng.normal(0, 3) for _ in range(count)])


def wild_names(rng, names):
    kind = rng.integers(6)
    if kind < 3:
        return list(rng.permutation(names))
    if kind == 3:
        return list(rng.permutation(names))[: rng.integers(len(names) + 1)]
    if kind == 4:
        return [*names, str(rng.choice(names))]
    return [*names[1:], "joint of nobody \u00e9\u4e2d"]


def wild_command(rng, rig):
    """Sometimes nearly right, so that it comes far; with the stamp of a real state, of none, or of nonsense."""
    own = rig.robot.joint_names
    names = own if rng.random() < 0.5 else wild_names(rng, rig.robot.all_joint_names)
    message = JointState(name=[str(name) for name in names])
    message.header.stamp = rig.commander.states[-1].header.stamp
    if rng.random() < 0.2:
        message.header.stamp.sec = int(rng.integers(-(2**31), 2**31))
        message.header.stamp.nanosec = int(rng.integers(2**32))
    count = len(names) if rng.random() < 0.8 else int(rng.integers(30))
    message.position = wild_numbers(rng, count)
    if rng.random() < 0.4:
        message.position = array.array("d", rng.uniform(-4, 4, count))
    if rng.random() < 0.3:
        message.effort = array.array("d", rng.choice([0.0, 1.0, 0.5, np.nan], count, p=[0.45, 0.45, 0.05, 0.05]))
    if rng.random() < 0.3:
        message.velocity = wild_numbers(rng, int(rng.integers(20)))
    return message


@pytest.fixture(params=SERVO_ROBOTS, ids=lambda robot: robot.name)
def rig(request):
    with Rig(request.param) as rig:
        rig.ready()
        rig.commander.goals = None
        yield rig


def assert_within_limits(rig):
    robot, status = rig.robot, rig.emulator.status()
    low = np.array([*robot.position_min_rad, *robot.auxiliary_position_min_rad])
    high = np.array([*robot.position_max_rad, *robot.auxiliary_position_max_rad])
    driven = np.array([servo["torque_on"] for servo in status["servos"]])
    goals = np.array([servo["goal_rad"] for servo in status["servos"]])
    for what, values, margin in (("goal", goals, TICK_RAD), ("position", status["position_rad"], OVERSHOOT_RAD)):
        beyond = np.maximum(low - values, np.array(values) - high)[driven]
        assert not beyond.size or beyond.max() < margin, (what, values)


def test_nonsense_commands(rig):
    rng = np.random.default_rng(1)
    commander, before = rig.commander, rig.commander.safety[-1]

    def judged():
        now = commander.safety[-1]
        names = ("commands_accepted", "commands_limited", "commands_refused")
        return sum(getattr(now, name) - getattr(before, name) for name in names)

    while judged() < MESSAGES:
        for _ in range(10):
            count = len(commander.states)
            commander.command.publish(wild_command(rng, rig))
            commander.until(lambda count=count: len(commander.states) > count, "the next state")
            assert not rig.stopped, list(commander.safety[-1].causes_detail)
        assert_within_limits(rig)
    assert commander.safety[-1].commands_refused > before.commands_refused
    assert commander.safety[-1].commands_limited > before.commands_limited
    commander.goals = rig.sway
    rig.until_moving()


def test_nonsense_on_the_safety_topics_and_services(rig):
    rng = np.random.default_rng(2)
    commander = rig.commander
    flags = [commander.node.create_publisher(Bool, f"safety/{name}", qos.EVENTS) for name in ("stop", "dead_man")]
    beats = [commander.node.create_publisher(Empty, f"safety/{name}", qos.EVENTS) for name in ("heartbeat", "manager")]
    commander.until(lambda: all(p.get_subscription_count() for p in (*flags, *beats)), "the bridge listens")
    commander.goals = rig.sway
    for number in range(MESSAGES):
        for publisher in flags:
            publisher.publish(Bool(data=bool(rng.integers(2))))
        for publisher in beats:
            publisher.publish(Empty())
        if rng.random() < 0.3:
            commander.try_call(f"safety/{rng.choice(['reset', 'arm'])}")
        if number % 10 == 0:
            assert_within_limits(rig)
    assert rig.process.process.poll() is None, rig.process.output()
    assert "Traceback" not in rig.process.output()
    rig.restart_bridge()  # one that nobody has to beat for
    rig.ready()
