"""PolicyWeights.msg to and from the core's `PolicyWeights`."""

from __future__ import annotations

import array
import math

import numpy as np
from rosac_common.messages import float32_array
from sac_interfaces.msg import PolicyWeights as PolicyWeightsMsg

from sac_learner.policy import PolicyError, PolicyWeights


def policy_to_message(weights: PolicyWeights) -> PolicyWeightsMsg:
    """A sealed policy as it goes over the policy topic."""
    message = PolicyWeightsMsg()
    message.run, message.version = weights.run, weights.version
    message.transitions, message.updates = weights.transitions, weights.updates
    message.explore_uniformly = weights.explore_uniformly
    message.tensor_names = list(weights.tensors)
    message.tensor_ranks = array.array("I", (tensor.ndim for tensor in weights.tensors.values()))
    message.tensor_dimensions = array.array("I", (n for tensor in weights.tensors.values() for n in tensor.shape))
    message.data = float32_array(np.concatenate([tensor.reshape(-1) for tensor in weights.tensors.values()]))
    message.observation_mean = float32_array(weights.observation_mean)
    message.observation_std = float32_array(weights.observation_std)
    message.checksum = weights.checksum
    return message


def policy_from_message(message: PolicyWeightsMsg) -> PolicyWeights:
    """A received policy; its arrays look into the message's memory.

    Raises:
        PolicyError: names, ranks, dimensions and data do not fit together.
    """
    names, ranks = list(message.tensor_names), list(message.tensor_ranks)
    dimensions = list(message.tensor_dimensions)
    if len(names) != len(ranks) or len(set(names)) != len(names) or sum(ranks) != len(dimensions):
        raise PolicyError(
            f"{len(names)} tensor names ({len(set(names))} different), {len(ranks)} ranks with sum {sum(ranks)} and "
            f"{len(dimensions)} dimensions do not fit together"
        )
    data = np.frombuffer(message.data, dtype=np.float32)
    shapes, start = [], 0
    for rank in ranks:
        shapes.append(tuple(dimensions[start : start + rank]))
        start += rank
    sizes = [math.prod(shape) for shape in shapes]
    if sum(sizes) != data.size:
        raise PolicyError(f"data has {data.size} values, the shapes ask for {sum(sizes)}")
    ends = np.cumsum([0, *sizes]).tolist()
    tensors = {
        name: data[begin : begin + size].reshape(shape)
        for name, begin, size, shape in zip(names, ends, sizes, shapes, strict=False)
    }
    return PolicyWeights(
        run=message.run,
        version=message.version,
        transitions=message.transitions,
        updates=message.updates,
        explore_uniformly=message.explore_uniformly,
        tensors=tensors,
        observation_mean=np.frombuffer(message.observation_mean, dtype=np.float32),
        observation_std=np.frombuffer(message.observation_std, dtype=np.float32),
        checksum=message.checksum,
    )
