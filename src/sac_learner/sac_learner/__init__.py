"""Soft Actor-Critic for real robots: the method, the learner and actor nodes, the rosac command."""

import os

# Read by OpenMP when PyTorch is loaded. Threads that wait for each other by spinning would take the cores from the
# robot's nodes, and on a busy machine two of them make an update many times slower than one (docs/sac.md, Speed).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
