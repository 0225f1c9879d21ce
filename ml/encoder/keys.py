"""Content keys: what was computed once is found again by the hash of what went in."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml import packages


def digest_of(content: str | bytes) -> bytes:
    """Return 32 hexadecimal characters that name a content."""
    data = content.encode() if isinstance(content, str) else content
    return hashlib.blake2b(data, digest_size=16).hexdigest().encode()


@cache
def code_of(*modules: str) -> str:
    """Return the hash of modules of this room: what another release computes may be something else."""
    return packages.digest_of(Path(__file__).with_name(f"{name}.py") for name in modules)


def as_keys(stored: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """Return stored keys, a (N, 32) byte matrix, as (N,) byte strings."""
    return np.ascontiguousarray(stored).view("S32").reshape(-1)


def as_bytes(keys: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    """Return keys as safetensors can store them, a (N, 32) byte matrix."""
    return np.ascontiguousarray(keys.astype("S32")).view(np.uint8).reshape(-1, 32)
