"""A step machine in the midst of things that come in any order; of walking robots, too."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from helpers.recorder import Recorder
from robot_bridge.backend import RobotState
from robot_bridge.body_state import BodyState
from robot_bridge.gate_types import GateState
from robot_bridge.leg_kinematics import motor_angles
from robot_bridge.robot import load_robot
from rosac_common.settings import from_mapping
from rosac_common.transition import Source
from valve_task.machine import StepMachine
from valve_task.machine_io import ExecutedView, GateView, LearnerView, Phase, PolicyAction
from valve_task.reset_request import ResetRequest
from valve_task.settings import TaskNodeSettings

ROBOTS = Path(__file__).parents[3] / "config" / "robots"
TASKS = {
    "DClawTurn": "dclaw",
    "DClawPoseRandomDynamics": "dclaw",
    "MinitaurWalk": "minitaur",
    "MinitaurWalkCommand": "minitaur",
}
START_NS = 1_000_000_000_000


class Chaos:
    """A machine, a robot that does as told or not, and time."""

    def __init__(self, task: str, time_base: str, **changes: object) -> None:
        robot = load_robot(ROBOTS / f"{TASKS[task]}.yaml")
        values = {"time_base": time_base, "wait_for_learner": False, "task.name": task, **changes}
        joints = len(robot.joint_names)
        values |= {"teleop.axes": list(range(joints)), "teleop.scale": [1.0] * joints}
        values |= {f"robot.{key}": value for key, value in dataclasses.asdict(robot).items()}
        self.now_s, self.time_ns, self.tilt = 100.0, START_NS, 0.0
        self.out = Recorder()
        self.machine = StepMachine(from_mapping(TaskNodeSettings, values), self.out, lambda: self.now_s, "session")
        self.period_ns = round(self.machine.task.control_period_s * 1e9)
        self.count = len(robot.all_joint_names)
        standing = motor_angles(np.zeros(4), np.full(4, 2.0)) if TASKS[task] == "minitaur" else np.zeros(self.count)
        self.position = np.array(standing, dtype=float)
        self.way_m, self.gate_is_open = 0.0, False
        self.effort, self.measures = np.zeros(self.count), True
        self.pull, self.feels = np.array([0.0, 0.0, 9.81]), True  # otherwise the body shows the same again and again

    def send(self) -> None:
        body = None
        if self.count == 8:
            turned = np.array([np.cos(self.tilt / 2), np.sin(self.tilt / 2), 0.0, 0.0])
            place = np.array([self.way_m, 0.0, 0.25])
            if self.feels:
                self.pull = np.nextafter(self.pull, 10.0)
            body = BodyState(self.time_ns, turned, np.zeros(3), self.pull, place, np.zeros(3))
        zeros = np.zeros(self.count)
        if self.measures:
            self.effort = np.nextafter(self.effort, 1.0)
        self.machine.on_state(RobotState(self.time_ns, self.position.copy(), zeros, self.effort.copy(), body=body))

    def gate(self, state: GateState, *causes: str) -> None:
        self.gate_is_open = state in (GateState.ARMED, GateState.HOLD)
        self.machine.on_gate(GateView(int(state), causes, tuple(f"detail of {cause}" for cause in causes)))

    def answer(self, values: object, newest: bool = True) -> None:
        if self.out.observations:
            asked = self.out.observations[-1 if newest else 0]
            self.machine.on_action(PolicyAction(*asked[:4], values, Source.POLICY, 7))

    def executed(self, newest: bool = True) -> None:
        if self.out.commands:
            time_ns, goals, torque_on = self.out.commands[-1 if newest else 0]
            moved = np.arange(len(goals)) if torque_on is None else np.flatnonzero(torque_on)
            self.position[moved] = np.asarray(goals)[moved]
            own = np.asarray(goals)[: self.machine.task.action_size]
            self.machine.on_executed(ExecutedView(time_ns, own, time_ns + 1, self.time_ns + 10 * self.period_ns))

    def pass_time(self, periods: float) -> None:
        self.now_s += periods * self.period_ns * 1e-9
        self.time_ns += round(periods * self.period_ns)
        self.way_m += 0.004 * periods

    def work(self, periods: int, rng: np.random.Generator) -> None:
        """All do what they should."""
        for _ in range(periods):
            if self.machine.phase is Phase.PUTTING_BACK:
                self.machine.on_put_back(True, "")
            if self.machine.phase is Phase.RANDOMISING:
                self.machine.on_randomised(True, "")
            if self.machine.phase is Phase.ACTING:
                self.answer(rng.uniform(-1.0, 1.0, self.machine.task.action_size).astype(np.float32))
            self.executed()
            self.pass_time(1.0)
            self.send()
            self.machine.tick()

    def happen(self, event: str, rng: np.random.Generator) -> None:
        machine, size = self.machine, self.machine.task.action_size
        commands = len(self.out.commands)
        match event:
            case "work":
                self.work(int(rng.integers(1, 12)), rng)
            case "period":
                self.pass_time(1.0)
                self.send()
                machine.tick()
            case "answer":
                self.answer(rng.uniform(-1.2, 1.2, size).astype(np.float32))
            case "answer_old":
                self.answer(np.zeros(size, np.float32), newest=False)
            case "answer_nan":
                self.answer(np.full(size, np.nan, np.float32))
            case "answer_short":
                self.answer(np.zeros(size - 1, np.float32))
            case "executed" | "executed_old":
                self.executed(newest=event == "executed")
            case "tick":
                self.now_s += float(rng.uniform(0.0, 2.0)) * self.period_ns * 1e-9
                machine.tick()
            case "state":
                self.pass_time(float(rng.uniform(0.05, 2.0)))
                self.send()
            case "same_state":
                self.send()
            case "pause":
                self.pass_time(float(rng.uniform(5.0, 200.0)))
                machine.tick()
            case "restart":
                self.time_ns = START_NS + int(rng.integers(0, 10**9))
                self.send()
            case "falls":
                self.tilt = 3.0 - self.tilt
            case "gate_opens":
                self.gate(GateState.ARMED)
            case "gate_stops":
                self.gate(GateState.STOPPED, "joint_speed")
            case "gate_finds_a_frozen_joint":
                self.gate(GateState.STOPPED, "frozen_joint")
            case "measures":
                self.measures = not self.measures
            case "learner" | "learner_finished" | "learner_failed":
                failure = "no memory" if event == "learner_failed" else ""
                machine.on_learner(LearnerView("session", 10**6, event == "learner_finished", failure))
            case "joy":
                machine.on_joy(rng.uniform(-1, 1, 8).tolist(), rng.integers(0, 2, 12).tolist())
            case "put_back":
                machine.on_put_back(bool(rng.integers(2)), "said")
            case "randomised":
                machine.on_randomised(bool(rng.integers(2)), "said")
            case "velocity":
                machine.on_commanded_velocity(float(rng.uniform(-0.5, 0.5)))
            case "operator":
                machine.operator_done()
            case "reset" | "reset_interrupting":
                machine.request_reset(ResetRequest((), event == "reset_interrupting"))
            case "cancel":
                machine.cancel_reset()
        if not self.gate_is_open:
            assert len(self.out.commands) == commands, "a command while the gate is closed"
