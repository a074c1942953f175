"""What a CUDA graph does, on a CPU: records operations on tensors and repeats them on the very same tensors.

Nothing in Python runs again; what waits for numbers on the host cannot be recorded.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_aten = torch.ops.aten
_WAITING = {_aten._local_scalar_dense.default, _aten.nonzero.default, _aten.equal.default, _aten.is_nonzero.default}


class Tape(TorchDispatchMode):
    """Records while it is entered."""

    def __init__(self):
        super().__init__()
        self._calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in _WAITING:
            raise RuntimeError(f"operation not permitted when stream is capturing: {function}\nand more lines")
        result = function(*args, **(kwargs or {}))
        self._calls.append((function, args, kwargs or {}, tree_leaves(result)))
        return result

    def repeat(self):
        """Do it all again."""
        with torch.no_grad():
            for function, args, kwargs, recorded in self._calls:
                for old, new in zip(recorded, tree_leaves(function(*args, **kwargs)), strict=True):
                    # Views, and what is changed in place or given to write into, are the same memory.
                    if isinstance(new, torch.Tensor) and new.data_ptr() != old.data_ptr():
                        old.copy_(new)

    @property
    def operations(self):
        """How many operations computed something: each is a launch on a GPU."""
        return sum(not call[0].is_view and "empty" not in str(call[0]) for call in self._calls)


def recorded(work, generator):
    """`cuda.captured` for a CPU; recording changes what the work changes, as a warm-up does."""
    tape = Tape()
    with tape:
        metrics = work()

    def repeat():
        tape.repeat()
        return metrics

    return repeat
