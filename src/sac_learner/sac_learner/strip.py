"""A picture strip of one episode: frames from start to end, row by row, rendered in the simulation."""

from __future__ import annotations

from pathlib import Path

import cv2
import gymnasium
import numpy as np
import numpy.typing as npt
from rosac_common.settings import to_mapping
from valve_task.env import RenderingUnavailable

from sac_learner.policy import PolicyNetwork, load_policy
from sac_learner.run_directory import Run
from sac_learner.stacks import complete_arguments, find_stack, resolve

ROWS, COLUMNS = 2, 4
FRAME_SIZE = (320, 240)


class StripUnavailable(RuntimeError):
    """Rendering is not possible here; the message says why and what to install."""


def record_strip(run: Run, policy: Path, output: Path, seed: int = 0) -> Path:
    """Run one deterministic episode in the simulation and write its strip as PNG.

    Raises:
        StripUnavailable: there are no rendering libraries.
    """
    network = PolicyNetwork(load_policy(policy))
    stack = find_stack(run.stack)
    graph = resolve(stack, complete_arguments(stack, run.arguments), run.name, run.path)
    task = graph.parameters["task"].task
    environment = gymnasium.make(f"rosac/{task.name}-v0", render_mode="rgb_array", task=to_mapping(task))
    try:
        frames = _frames(environment, network, seed)
    except RenderingUnavailable as error:
        raise StripUnavailable(str(error)) from error
    finally:
        environment.close()
    small = [cv2.resize(frame, FRAME_SIZE, interpolation=cv2.INTER_AREA) for frame in frames]
    picture = np.concatenate([np.concatenate(small[i : i + COLUMNS], axis=1) for i in range(0, len(small), COLUMNS)])
    if not cv2.imwrite(str(output), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise OSError(f"cannot write {output}")
    return output


def _frames(environment: gymnasium.Env, network: PolicyNetwork, seed: int) -> list[npt.NDArray[np.uint8]]:
    """ROWS x COLUMNS pictures of one episode, evenly spaced in time."""
    observation, _ = environment.reset(seed=seed)
    horizon = environment.unwrapped.task.horizon_steps
    steps = np.linspace(0, horizon, ROWS * COLUMNS).round().astype(int).tolist()
    frames = [environment.render()]
    for step in range(1, horizon + 1):
        observation, *_ = environment.step(network.mean_action(observation))
        if step in steps:
            frames.append(environment.render())
    return frames
