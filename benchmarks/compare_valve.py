"""rosac beside PPO, TD3 and DDPG on the valve: success against control steps and against robot time.

.venv/bin/python benchmarks/compare_valve.py --seeds 0 1 2 --save

Every run is kept in --directory and computed only where it is missing; a run that was cut off goes on. So a long
comparison can be spread over many calls: --algorithms and --seeds choose what is computed and shown, --table-only
computes nothing and draws what is there.
"""

from __future__ import annotations

import ros_first  # noqa: F401

# isort: split
from compare import Comparison, main
from compare_algorithms import algorithms, in_bfloat16

# 3 h of motion at 10 Hz: what D'Claw took to learn this task from the valve's position in arXiv 1812.05905, section 7.2
# (PPO: 7.4 h).
THREE_HOURS_STEPS = 108_000
ALGORITHMS = algorithms(off_policy_steps=THREE_HOURS_STEPS, efficient_steps=15_000, ppo_batches=300)
ROUNDED = in_bfloat16(ALGORITHMS["efficient"])
VALVE = Comparison(
    name="compare_valve",
    environment="rosac/DClawTurn-v0",
    success="|error| < 0.1 rad at the end of an episode; a control step takes 0.1 s",
    algorithms={**ALGORITHMS, ROUNDED.name: ROUNDED},
)

if __name__ == "__main__":
    main(VALVE, __doc__.splitlines()[0])
