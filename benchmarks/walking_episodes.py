"""Episodes of a walking policy in one process: how fast, how far, and what its legs and motors did."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import gymnasium
import numpy as np
from robot_bridge.leg_kinematics import swing_extension
from robot_bridge.simulation.motor_model import HOT_TORQUE_NM
from sac_learner.policy import PolicyNetwork


@dataclasses.dataclass(frozen=True)
class Walked:
    """One episode."""

    speed_m_s: float  # mean, forward: where the robot faced at the start
    fallen: bool
    success: bool  # by the task's own rule


@dataclasses.dataclass(frozen=True)
class Gait:
    """One episode, once a control step. Legs in the order of `leg_kinematics.LEGS`, motors in that of the robot."""

    period_s: float
    contact: np.ndarray  # (steps, 4): whether the foot touches the ground
    swing_rad: np.ndarray  # (steps, 4)
    extension_rad: np.ndarray  # (steps, 4)
    torque_nm: np.ndarray  # (steps, 8)
    walked: Walked

    @property
    def time_s(self) -> np.ndarray:
        """(steps,)"""
        return self.period_s * np.arange(1, len(self.contact) + 1)

    @property
    def hot_s(self) -> np.ndarray:
        """How long each motor (steps, 8) has given more than `HOT_TORQUE_NM` without a pause, as far as one look a
        control step tells."""
        hot_s = np.zeros_like(self.torque_nm)
        for step, hot in enumerate(np.abs(self.torque_nm) > HOT_TORQUE_NM):
            hot_s[step] = (hot_s[step - 1] + self.period_s) * hot if step else self.period_s * hot
        return hot_s

    @property
    def on_ground(self) -> np.ndarray:
        """Part of the time that each foot (4,) touches the ground."""
        return self.contact.mean(axis=0)

    @property
    def strides_hz(self) -> np.ndarray:
        """How often each foot (4,) comes down, per second."""
        return (np.diff(self.contact.astype(int), axis=0) > 0).sum(axis=0) / self.time_s[-1]


def walk(
    environment: gymnasium.Env, network: PolicyNetwork, observation: np.ndarray, look: Callable[[], None] | None = None
) -> Walked:
    """One episode with the mean action, from its first observation on; `look` is called after every step."""
    simulation = environment.unwrapped.simulation
    start = simulation.read().body
    ended = False
    while not ended:
        observation, _, fallen, out_of_time, info = environment.step(network.mean_action(observation))
        ended = fallen or out_of_time
        if look is not None:
            look()
    end = simulation.read().body
    forward = np.array([np.cos(start.yaw_rad), np.sin(start.yaw_rad)])
    elapsed_s = (end.time_ns - start.time_ns) * 1e-9
    speed = float((end.position_m - start.position_m)[:2] @ forward) / elapsed_s
    return Walked(speed, fallen, info["is_success"])


def walk_often(environment: gymnasium.Env, network: PolicyNetwork, episodes: int, seed: int) -> list[Walked]:
    """That many episodes; `seed` draws their starts, and with random dynamics their robots."""
    walked = []
    for episode in range(episodes):
        observation, _ = environment.reset(seed=seed if episode == 0 else None)
        walked.append(walk(environment, network, observation))
    return walked


def record_gait(environment: gymnasium.Env, network: PolicyNetwork, seed: int) -> Gait:
    """One episode, looked at after every control step."""
    observation, _ = environment.reset(seed=seed)
    simulation = environment.unwrapped.simulation
    contact, angles, torque = [], [], []

    def look() -> None:
        state = simulation.read()
        contact.append(simulation.foot_contacts())
        angles.append(swing_extension(state.position_rad))
        torque.append(simulation.data.actuator_force.copy())

    walked = walk(environment, network, observation, look)
    swing, extension = np.array(angles).transpose(1, 0, 2)
    period_s = environment.unwrapped.task.control_period_s
    return Gait(period_s, np.array(contact), swing, extension, np.array(torque), walked)
