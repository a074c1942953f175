"""A picture strip of one episode: frames from start to end, row by row, rendered in the simulation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import gymnasium
import numpy as np
import numpy.typing as npt
from valve_task.env import RenderingUnavailable

from sac_learner.policy import PolicyNetwork, load_policy
from sac_learner.runs.run_directory import Run
from sac_learner.runs.run_environment import run_environment

ROWS, COLUMNS = 2, 4
FRAME_SIZE = (320, 240)


class StripUnavailable(RuntimeError):
    """Rendering is not possible here; the message says why and what to do."""


def record_strip(run: Run, policy: Path, output: Path, seed: int = 0, changes: Mapping[str, str] | None = None) -> Path:
    """Run one deterministic episode in the simulation and write its strip as PNG.

    Args:
        run: whose task and settings are used.
        policy: an exported policy.
        output: the picture.
        seed: of the episode.
        changes: arguments that differ from the run's, such as {"terrain": "stairs"}.

    Raises:
        StripUnavailable: there are no rendering libraries.
    """
    network = PolicyNetwork(load_policy(policy))
    environment = run_environment(run, changes or {}, "rgb_array")
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
    """ROWS x COLUMNS pictures of one episode, evenly spaced in time; after a fall the last one stays."""
    observation, _ = environment.reset(seed=seed)
    horizon = environment.unwrapped.task.horizon_steps
    steps = np.linspace(0, horizon, ROWS * COLUMNS).round().astype(int).tolist()
    frames = [environment.render()]
    ended = False
    for step in range(1, horizon + 1):
        if not ended:
            observation, _, terminated, truncated, _ = environment.step(network.mean_action(observation))
            ended = terminated or truncated
        if step in steps:
            frames.append(environment.render())
    return frames
