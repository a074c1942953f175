"""Soft Actor-Critic for real robots: the method, the learner and actor nodes, the rosac command."""

import os

# Both are read when PyTorch or NumPy is loaded; what the user has set stays. Threads of an update that wait for each
# other look for about 30 us before they sleep: shorter, and two of them are no faster than one; longer, and on a busy
# machine they take the cores from the robot's nodes and from each other (docs/sac.md, Speed).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# One observation is too small a product to share among threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
