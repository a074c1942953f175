"""The learners that benchmarks/learner_speed.py compares, each behind the same three calls. It starts this as a child.

Reads lines from standard input ("measure SECONDS", "sample COUNT") and answers each with a line of JSON. Imports of a
learner are in its own function: the child of another one, perhaps in another virtual environment, does without.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

BATCH_SIZE, HIDDEN_SIZES, CAPACITY = 256, [256, 256], 1_000_000  # arXiv 1812.05905, App. D
SEED = 0
# Transitions that differ; the memory repeats them. What a sample costs depends on where the rows lie, not on values.
BLOCK = 10_000
WARM_UP_UPDATES = 20


class Subject(Protocol):
    """Something that makes updates."""

    per_call: int  # updates in one call

    def run(self) -> None:
        """Make `per_call` updates and wait until they are done."""

    def counts(self) -> list[int]:
        """How many steps each optimiser has made, by the learner's own count."""

    def parts(self) -> dict[str, list[Any]]:
        """Copies of the weights of policy, critics, temperature and target critics."""


class Rosac:
    """This repository's learner, fed as the learner node feeds it."""

    per_call = 1

    def __init__(self, observation_size: int, action_size: int, threads: int, *, products: str = "float32") -> None:
        import numpy as np
        import torch
        from sac_learner.learning.replay import ReplayBuffer
        from sac_learner.sac.learner import SacLearner
        from sac_learner.sac.settings import SacSettings

        torch.set_num_threads(threads)
        settings = SacSettings(
            batch_size=BATCH_SIZE,
            hidden_sizes=HIDDEN_SIZES,
            replay_capacity=CAPACITY,
            gradients="compiled",
            products=products,
        )
        self.memory = ReplayBuffer(CAPACITY, observation_size, action_size)
        rows = full_memory_rows(observation_size, action_size)
        for _ in range(CAPACITY // BLOCK):
            self.memory.extend(rows)
        self.rng = np.random.default_rng(SEED)
        self._learner = SacLearner(settings, observation_size, action_size, seed=SEED)
        if self._learner.fallback:
            raise RuntimeError(self._learner.fallback)

    def run(self) -> None:
        self._learner.update(self.memory.sample(BATCH_SIZE, self.rng))

    def counts(self) -> list[int]:
        state = self._learner.state()
        return [self._learner.updates, int(state["critic_adam.step"]), int(state["actor_adam.step"])]

    def parts(self) -> dict[str, list[Any]]:
        state = {name: tensor.clone() for name, tensor in self._learner.state().items()}
        names = {"policy": "policy.", "critics": "critic.", "temperature": "log_alpha", "targets": "target_critic."}
        return {
            part: [tensor for name, tensor in state.items() if name.startswith(prefix)]
            for part, prefix in names.items()
        }


class StableBaselines3:
    """SAC of Stable-Baselines3, its own `train` on its own replay buffer."""

    per_call = 1

    def __init__(self, observation_size: int, action_size: int, threads: int) -> None:
        import torch
        from stable_baselines3 import SAC

        torch.set_num_threads(threads)
        self._model = _filled(SAC, observation_size, action_size, target_update_interval=1)

    def run(self) -> None:
        self._model.train(gradient_steps=1, batch_size=BATCH_SIZE)

    def counts(self) -> list[int]:
        model = self._model
        optimisers = (model.actor.optimizer, model.critic.optimizer, model.ent_coef_optimizer)
        return [int(next(iter(o.state.values()))["step"]) if o.state else 0 for o in optimisers]

    def parts(self) -> dict[str, list[Any]]:
        model = self._model
        tensors = {
            "policy": model.actor.parameters(),
            "critics": model.critic.parameters(),
            "temperature": [model.log_ent_coef],
            "targets": model.critic_target.parameters(),
        }
        return {part: [tensor.detach().clone() for tensor in group] for part, group in tensors.items()}


class Sbx:
    """SAC of SBX (JAX). With more than one update a call it draws all their batches before the first."""

    def __init__(self, observation_size: int, action_size: int, threads: int, *, per_call: int = 1) -> None:
        from sbx import SAC

        self.per_call = per_call
        self._model = _filled(SAC, observation_size, action_size, policy_delay=1)

    def run(self) -> None:
        import jax

        self._model.train(gradient_steps=self.per_call, batch_size=BATCH_SIZE)
        # A call of JAX returns before the result is there.
        policy = self._model.policy
        jax.block_until_ready((policy.actor_state, policy.qf_state, self._model.ent_coef_state))

    def counts(self) -> list[int]:
        policy = self._model.policy
        return [int(state.step) for state in (policy.actor_state, policy.qf_state, self._model.ent_coef_state)]

    def parts(self) -> dict[str, list[Any]]:
        import jax
        import numpy as np

        policy = self._model.policy
        trees = {
            "policy": policy.actor_state.params,
            "critics": policy.qf_state.params,
            "temperature": self._model.ent_coef_state.params,
            "targets": policy.qf_state.target_params,
        }
        return {part: [np.array(leaf) for leaf in jax.tree.leaves(tree)] for part, tree in trees.items()}


class ProductsAlone:
    """The matrix products of an update and nothing else."""

    per_call = 1

    def __init__(self, observation_size: int, action_size: int, threads: int) -> None:
        import torch
        from sac_products import Products

        torch.set_num_threads(threads)
        self._products = Products(observation_size, action_size, BATCH_SIZE, HIDDEN_SIZES)
        self._count = 0

    def run(self) -> None:
        self._products.run()
        self._count += 1

    def counts(self) -> list[int]:
        return [self._count]

    def parts(self) -> dict[str, list[Any]]:
        return {}


SUBJECTS: dict[str, Callable[[int, int, int], Subject]] = {
    "rosac": Rosac,
    "rosac_bfloat16": functools.partial(Rosac, products="bfloat16"),
    "sb3": StableBaselines3,
    "sbx": Sbx,
    "sbx_64": functools.partial(Sbx, per_call=64),
    "gemm_floor": ProductsAlone,
}


def _block(observation_size: int, action_size: int) -> tuple[Any, Any, Any]:
    """Random observations [BLOCK, O], actions [BLOCK, A] and rewards [BLOCK, 1], float32."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    observation = rng.standard_normal((BLOCK, observation_size), dtype=np.float32)
    action = rng.uniform(-1.0, 1.0, (BLOCK, action_size)).astype(np.float32)
    return observation, action, rng.standard_normal((BLOCK, 1), dtype=np.float32)


def full_memory_rows(observation_size: int, action_size: int) -> Any:
    """BLOCK rows of rosac's replay memory, to be repeated until it is full."""
    import numpy as np

    observation, action, reward = _block(observation_size, action_size)
    return np.concatenate([observation, action, observation[::-1], reward, np.ones_like(reward)], axis=1)


def _filled(algorithm: Any, observation_size: int, action_size: int, **settings: Any) -> Any:
    """A peer's SAC with its replay buffer full."""
    import gymnasium
    import numpy as np
    from gymnasium.spaces import Box
    from stable_baselines3.common.logger import configure

    class Shapes(gymnasium.Env):
        observation_space = Box(-np.inf, np.inf, (observation_size,), np.float32)
        action_space = Box(-1.0, 1.0, (action_size,), np.float32)

    made = algorithm(
        "MlpPolicy",
        Shapes(),
        batch_size=BATCH_SIZE,
        buffer_size=CAPACITY,
        policy_kwargs={"net_arch": HIDDEN_SIZES},
        ent_coef="auto",
        seed=SEED,
        device="cpu",
        **settings,
    )
    made.set_logger(configure(None, []))
    observation, action, reward = _block(observation_size, action_size)
    memory = made.replay_buffer
    for first in range(0, CAPACITY, BLOCK):
        block = slice(first, first + BLOCK)
        memory.observations[block, 0], memory.next_observations[block, 0] = observation, observation[::-1]
        memory.actions[block, 0], memory.rewards[block] = action, reward
    memory.full = True
    return made


def check_update(subject: Subject) -> None:
    """Make sure that a call steps everything that an update of SAC steps, as often as it will be counted.

    Raises:
        RuntimeError: a part of the learner did not change, or an optimiser made another number of steps.
    """
    before, counts = subject.parts(), subject.counts()
    subject.run()
    after = subject.parts()
    for part in before:
        if not before[part] or all((old == new).all() for old, new in zip(before[part], after[part], strict=True)):
            raise RuntimeError(f"an update does not change the {part}")
    made = [new - old for old, new in zip(counts, subject.counts(), strict=True)]
    if made != [subject.per_call] * len(made):
        raise RuntimeError(f"the optimisers made {made} steps in a call of {subject.per_call} updates")


def measure(subject: Subject, duration_s: float) -> dict[str, float]:
    """Updates and the time that they took."""
    counts, calls, start = subject.counts(), 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < duration_s:
        subject.run()
        calls += 1
    updates = calls * subject.per_call
    if any(new - old != updates for old, new in zip(counts, subject.counts(), strict=True)):
        raise RuntimeError(f"counted {updates} updates from {counts}, the learner has {subject.counts()}")
    return {"updates": updates, "seconds": elapsed}


def sampling_times(subject: Rosac, count: int) -> dict[str, float]:
    """Time of drawing one batch from the replay memory, alone [us]."""
    import numpy as np

    times = np.empty(count)
    for index in range(count):
        start = time.perf_counter_ns()
        subject.memory.sample(BATCH_SIZE, subject.rng)
        times[index] = 1e-3 * (time.perf_counter_ns() - start)
    return {"p50": float(np.percentile(times, 50)), "p99": float(np.percentile(times, 99))}


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("name", choices=SUBJECTS)
    options.add_argument("sizes", type=int, nargs=2)
    options.add_argument("--threads", type=int, required=True)
    chosen = options.parse_args()
    # Only answers may reach the parent; whatever a library prints goes to standard error.
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(document: dict[str, Any]) -> None:
        print(json.dumps(document), file=answers, flush=True)

    try:
        subject = SUBJECTS[chosen.name](*chosen.sizes, chosen.threads)
    except ModuleNotFoundError as error:
        answer({"missing": error.name})
        return
    for _ in range(max(2, WARM_UP_UPDATES // subject.per_call)):
        subject.run()
    check_update(subject)
    answer({"ready": True})
    for line in sys.stdin:
        command, value = line.split()
        answer(measure(subject, float(value)) if command == "measure" else sampling_times(subject, int(value)))


if __name__ == "__main__":
    main()
