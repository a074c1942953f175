"""Small Gymnasium environments for tests; importing this registers them."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

VECTOR = Box(-np.inf, np.inf, (3,), np.float64)
ACTION = Box(np.array([-3.0, 0.0]), np.array([1.0, 0.5]), dtype=np.float64)


class Walk(gymnasium.Env):
    """Observation: [number of the episode, step, 0]. Reward: the step's number. Ends as the arguments say.

    `bad`: what reset (at 0) and steps return instead, by their number: an exception is raised, a mapping replaces
    single elements. `attributes`: the environment has them.
    """

    def __init__(self, observation=VECTOR, action=ACTION, ends_at=None, bad=None, judged=False, attributes=None):
        self.observation_space, self.action_space = observation, action
        self._ends_at, self._bad, self._judged = ends_at, bad or {}, judged
        self._observation = np.zeros(3, getattr(observation, "dtype", None))
        self.actions, self.seeds = [], []
        self.__dict__.update(attributes or {})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self._observation[:] = self._observation[0] + 1, 0, 0
        return self._changed(0, (self._observation, {}))

    def step(self, action):
        self.actions.append(action)
        self._observation[1] += 1  # in place: what was handed out before must not change with it
        step = int(self._observation[1])
        info = {"is_success": self._observation[0] % 2 == 1} if self._judged else {}
        return self._changed(step, (self._observation, float(step), step == self._ends_at, False, info))

    def _changed(self, step, given):
        bad = self._bad.get(step, {})
        if isinstance(bad, Exception):
            raise bad
        if not isinstance(bad, dict):
            return bad
        return tuple(bad.get(place, each) for place, each in enumerate(given))


def _register(name, max_episode_steps=5, **keywords):
    gymnasium.register(f"test/{name}-v0", Walk, max_episode_steps=max_episode_steps, kwargs=keywords)


_register("Truncated")
_register("Terminated", ends_at=3)
_register("Judged", judged=True)
_register("Ended", ends_at=5)  # and truncated, both at once
_register("Endless", max_episode_steps=None)
_register("DiscreteAction", action=Discrete(3))
_register("IntegerAction", action=Box(0, 5, (2,), np.int64))
_register("UnboundedAction", action=Box(-np.inf, np.inf, (2,), np.float32))
_register("NoRange", action=Box(np.zeros(2), np.zeros(2), dtype=np.float64))
_register("Dictionary", observation=Dict({"a": VECTOR}))
_register("Image", observation=Box(0, 255, (16, 16, 3), np.uint8))
_register("FloatImage", observation=Box(0, 1, (16, 16, 3), np.float32))
_register("GreyImage", observation=Box(0, 255, (16, 16), np.uint8))
_register("Flags", observation=Box(0, 1, (3,), np.bool_))
for _dtype in ("int32", "int64", "uint8"):
    _register(f"Counts-{_dtype}", observation=Box(0, 99, (3,), np.dtype(_dtype)))
_register("Any")  # with keywords of the test
