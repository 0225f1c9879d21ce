"""Several processes that train one network together, as ``torchrun`` starts them; else one alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed


def join() -> None:
    """Join the processes that torchrun has started: gloo on processors, NCCL on GPUs."""
    if distributed.is_torchelastic_launched() and not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(distributed.get_node_local_rank())
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def leave() -> None:
    """End what :func:`join` began."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def rank() -> int:
    """Return this process's number; 0 is the one that speaks and writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share(members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return this process's part of a batch, all of one that is too small; parts differ by one user at most.

    >>> share(np.array([4, 7])).tolist()
    [4, 7]
    """
    if not distributed.is_initialized() or len(members) < distributed.get_world_size():
        return members
    return np.array_split(members, distributed.get_world_size())[rank()]


def average(tensors: Iterable[torch.Tensor]) -> None:
    """Replace tensors by their means over all processes."""
    if distributed.is_initialized():
        for tensor in tensors:
            distributed.all_reduce(tensor)
            tensor /= distributed.get_world_size()
