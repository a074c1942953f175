"""Soft Actor-Critic for real robots: the method, the learner and actor nodes, the rosac command."""

import os

# Both are read when PyTorch or NumPy is loaded; what the user has set stays. Threads that spin while they wait for each
# other would take the cores from the robot's nodes, and on a busy machine two of them make an update slower than one
# alone (docs/sac.md, Speed). One observation is too small a product to share among threads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
