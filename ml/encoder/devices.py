"""What this machine multiplies on, and in which type: a GPU where there is one, else the processor.

What is trained or read lies on :data:`DEVICE` meanwhile; before and after, everything lies in memory.
"""

from __future__ import annotations

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
"""Of several GPUs the process's own, which :func:`ml.encoder.processes.join` chooses."""


def bf16_is_fast() -> bool:
    """Return whether this machine multiplies bfloat16 in hardware; elsewhere it is slower than float32."""
    if DEVICE.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


def fast_type() -> torch.dtype:
    """Return what this machine multiplies fastest."""
    return torch.bfloat16 if bf16_is_fast() else torch.float32
