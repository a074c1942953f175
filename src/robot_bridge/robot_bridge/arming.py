"""What must be in order before a robot moves: reset, arm, no second graph; in simulation, what a person would do."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from robot_bridge.backend import BackendError, MovableBackend, PosableBackend, RobotBackend
from robot_bridge.causes import Cause
from robot_bridge.gate import SafetyGate
from robot_bridge.gate_types import GateState
from robot_bridge.motion import MotionLoop
from robot_bridge.robot import RobotSettings


class Others(Protocol):
    """Who else may move the robot; texts are empty when nobody does."""

    def second_bridge(self) -> str:
        """Who else publishes states."""

    def second_commander(self) -> str:
        """Which two publish commands."""


class Arming:
    """Times are those of one steady clock [s]; the loop is None while the bridge is not active.

    Args:
        robot: its ranges.
        gate: resets and arms.
        backend: what a person would set up again.
        others: looked at before the robot is armed, and while it moves.
    """

    def __init__(self, robot: RobotSettings, gate: SafetyGate, backend: RobotBackend, others: Others) -> None:
        self._robot, self._gate, self._backend, self._others = robot, gate, backend, others
        self.loop: MotionLoop | None = None

    def reset(self, now_s: float) -> tuple[bool, str]:
        """Bring the robot back, if it is what has failed, and unlatch the gate. Returns success and message."""
        if self.loop is not None:
            try:
                self.loop.recover(now_s)
            except BackendError as error:
                return False, f"the robot does not come back: {error}"
        orders = self._gate.orders
        done = self._gate.reset()
        if self.loop is not None and self._gate.orders != orders:
            self.loop.enforce()
            if done[0] and self._gate.state is GateState.STOPPED:
                return False, f"the robot could not be switched off: {self._causes()}"
        return done

    def arm(self, now_s: float) -> tuple[bool, str]:
        """Torque on, if nothing is in the way. Returns success and message."""
        loop, gate = self.loop, self._gate
        if loop is None:
            return False, "the bridge is not active: configure and activate it"
        company = self._others.second_bridge() or self._others.second_commander()
        if company and gate.state is GateState.DISARMED:
            gate.stop(Cause.SECOND_GRAPH, True, company)
            loop.enforce()
            return False, company
        if gate.state is GateState.DISARMED and (problem := loop.look(now_s)):
            return False, problem
        obstacles = loop.obstacles(now_s)
        if obstacles:
            return False, "; ".join(obstacles)
        lies = loop.arm_problem(now_s)
        if lies is not None:
            gate.stop(lies[0], True, lies[1])
            loop.enforce()
            return False, lies[1]
        before = gate.state
        armed, message = gate.arm(loop.state.position_rad, now_s)
        if before is GateState.DISARMED and armed:
            loop.enforce()
            if gate.state is GateState.STOPPED:
                return False, f"the robot could not be switched on: {self._causes()}"
        return armed, message

    def _causes(self) -> str:
        return "; ".join(f"{report.cause}: {report.detail}" for report in self._gate.report().causes)

    def look_for_others(self, now_s: float) -> None:
        """A second bridge stops a robot that moves, whose task hears both; a second commander may be a task that was
        killed and started again, and is in the way of the next arming only."""
        problem = self._others.second_bridge()
        if problem and self.loop is not None and self._gate.may_move:
            self.loop.stop(Cause.SECOND_GRAPH, problem, now_s)
        elif not problem and not self._others.second_commander():
            self._gate.stop(Cause.SECOND_GRAPH, False, "")

    def put_back(self) -> None:
        """Set a robot that moves about on its mark."""
        self._backend.put_back()
        if self.loop is not None and self.loop.body is not None:
            self.loop.body.put_back()

    def revive(self, now_s: float) -> str:
        """What a person would do with a robot that has stopped, in simulation. Returns what came of it."""
        if isinstance(self._backend, MovableBackend):
            # First: without torque it does not stand for long.
            self.put_back()
            self.loop.refresh(now_s)
        elif isinstance(self._backend, PosableBackend):
            self._lay_in_range()
            self.loop.refresh(now_s)
        return f"{self.reset(now_s)[1]}; {self.arm(now_s)[1]}"

    def _lay_in_range(self) -> None:
        """Joints that were pushed out of their range without torque would stay there."""
        robot, position_rad = self._robot, self.loop.state.position_rad
        low = [*robot.position_min_rad, *robot.auxiliary_position_min_rad]
        high = [*robot.position_max_rad, *robot.auxiliary_position_max_rad]
        inside_rad = np.clip(position_rad, low, high)
        if (inside_rad != position_rad).any():
            self._backend.set_state(inside_rad)
