import torch

import sac_learner  # noqa: F401 - sets how OpenMP waits, before torch is loaded

# Small networks gain nothing from a second thread, and on a busy machine they lose much.
torch.set_num_threads(1)
