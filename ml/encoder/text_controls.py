"""What the pretrained words must beat: vectors that know only whether two texts are equal, or share words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.configs import TextConfig
from ml.encoder.keys import digest_of
from ml.encoder.texts import TextEncoder, TextSource

WIDTH = 384  # as the embedded checkpoint's, so that the networks above are of one size


@dataclass(frozen=True)
class RandomTexts:
    """A vector per text, drawn by its hash: equal texts are equal, and nothing else is known."""

    weights_hash: str = "random"

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, (len(texts), WIDTH); zero for ``""``."""
        drawn = [np.random.default_rng(int(digest_of(text)[:16], 16)).normal(size=WIDTH) for text in texts]
        return _unit(np.array(drawn).reshape(-1, WIDTH), texts)


class TfidfTexts:
    """TF-IDF of words in few dimensions (latent semantic analysis)."""

    def __init__(self, texts: Sequence[str]) -> None:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._words: Any = TfidfVectorizer(sublinear_tf=True)
        counts = self._words.fit_transform([text for text in texts if text] or ["nothing"])
        self._directions: Any = TruncatedSVD(min(WIDTH, *(size - 1 for size in counts.shape)), random_state=0)
        self._directions.fit(counts)

    @cached_property
    def weights_hash(self) -> str:
        """Return the hash of words and directions."""
        content = repr(sorted(self._words.vocabulary_)).encode() + self._directions.components_.tobytes()
        return hashlib.sha256(content).hexdigest()[:16]

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, (len(texts), at most WIDTH); zero for ``""`` and for unknown words."""
        return _unit(self._directions.transform(self._words.transform(list(texts))), texts)


def text_source(config: TextConfig, folder: Path | None, texts: Sequence[str]) -> TextSource:
    """Return the configured source; what it learns, it learns from ``texts``, those of the train cut."""
    if config.source == "random":
        return RandomTexts()
    return TfidfTexts(texts) if config.source == "tfidf" else TextEncoder(config, folder)


def _unit(vectors: NDArray[Any], texts: Sequence[str]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    is_text = np.array([bool(text) for text in texts])[:, None]
    return np.asarray(
        np.where(is_text & (length > 0), vectors / np.maximum(length, 1e-12), 0), dtype=np.float32
    )
