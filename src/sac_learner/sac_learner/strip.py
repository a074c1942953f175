"""A picture strip of one episode: frames from start to end side by side, rendered in the simulation."""

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

FRAMES = 8


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
        frames = _frames(environment, network, task.horizon_steps, seed)
    except RenderingUnavailable as error:
        raise StripUnavailable(str(error)) from error
    finally:
        environment.close()
    picture = np.concatenate(frames, axis=1)
    if not cv2.imwrite(str(output), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise OSError(f"cannot write {output}")
    return output


def _frames(environment: gymnasium.Env, network: PolicyNetwork, horizon: int, seed: int) -> list[npt.NDArray[np.uint8]]:
    observation, _ = environment.reset(seed=seed)
    wanted = set(np.linspace(0, horizon, FRAMES).round().astype(int).tolist())
    frames = [environment.render()]
    for step in range(1, horizon + 1):
        observation, _, terminated, truncated, _ = environment.step(network.mean_action(observation))
        if step in wanted:
            frames.append(environment.render())
        if terminated or truncated:
            break
    return frames
