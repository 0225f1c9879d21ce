"""What a model said of users, kept by the hash of what they did: computed once in its life."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.encoder.keys import as_bytes, as_keys
from ml.packages import load_tensors, save_tensors

USERS = 1_000_000
"""At most this many are kept, newest first: of embeddings half a gigabyte."""


class Kept:
    """Vectors that one model made, in one safetensors file.

    Parameters
    ----------
    folder
        Where files are kept; None keeps nothing.
    kind, model
        What the vectors are, and the hash of everything that shapes them.
    width, dtype
        Of a vector.
    """

    def __init__(self, folder: Path | None, kind: str, model: str, width: int, dtype: type[Any]) -> None:
        self.path = None if folder is None else folder / kind / f"{model}.safetensors"
        self._keys = np.zeros(0, dtype="S32")
        self._vectors: NDArray[Any] = np.zeros((0, width), dtype)
        if self.path is not None and self.path.exists():
            stored = load_tensors(self.path)
            self._keys, self._vectors = as_keys(stored["keys"]), stored["vectors"]
        self._order = np.argsort(self._keys)

    def find(self, keys: NDArray[np.bytes_] | None, users: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the users' vectors, zero for those of whom ``is_known`` is false."""
        vectors = np.zeros((users, self._vectors.shape[1]), self._vectors.dtype)
        if keys is None or len(self._keys) == 0:
            return vectors, np.zeros(users, dtype=bool)
        place = np.searchsorted(self._keys, keys, sorter=self._order).clip(max=len(self._order) - 1)
        place = self._order[place]
        is_known = self._keys[place] == keys
        vectors[is_known] = self._vectors[place[is_known]]
        return vectors, is_known

    def add(self, keys: NDArray[np.bytes_], vectors: NDArray[Any]) -> None:
        """Write what is new before what was known, as much as :data:`USERS` allows."""
        if self.path is None or len(keys) == 0:
            return
        _, first = np.unique(keys, return_index=True)  # two users may have done the very same
        kept = max(0, USERS - len(first))
        names = np.concatenate([keys[first], self._keys[:kept]])
        save_tensors(
            self.path,
            {"keys": as_bytes(names), "vectors": np.concatenate([vectors[first], self._vectors[:kept]])},
        )
