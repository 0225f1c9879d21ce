"""What a model said of users, kept by the hash of what they did: computed once in its life."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.encoder.keys import as_bytes, as_keys
from ml.packages import load_tensors, save_tensors

USERS = 1_000_000
"""Beyond this many only those that were asked for last are kept: of embeddings half a gigabyte."""
EMBEDDINGS, PLACED = "embeddings", "placed"
"""What is kept of a user: the vector that the encoder made, and how near each class of habits is."""
TEXT_VECTORS = "text_vectors"
"""What is kept of a text."""
UNUSED = timedelta(days=60)
"""A model to whose vectors of users nothing was added, or whose texts nobody read, serves no more."""
PARTS = 16
"""So many files are put together again: what a day adds is little beside what is kept."""


class Kept:
    """Vectors that one model made, in safetensors files, one for each time that some were added.

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
        self.path = None if folder is None else folder / kind / model
        self._files = [] if self.path is None else sorted(self.path.glob("*.safetensors"))
        parts = [load_tensors(file) for file in reversed(self._files)]  # the newest first
        self._keys = np.concatenate([np.zeros(0, "S32"), *(as_keys(part["keys"]) for part in parts)])
        self._vectors: NDArray[Any] = (
            parts[0]["vectors"]
            if len(parts) == 1
            else np.concatenate([np.zeros((0, width), dtype), *(part["vectors"] for part in parts)])
        )
        self._is_asked_for = np.zeros(len(self._keys), dtype=bool)

    def find(self, keys: NDArray[np.bytes_] | None, users: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the users' vectors, zero for those of whom ``is_known`` is false."""
        if keys is None or len(self._keys) == 0:
            return np.zeros((users, self._vectors.shape[1]), self._vectors.dtype), np.zeros(users, dtype=bool)
        # Hashed, not sorted; of what was added twice the first place counts, so the newest.
        place = pc.index_in(pa.array(keys), value_set=pa.array(self._keys))
        is_known = place.is_valid().to_numpy(zero_copy_only=False)
        self._is_asked_for[place.drop_null().to_numpy()] = True
        vectors = self._vectors[place.fill_null(0).to_numpy()]
        vectors[~is_known] = 0
        return vectors, is_known

    def add(self, keys: NDArray[np.bytes_], vectors: NDArray[Any]) -> None:
        """Write what is new; with many files, or more users than are kept, all of it in one file.

        What :meth:`find` was asked for stays, however much it is: it is asked for tomorrow, too.
        """
        if self.path is None or len(keys) == 0:
            return
        keys, first = np.unique(keys, return_index=True)  # two users may have done the very same
        vectors = vectors[first]
        number = 1 + max((int(file.stem) for file in self._files), default=0)
        is_whole = len(self._files) >= PARTS or len(keys) + len(self._keys) > USERS
        if is_whole:
            order = np.argsort(~self._is_asked_for, kind="stable")
            kept = order[: max(int(self._is_asked_for.sum()), USERS - len(keys))]
            keys = np.concatenate([keys, self._keys[kept]])
            vectors = np.concatenate([vectors, self._vectors[kept]])
        save_tensors(self.path / f"{number:06}.safetensors", {"keys": as_bytes(keys), "vectors": vectors})
        for file in self._files if is_whole else ():
            file.unlink(missing_ok=True)


def forget_unused(folder: Path) -> None:
    """Delete what models said that have served no more for :data:`UNUSED`; whoever asks makes it again."""
    oldest = (datetime.now() - UNUSED).timestamp()
    for kind in (EMBEDDINGS, PLACED, TEXT_VECTORS):
        for model in (folder / kind).glob("*"):
            if model.stat().st_mtime >= oldest:
                continue
            if model.is_dir():
                shutil.rmtree(model, ignore_errors=True)
            else:
                model.unlink(missing_ok=True)
