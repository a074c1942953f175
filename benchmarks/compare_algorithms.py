"""The algorithms that the comparisons compare, with their settings and where those come from.

rosac's own modes run as `rosac gym` does; the others are Stable-Baselines3's, with its defaults where nothing else is
said. All run on the same environment, each on one thread.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3 import DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import VecEnv

# Transitions of one batch of PPO: arXiv 1707.06347, table 3 (horizon), and Stable-Baselines3's default.
PPO_HORIZON = 2048


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """One curve of the comparison."""

    name: str
    steps: int  # control steps, if nothing else is asked for
    source: str  # where the settings come from
    mode: str = ""  # of rosac; empty: an algorithm of Stable-Baselines3
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of the mode
    normalised: bool = False  # running normalisation of observations and rewards
    chunk_steps: int = 1  # evaluations come at multiples of this

    @property
    def own(self) -> bool:
        """Whether it is rosac's."""
        return bool(self.mode)


_PPO_SOURCE = "arXiv 1707.06347, table 3: Stable-Baselines3's defaults"
# Reward scale s at alpha 1 is alpha 1/s at scale 1.
_TEMPERATURES = {
    0.05: "reward scale 20, the larger one of arXiv 1801.01290, table 2",
    0.2: "reward scale 5, that of most tasks in arXiv 1801.01290, table 2",
    1.0: "reward scale 1, the start of the learned temperature",
}


def algorithms(*, off_policy_steps: int, efficient_steps: int, ppo_batches: int) -> dict[str, Algorithm]:
    """By name; what is off-policy takes one number of control steps, mode efficient another, PPO so many batches."""
    ppo_steps = ppo_batches * PPO_HORIZON
    made = [
        Algorithm("efficient", efficient_steps, "docs/sac.md, mode efficient", mode="efficient"),
        Algorithm("sac", off_policy_steps, "arXiv 1812.05905, App. D", mode="sac"),
        *(
            Algorithm(
                name=f"sac_fixed_{temperature:g}",
                steps=off_policy_steps,
                source=f"arXiv 1812.05905, App. D; alpha {temperature:g}: {why}",
                mode="sac_fixed_temperature",
                changes={"sac.fixed_temperature": temperature},
            )
            for temperature, why in _TEMPERATURES.items()
        ),
        Algorithm("ppo", ppo_steps, _PPO_SOURCE, chunk_steps=PPO_HORIZON),
        Algorithm(
            "ppo_normalised",
            ppo_steps,
            f"{_PPO_SOURCE}; observations and rewards normalised as RL Baselines3 Zoo does for MuJoCo tasks",
            normalised=True,
            chunk_steps=PPO_HORIZON,
        ),
        Algorithm(
            "td3",
            off_policy_steps,
            "Stable-Baselines3's defaults; noise N(0, 0.1) and 10,000 random steps: arXiv 1802.09477, section 6.1",
        ),
        Algorithm(
            "ddpg",
            off_policy_steps,
            "Stable-Baselines3's defaults; Ornstein-Uhlenbeck noise (0.15, 0.2): arXiv 1509.02971, section 7",
        ),
    ]
    return {each.name: each for each in made}


def in_bfloat16(algorithm: Algorithm) -> Algorithm:
    """One of rosac's with the matrix products of its updates in bfloat16: whether anything is lost by it."""
    return dataclasses.replace(
        algorithm,
        name=f"{algorithm.name}_bfloat16",
        source=f"{algorithm.source}; products in bfloat16",
        changes={**algorithm.changes, "sac.products": "bfloat16"},
    )


def make_peer(algorithm: Algorithm, environment: VecEnv, seed: int, steps: int) -> BaseAlgorithm:
    """A new learner of Stable-Baselines3."""
    common: dict[str, Any] = {"policy": "MlpPolicy", "env": environment, "seed": seed, "device": "cpu"}
    if peer_class(algorithm) is PPO:
        return PPO(**common)
    size = environment.action_space.shape[0]
    # The default is 1,000,000. More than the run takes would only be reserved, and written with every save.
    common["buffer_size"] = min(max(steps, algorithm.steps), 1_000_000)
    if peer_class(algorithm) is SAC:
        return SAC(**common)
    if peer_class(algorithm) is TD3:
        noise = NormalActionNoise(np.zeros(size), 0.1 * np.ones(size))
        return TD3(**common, action_noise=noise, learning_starts=10_000)
    noise = OrnsteinUhlenbeckActionNoise(np.zeros(size), 0.2 * np.ones(size), theta=0.15)
    return DDPG(**common, action_noise=noise)


def peer_class(algorithm: Algorithm) -> type[BaseAlgorithm]:
    """The class of Stable-Baselines3."""
    classes = {"ppo": PPO, "ppo_normalised": PPO, "td3": TD3, "ddpg": DDPG, "sb3_sac": SAC}
    return classes[algorithm.name]
