"""Content keys: what was computed once is found again by the hash of what went in."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def digest_of(content: str | bytes) -> bytes:
    """Return 32 hexadecimal characters that name a content."""
    data = content.encode() if isinstance(content, str) else content
    return hashlib.blake2b(data, digest_size=16).hexdigest().encode()


def rows_of(keys: NDArray[np.uint8]) -> list[bytes]:
    """Return stored keys, a (N, 32) byte matrix, as hashable values."""
    return np.ascontiguousarray(keys).view("S32").reshape(-1).tolist()  # type: ignore[no-any-return]
