"""Walking of a Minitaur (arXiv 1812.05905, section 6.2): forward, or with a velocity that somebody asks for."""

from __future__ import annotations

import collections
import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from robot_bridge.backend import RobotState
from robot_bridge.body_state import BodyState
from robot_bridge.leg_kinematics import motor_angles, swing_extension
from robot_bridge.robot import RobotSettings

from valve_task.tasks.base import Observation, Outcome, Start, Task, Variant
from valve_task.tasks.leg_action import LegActionMap
from valve_task.tasks.settings import TaskSettings

Array = npt.NDArray[np.float32]

# arXiv 1812.11103: the present reading, the last five readings and the last five actions.
HISTORY = 5
# Of one reading: eight motor angles, roll, pitch and their rates.
READING = 12
# Own figure: within this of the commanded velocity an episode succeeds.
COMMAND_TOLERANCE_M_S = 0.1
# Own figure: of the reward, so that a fall forwards is no disaster.
FASTEST_M_S = 1.0


class WalkTask(Task):
    """Observation: the reading (motor angles from those of action 0, roll, pitch, roll rate, pitch rate), the five
    readings before it, the five actions before it, each with the newest first; with a commanded velocity, that and the
    velocity that was measured over the last step.

    Forward is where the robot faces when the episode begins.
    """

    reward_terms: ClassVar[tuple[str, ...]] = ("velocity", "acceleration", "lean", "fold")
    error_unit: ClassVar[str] = "m/s"
    moves_about: ClassVar[bool] = True

    def __init__(self, settings: TaskSettings, robot: RobotSettings, variant: Variant) -> None:
        super().__init__(settings, robot, variant)
        self._walk = settings.walk
        self._command_range = np.array(self._walk.command_range_m_s)
        asked_m_s = [self._walk.goal_m_s, *(self._command_range if variant.commanded else ())]
        self._fastest_asked_m_s = float(np.abs(asked_m_s).max())
        self._stand_rad = motor_angles(np.zeros(4), np.full(4, self._walk.extension_centre_rad))
        self._readings: collections.deque[Array] = collections.deque(maxlen=HISTORY + 1)
        self._actions: collections.deque[Array] = collections.deque(maxlen=HISTORY)
        self._step = 0  # that was observed last
        self._state: RobotState | None = None  # then
        self._start: RobotState | None = None
        self._forward = np.array([1.0, 0.0])
        self.command_m_s = self._walk.goal_m_s  # velocity that is asked for
        self._shown_m_s = self.command_m_s  # in the observation that is answered now
        self._sum_m_s, self._evaluated = 0.0, 0  # of the velocities shown in this episode
        self._asked = False  # whether somebody, and not the draw, has done so

    @property
    def observation_size(self) -> int:
        return READING + HISTORY * (READING + self.action_size) + 2 * self.variant.commanded

    def draw(self, rng: np.random.Generator) -> Start:
        if self.variant.commanded and not self._asked:
            self.command_m_s = float(rng.uniform(*self._command_range))
        spread = rng.uniform(-self._walk.start_spread_rad, self._walk.start_spread_rad, (2, 4))
        pose = motor_angles(spread[0], self._walk.extension_centre_rad + spread[1])
        return Start(pose, pose, None)

    def stays(self, body: BodyState) -> None:
        """A drawn velocity leads back to the mark, so that the robot walks to and fro; if the range allows it."""
        if not self.variant.commanded or self._asked:
            return
        ahead = math.cos(body.yaw_rad) * body.position_m[0] + math.sin(body.yaw_rad) * body.position_m[1]
        back = -math.copysign(self.command_m_s, ahead)
        low, high = self._command_range
        if low <= back <= high:
            self.command_m_s = back

    def shaped(self, action: Array, last_action: Array, episode: int) -> Array:
        """Smoothed at first: a real robot's motors and gears suffer least."""
        if episode >= self._walk.smoothing_episodes:
            return action
        part = np.float32(self._walk.smoothing)
        return part * last_action + (1 - part) * action

    def observe(self, state: RobotState, step: int, last_action: Array) -> Observation:
        reading = self._reading(state)
        if step == 0:
            self._begin(state, reading)
        elif step == self._step:
            self._readings[0] = reading
        else:
            self._readings.appendleft(reading)
            self._actions.appendleft(last_action)
        self._step, self._state, self._shown_m_s = step, state, self.command_m_s
        speeds = [self.command_m_s, self._measured_m_s] if self.variant.commanded else []
        return np.concatenate([*self._readings, *self._actions, np.array(speeds, dtype=np.float32)])

    def observation_symmetry(self, joint_symmetry: list[int]) -> list[int] | None:
        """Only left and right may change places: the robot walks forward."""
        legs = self.actions.symmetry(joint_symmetry)[:4]
        if legs == [1, 2, 3, 4]:
            return list(range(1, self.observation_size + 1))
        if legs != [3, 4, 1, 2]:
            return None
        reading = [*joint_symmetry, -9, 10, -11, 12]
        action = self.actions.symmetry(joint_symmetry)
        rows = [self._shifted(reading, READING * i) for i in range(HISTORY + 1)]
        first = READING * (HISTORY + 1)
        rows += [self._shifted(action, first + self.action_size * i) for i in range(HISTORY)]
        if self.variant.commanded:
            rows.append([self.observation_size - 1, self.observation_size])
        return [place for row in rows for place in row]

    @property
    def relabelling(self) -> dict[str, Any]:
        """Whatever the robot did, it would have done had another velocity been asked for."""
        if not self.variant.commanded:
            return {}
        return {
            "velocity_places": [self.observation_size - 2, self.observation_size - 1],
            "velocity_range_m_s": self._command_range.tolist(),
            "reward_per_m_s": -self._walk.velocity,
        }

    def error(self, state: RobotState, step: int) -> float:
        """The mean speed since the start that is missing to success [m/s]."""
        if not step:
            return self._missing_m_s(0.0, self.command_m_s)
        # What was asked for may have changed within the episode.
        asked_m_s = self._sum_m_s / self._evaluated if self._evaluated else self.command_m_s
        return self._missing_m_s(self._speed_m_s(self._start, state) or 0.0, asked_m_s)

    def evaluate(self, state: RobotState, step: int, action: Array) -> Outcome:
        self._sum_m_s, self._evaluated = self._sum_m_s + self._shown_m_s, self._evaluated + 1
        terms = (self._velocity_term(state), self._acceleration_term(action), *self._posture_terms(state))
        fallen = self._fallen(state)
        missing = self.error(state, step)
        return Outcome(
            reward=sum(terms),
            terms=terms,
            error=missing,
            success=missing == 0.0 and not fallen,
            terminated=fallen,
            counts=self._counts(state.position_rad, state.velocity_rad_s),
        )

    def command(self, forward_m_s: float) -> str:
        if not self.variant.commanded:
            return super().command(forward_m_s)
        if not math.isfinite(forward_m_s):
            return f"commanded velocity {forward_m_s} is not finite; the one before stays in force"
        # A joystick asks for more than a robot can do, as bases of all kinds are asked. To stand is always allowed.
        low, high = min(0.0, self._command_range[0]), max(0.0, self._command_range[1])
        self.command_m_s, self._asked = min(high, max(low, float(forward_m_s))), True
        return ""

    def _action_map(self, settings: TaskSettings, robot: RobotSettings) -> LegActionMap:
        return LegActionMap(settings.walk, robot, self.control_period_s)

    def _reading(self, state: RobotState) -> Array:
        body = state.body
        if body is None:
            raise ValueError(f"task {self.name} needs the body's state: the robot needs imu/data and odom")
        rates = body.angular_velocity_rad_s
        angles = state.position_rad[: self.action_size] - self._stand_rad
        return np.array([*angles, body.roll_rad, body.pitch_rad, rates[0], rates[1]], dtype=np.float32)

    def _begin(self, state: RobotState, reading: Array) -> None:
        """It has always been like this, and nothing has been done."""
        self._start, self._measured_m_s = state, 0.0
        self._sum_m_s, self._evaluated = 0.0, 0
        yaw = state.body.yaw_rad
        self._forward = np.array([math.cos(yaw), math.sin(yaw)])
        self._readings.extend([reading] * (HISTORY + 1))
        self._actions.extend([np.zeros(self.action_size, dtype=np.float32)] * HISTORY)

    def _speed_m_s(self, before: RobotState, after: RobotState) -> float | None:
        """Mean forward velocity between two states, by the times of their positions; None: the later one brings no new
        position, since the odometry is slow or the bridge has said nothing in between."""
        elapsed_s = (after.body.placed_ns - before.body.placed_ns) * 1e-9
        if elapsed_s == 0.0:
            return None
        return float((after.body.position_m - before.body.position_m)[:2] @ self._forward) / elapsed_s

    def _missing_m_s(self, speed_m_s: float, asked_m_s: float) -> float:
        if self.variant.commanded:
            return max(0.0, abs(speed_m_s - asked_m_s) - COMMAND_TOLERANCE_M_S)
        return max(0.0, self._walk.success_speed_m_s - speed_m_s)

    def _velocity_term(self, state: RobotState) -> float:
        """safemrl: the goal less the distance to it. Until there is a new position, the robot is as fast as it was. The
        distance is to the velocity that the policy saw, not one that has come since. Whatever is asked for, to do it
        earns as much as the most that may be: else who is asked to stand earns nothing and learns to fall."""
        measured = self._speed_m_s(self._state, state)
        if measured is not None:
            self._measured_m_s = min(FASTEST_M_S, max(-FASTEST_M_S, measured))
        speed = self._measured_m_s
        return self._walk.velocity * (self._fastest_asked_m_s - abs(self._shown_m_s - speed))

    def _acceleration_term(self, action: Array) -> float:
        commanded = [self.actions.commanded_rad(each) for each in (action, self._actions[0], self._actions[1])]
        return self._walk.acceleration * float(np.abs(commanded[0] - 2 * commanded[1] + commanded[2]).mean())

    def _fallen(self, state: RobotState) -> bool:
        swing, _ = swing_extension(state.position_rad[: self.action_size])
        folded = np.abs(swing).max() > self._walk.folded_rad
        return bool(folded or state.body.upright < self._walk.fallen_upright)

    def _posture_terms(self, state: RobotState) -> tuple[float, float]:
        walk, body = self._walk, state.body
        lean = sum(max(0.0, abs(angle) - walk.lean_rad) for angle in (body.roll_rad, body.pitch_rad))
        swing, _ = swing_extension(state.position_rad[: self.action_size])
        fold = sum(max(0.0, swing[leg] - walk.fold_rad) for leg in (0, 2))
        return walk.lean * lean, walk.fold * float(fold)
