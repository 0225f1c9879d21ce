"""The trained encoder: sequences in, embeddings out, each computed once in its life."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from cli import console
from ml.configs import Config
from ml.encoder.keys import rows_of
from ml.encoder.network import BehaviourBert, Sizes, collate, from_arrays, to_arrays
from ml.encoder.texts import TextEncoder, same_shape_batches
from ml.encoder.tokens import Sequences, Tokens, Vocabulary, tokenise
from ml.packages import load_tensors, read_json, save_tensors, write_json

Floats = NDArray[np.float32]

LENGTHS = (1, 2, 4, 8, 12, 16, 24, 32, 40, 48, 56, 64, 96, 128, 256, 512)
"""Padded lengths; see :data:`ml.encoder.texts.LENGTHS`."""
TEXT_BLOCK = 512
CACHED_USERS = 1_000_000
"""The embedding cache keeps at most this many, newest first: about a gigabyte."""


@dataclass(frozen=True)
class Encoder:
    """A network with all that turns a user's events into its input."""

    network: BehaviourBert
    vocabulary: Vocabulary
    config: Config
    folder: Path | None
    """Where text vectors and embeddings are kept between runs; None keeps nothing."""

    @cached_property
    def weights_hash(self) -> str:
        """Return the hash of everything that shapes an embedding."""
        digest = hashlib.sha256(repr((self.vocabulary, self.config.tokens, self.config.text)).encode())
        for name, array in sorted(to_arrays(self.network).items()):
            digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()[:16]

    def tokens(self, sequences: Sequences) -> Tokens:
        """Return the tokens of some users in this encoder's vocabulary."""
        return tokenise(sequences, self.vocabulary, self.config.tokens)

    def embed(self, sequences: Sequences) -> Embedded:
        """Return every user's embedding; those met before under the same weights are not computed again."""
        tokens = self.tokens(sequences)
        cache = _EmbeddingCache(self.folder, self.weights_hash, 2 * self.network.config.hidden_size)
        vectors, is_known = cache.find(tokens.keys)
        missing = np.flatnonzero(~is_known)
        if len(missing):
            vectors[missing] = self._encode(tokens, sequences.texts, missing)
            cache.remember([tokens.keys[index] for index in missing], vectors[missing])
        return Embedded(vectors, encoded=len(missing), reused=len(vectors) - len(missing))

    @torch.inference_mode()
    def _encode(self, tokens: Tokens, texts: list[str], users: NDArray[np.int64]) -> Floats:
        torch.set_num_threads(self.config.training.threads)
        projected = self._project(tokens, texts, users)
        size = self.config.training.encode_batch_size
        batches = list(same_shape_batches(tokens.lengths[users], size, LENGTHS))
        vectors = np.zeros((len(users), 2 * self.network.config.hidden_size), dtype=np.float32)
        for members, length in track(
            batches, "encoding users", console=console, transient=True, disable=not console.is_terminal
        ):
            batch = collate(tokens, users[members], length, rows=size)
            vectors[members] = self.network(batch, projected)[: len(members)].numpy()
        return vectors

    def _project(self, tokens: Tokens, texts: list[str], users: NDArray[np.int64]) -> torch.Tensor:
        """Return all texts through the text layer, in blocks of one shape, zero where nobody needs them."""
        is_needed = np.zeros(len(tokens), dtype=bool)
        is_needed[users] = True
        token_is_needed = np.repeat(is_needed, tokens.lengths)
        used = np.unique(tokens.text[np.repeat(token_is_needed, np.diff(tokens.text_offsets))])
        table = TextEncoder(self.config.text, self.folder).vectors([texts[index] for index in used])
        width = self.network.sizes.text_width
        padded = np.zeros((-(-max(len(used), 1) // TEXT_BLOCK) * TEXT_BLOCK, width), np.float32)
        padded[: len(used)] = table
        blocks = [
            self.network.text(torch.from_numpy(block))
            for block in np.split(padded, len(padded) // TEXT_BLOCK)
        ]
        projected = torch.zeros(len(texts), self.network.config.hidden_size)
        projected[torch.from_numpy(used)] = torch.cat(blocks)[: len(used)]
        return projected

    @torch.inference_mode()
    def judge(self, embeddings: Floats, features: Floats) -> NDArray[np.float64]:
        """Return probabilities of high value, (users,); cheap, so done anew for everybody each day."""
        logits = self.network.judge(torch.from_numpy(embeddings), torch.from_numpy(features))
        return torch.sigmoid(logits[:, 0].double()).numpy()

    def contributions(self, embeddings: Floats, features: Floats) -> Floats:
        """Return gradient × input of the high-value logit, (users, features), against the average user."""
        inputs = torch.from_numpy(features).requires_grad_()
        logits = self.network.judge(torch.from_numpy(embeddings), inputs)
        (gradient,) = torch.autograd.grad(logits[:, 0].sum(), inputs)
        return np.asarray((gradient * inputs).detach().numpy())

    def save(self, folder: Path) -> None:
        """Write weights, vocabulary and config."""
        save_tensors(folder / "network.safetensors", to_arrays(self.network))
        write_json(
            folder / "encoder.json",
            {
                "sizes": vars(self.network.sizes),
                "vocabulary": vars(self.vocabulary),
                "config": self.config.model_dump(mode="json"),
            },
        )

    @classmethod
    def load(cls, folder: Path, cache_folder: Path | None) -> Encoder:
        """Read what :meth:`save` wrote."""
        content = read_json(folder / "encoder.json")
        config = Config.model_validate(content["config"])
        arrays = load_tensors(folder / "network.safetensors")
        vocabulary = Vocabulary(**{name: tuple(values) for name, values in content["vocabulary"].items()})
        network = from_arrays(Sizes(**content["sizes"]), config.network, arrays)
        return cls(network, vocabulary, config, cache_folder)

    def without_memory(self) -> Encoder:
        """Return the same encoder that keeps nothing between runs."""
        return replace(self, folder=None)


@dataclass(frozen=True)
class Embedded:
    """Embeddings, (users, 2 H) float32, and how many of them had to be computed."""

    vectors: Floats
    encoded: int
    reused: int


class _EmbeddingCache:
    """Embeddings of one set of weights by hash of the tokens, in one safetensors file."""

    def __init__(self, folder: Path | None, weights_hash: str, width: int) -> None:
        self.path = None if folder is None else folder / "embeddings" / f"{weights_hash}.safetensors"
        self.width = width
        self._keys: list[bytes] = []
        self._vectors: Floats = np.zeros((0, width), np.float32)
        if self.path is not None and self.path.exists():
            stored = load_tensors(self.path)
            self._keys, self._vectors = rows_of(stored["keys"]), stored["vectors"]

    def find(self, keys: list[bytes]) -> tuple[Floats, NDArray[np.bool_]]:
        place = {key: index for index, key in enumerate(self._keys)}
        found = np.array([place.get(key, -1) for key in keys], dtype=np.int64)
        vectors = np.zeros((len(keys), self.width), np.float32)
        vectors[found >= 0] = self._vectors[found[found >= 0]]
        return vectors, found >= 0

    def remember(self, keys: list[bytes], vectors: Floats) -> None:
        if self.path is None:
            return
        fresh = dict(zip(keys, vectors, strict=True))
        merged = [*zip(fresh, fresh.values(), strict=True), *zip(self._keys, self._vectors, strict=True)]
        merged = merged[:CACHED_USERS]
        names = np.array([key for key, _ in merged], dtype="S32").view(np.uint8).reshape(-1, 32)
        save_tensors(self.path, {"keys": names, "vectors": np.stack([vector for _, vector in merged])})
