"""rosac beside PPO, TD3 and DDPG on walking: success against control steps and against robot time.

.venv/bin/python benchmarks/compare_walking.py --seeds 0 1 2 --save

Runs are kept and resumed as those of compare_valve.py.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
from compare import Comparison, main
from compare_algorithms import algorithms

# What the quadruped of arXiv 1812.05905 took to learn to walk: section 7.1, 400 episodes.
PAPER_STEPS = 160_000
WALKING = Comparison(
    name="compare_walking",
    environment="rosac/MinitaurWalk-v0",
    success="10 s with 0.3 m/s or more and without a fall; a control step takes 0.02 s",
    algorithms=algorithms(off_policy_steps=PAPER_STEPS, efficient_steps=20_000, ppo_batches=500),
)

if __name__ == "__main__":
    main(WALKING, __doc__.splitlines()[0])
