"""Conversions between messages and the core's types. Array fields go through `array.array`: assigning numpy is slow."""

from __future__ import annotations

import array

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from sac_interfaces.msg import Transition as TransitionMsg

from rosac_common.transition import EndReason, Source, Transition


def float32_array(values: npt.ArrayLike) -> array.array:
    """Any array as the `float32[]` of a message."""
    data = array.array("f")
    data.frombytes(np.ascontiguousarray(values, dtype=np.float32).tobytes())
    return data


def float64_array(values: npt.ArrayLike) -> array.array:
    """Any array as the `float64[]` of a message."""
    data = array.array("d")
    data.frombytes(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    return data


def stamp_from_nanoseconds(nanoseconds: int) -> Time:
    """Nanoseconds as a message time stamp."""
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def stamp_from_seconds(seconds: float) -> Time:
    """Seconds as a message time stamp, rounded to nanoseconds."""
    return stamp_from_nanoseconds(round(seconds * 1e9))


def seconds(stamp: Time) -> float:
    """A message time stamp in seconds."""
    return stamp.sec + stamp.nanosec * 1e-9


def nanoseconds(stamp: Time) -> int:
    """A message time stamp in nanoseconds: exact, for comparing stamps."""
    return stamp.sec * 10**9 + stamp.nanosec


def transition_to_message(transition: Transition) -> TransitionMsg:
    """A transition as it goes over the replay topic."""
    message = TransitionMsg()
    message.header.stamp = stamp_from_seconds(transition.stamp_s)
    message.session_id = transition.session_id
    message.sequence = transition.sequence
    message.episode = transition.episode
    message.step = transition.step
    message.policy_version = transition.policy_version
    message.source = int(transition.source)
    message.end_reason = int(transition.end_reason)
    message.observation = float32_array(transition.observation)
    message.requested_action = float32_array(transition.requested_action)
    message.executed_action = float32_array(transition.executed_action)
    message.reward = float(transition.reward)
    message.next_observation = float32_array(transition.next_observation)
    message.sensor_ages_s = float32_array(transition.sensor_ages_s)
    message.action_latency_s = float(transition.action_latency_s)
    return message


def transition_from_message(message: TransitionMsg) -> Transition:
    """A received transition.

    Raises:
        ValueError: an end reason or source that does not exist.
    """
    return Transition(
        session_id=message.session_id,
        sequence=message.sequence,
        episode=message.episode,
        step=message.step,
        policy_version=message.policy_version,
        source=Source(message.source),
        end_reason=EndReason(message.end_reason),
        observation=np.array(message.observation, dtype=np.float32),
        requested_action=np.array(message.requested_action, dtype=np.float32),
        executed_action=np.array(message.executed_action, dtype=np.float32),
        reward=message.reward,
        next_observation=np.array(message.next_observation, dtype=np.float32),
        sensor_ages_s=np.array(message.sensor_ages_s, dtype=np.float32),
        stamp_s=seconds(message.header.stamp),
        action_latency_s=message.action_latency_s,
    )
