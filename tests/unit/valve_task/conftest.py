"""A robot that goes where it is told at once, and a record of what the step machine did to the world."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers.recorder import Recorder
from robot_bridge.backend import RobotState
from robot_bridge.gate_types import GateState
from robot_bridge.robot import load_robot
from rosac_common.settings import from_mapping
from rosac_common.transition import Source
from valve_task.machine import StepMachine
from valve_task.machine_io import ExecutedView, GateView, LearnerView, Phase, PolicyAction
from valve_task.settings import TaskNodeSettings

ROBOT_FILE = Path(__file__).parents[3] / "config" / "robots" / "dclaw.yaml"
START_NS = 1_000_000_000_000


@pytest.fixture(scope="session")
def robot():
    """The D'Claw's robot file."""
    return load_robot(ROBOT_FILE)


@pytest.fixture
def make_state():
    """A state at rest: `make_state(time_s, joints=..., valve=..., velocity=...)`."""

    def make(time_s=0.0, joints=0.0, valve=0.0, velocity=0.0):
        position = np.append(np.broadcast_to(joints, 9), valve).astype(float)
        return RobotState(round(time_s * 1e9), position, np.append(np.broadcast_to(velocity, 9), 0.0), np.zeros(10))

    return make


class World:
    """A step machine with everything around it: clock, robot, gate, actor and learner, moved by hand."""

    def __init__(self, robot, time_base, **changes):
        values = {"time_base": time_base, "wait_for_learner": False, **changes}
        settings = from_mapping(
            TaskNodeSettings, values | {f"robot.{k}": v for k, v in dataclasses.asdict(robot).items()}
        )
        self.now_s = 100.0
        self.out = Recorder()
        self.machine = StepMachine(settings, self.out, lambda: self.now_s, "session")
        self.period_s = self.machine.task.control_period_s
        self.time_ns = START_NS
        self.position = np.append(np.zeros(9), 0.3)
        self.velocity, self.effort = np.zeros(10), np.zeros(10)
        self.measures = True  # otherwise the joints show the same again and again
        self.period_ns = round(self.period_s * 1e9)

    @property
    def loop(self):
        return self.machine.loop

    def gate(self, state=GateState.ARMED, *causes):
        self.machine.on_gate(GateView(int(state), causes, tuple(f"detail of {cause}" for cause in causes)))

    def learner(self, limit, session="session", finished=False, failure=""):
        self.machine.on_learner(LearnerView(session, limit, finished, failure))

    def state(self):
        """Send the state as it is now."""
        if self.measures:  # no two readings are the same to the bit
            self.shown, self.effort = self.position.copy(), np.nextafter(self.effort, 1.0)
        self.machine.on_state(RobotState(self.time_ns, self.shown.copy(), self.velocity.copy(), self.effort.copy()))

    def execute(self, goals=None):
        """The robot executes the newest command (or other goals) at once; what was executed is told."""
        time_ns, asked, torque_on = self.out.commands[-1]
        goals = asked if goals is None else goals
        moves = np.arange(10) < 9 if torque_on is None else torque_on
        self.position = np.where(moves, [*goals, *self.position[len(goals) :]], self.position)
        self.executed(time_ns, goals)

    def executed(self, command_ns, goals, since_ns=None, until_ns=None):
        """The bridge tells what has been in force since that command, or between those readings."""
        since_ns = command_ns + 1 if since_ns is None else since_ns
        until_ns = self.time_ns + 10 * self.period_ns if until_ns is None else until_ns
        self.machine.on_executed(ExecutedView(command_ns, np.array(goals[:9]), since_ns, until_ns))

    def answer(self, action=0.0, observation=None, source=Source.POLICY, version=7):
        """The actor answers the newest observation."""
        asked = observation or self.out.observations[-1]
        values = np.broadcast_to(np.asarray(action, dtype=np.float32), 9) if np.ndim(action) == 0 else action
        self.machine.on_action(PolicyAction(*asked[:4], values, source, version))

    # lockstep

    def turn(self):
        """Lockstep: the newest command is executed, time goes on, the next state is sent."""
        self.execute()
        self.time_ns += self.period_ns
        self.state()

    def start(self):
        """Bridge and gate appear; the reset is carried out until the first observation."""
        self.state()
        self.gate()
        return self.finish_reset()

    def finish_reset(self):
        for _ in range(200):
            if self.machine.phase is not Phase.RESETTING:
                return self
            if self.machine.settings.time_base == "lockstep":
                self.turn()
            else:
                self.period()
        raise AssertionError(f"reset does not end: {self.machine.reset_progress}")

    def step(self, action=0.0, **keywords):
        """Lockstep: one control step."""
        self.answer(action, **keywords)
        self.turn()

    # real time

    def elapse(self):
        """Real time: one control period passes, a state comes, the timer ticks; nothing more is executed."""
        self.now_s += self.period_s
        self.time_ns += self.period_ns
        self.state()
        self.machine.tick()

    def period(self, action=None, states=1):
        """Real time: a command that waits is executed, one control period passes, a state comes, the timer ticks."""
        if self.out.commands and self.out.commands[-1][0] == self.time_ns:
            self.execute()
        for _ in range(states):
            self.now_s += self.period_s / states
            self.time_ns += self.period_ns // states
            self.state()
        self.now_s += 0.001
        self.machine.tick()
        self.now_s += 0.001
        if action is not None and self.machine.phase is Phase.ACTING:
            self.answer(action)


@pytest.fixture
def world(robot):
    """`world("lockstep", **{"task.name": ...})`."""

    def make(time_base="lockstep", **changes):
        return World(robot, time_base, **changes)

    return make


@pytest.fixture
def started(world):
    """`started()`: in real time, after the reset, at the first observation."""

    def start(**changes):
        w = world("realtime", **changes)
        w.state()
        w.gate()
        return w.finish_reset()

    return start
