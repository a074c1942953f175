"""Functions of tensors compiled for the CPU by TorchInductor, PyTorch's compiler: what lies between products is fused.

A function is traced once for tensors of given sizes, without TorchDynamo: nothing is looked at again before a call.
Compiled code is kept in a folder of the user's and found there by the next learner.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree


def compile_for_cpu(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """Compile a function for arguments like these: tensors in tuples, lists and dicts. It must change none of them.

    The number of threads is that of PyTorch now.

    Raises:
        RuntimeError: it cannot be compiled, such as without a C++ compiler, or the folder of compiled code is not safe.
    """
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:  # else the user chose; PyTorch's own choice is below /tmp
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(_cache_directory())
    # Imported here: it takes seconds, and only who compiles should pay.
    import torch._inductor
    from torch.fx.experimental.proxy_tensor import make_fx

    flat, structure = pytree.tree_flatten(arguments)
    results: list[pytree.TreeSpec] = []

    def on_flat(*tensors: torch.Tensor) -> list[torch.Tensor]:
        outputs, spec = pytree.tree_flatten(function(*pytree.tree_unflatten(tensors, structure)))
        results.append(spec)
        return outputs

    options = {"cpp.threads": torch.get_num_threads(), "compile_threads": 1}
    try:
        compiled = torch._inductor.compile(make_fx(on_flat)(*flat), flat, options)
    except Exception as error:  # whatever a compiler raises, the gradients can do without it
        raise RuntimeError(f"{type(error).__name__}: {error}") from error

    def call(*given: Any) -> Any:
        return pytree.tree_unflatten(compiled(*pytree.tree_leaves(given)), results[0])

    return call


def _cache_directory() -> Path:
    """Where compiled code lies: a folder that nobody else can write, since what lies there is run.

    Raises:
        RuntimeError: another user could.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = base / "rosac" / "inductor"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError as error:
        raise RuntimeError(f"the folder for compiled code, {directory}, cannot be used: {error.strerror}") from error
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise RuntimeError(
            f"the folder for compiled code, {directory}, belongs to or can be written by somebody else: remove it"
        )
    return directory
