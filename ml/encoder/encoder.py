"""The trained encoder: sequences in, embeddings out, each computed once in its life."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cli import Progress, ShoalError
from ml.configs import Config
from ml.encoder import devices
from ml.encoder.checkpoints import checkpoint_hash, checkpoint_path
from ml.encoder.devices import fast_type
from ml.encoder.kept import EMBEDDINGS, Kept
from ml.encoder.keys import code_of
from ml.encoder.network import BehaviourBert, Sizes, collate_packed, from_arrays, to_arrays
from ml.encoder.packed import PackedBert, packs
from ml.encoder.texts import TextEncoder, TextSource
from ml.encoder.tokens import Sequences, Tokens, Told, Vocabulary, tokenise
from ml.packages import load_tensors, read_json, save_tensors, write_json

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

TEXT_BLOCK = 512


@dataclass(frozen=True)
class Encoder:
    """A network with all that turns a user's events into its input."""

    network: BehaviourBert
    vocabulary: Vocabulary
    config: Config
    folder: Path | None
    """Where embeddings are kept between runs; None keeps nothing."""
    source: TextSource

    @cached_property
    def weights_hash(self) -> str:
        """Return the hash of everything that shapes an embedding, this code included."""
        code = code_of("encoder", "network", "packed", "tokens")
        shaping = (self.vocabulary, self.config.tokens, self.source.weights_hash, fast_type(), code)
        digest = hashlib.sha256(repr(shaping).encode())
        for name, array in sorted(to_arrays(self.network).items()):
            digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()[:16]

    def tokens(self, sequences: Sequences) -> Tokens:
        """Return the tokens of some users in this encoder's vocabulary."""
        return tokenise(sequences, self.vocabulary, self.config.tokens)

    def embed(self, told: Told) -> Embedded:
        """Return every user's embedding.

        Users of whom the same was known under the same weights before are neither computed nor read again;
        of the others one batch at a time is held in memory.
        """
        width = 2 * self.network.config.hidden_size
        cache = Kept(self.folder, EMBEDDINGS, self.weights_hash, width, np.float16)
        vectors, is_known = cache.find(told.keys, len(told))
        missing = np.flatnonzero(~is_known)
        with Progress("encoding users", len(missing)) as progress:
            for rows, sequences in told.batches(missing):
                everybody = np.arange(len(sequences), dtype=np.int64)
                vectors[rows] = self._encode(self.tokens(sequences), sequences.texts, everybody, progress)
        if told.keys is not None:
            cache.add(told.keys[missing], vectors[missing])
        return Embedded(vectors.astype(np.float32), encoded=len(missing), reused=len(vectors) - len(missing))

    @cached_property
    def _reader(self) -> BehaviourBert:
        """Return the network where it reads; the one in memory goes on to judge."""
        device = devices.DEVICE
        return self.network if device.type == "cpu" else copy.deepcopy(self.network).to(device)

    @cached_property
    def _layers(self) -> PackedBert:
        return PackedBert(self._reader.bert, fast_type())

    @torch.inference_mode()
    def _encode(
        self, tokens: Tokens, texts: list[str], users: Ints, progress: Progress | None = None
    ) -> NDArray[np.float16]:
        torch.set_num_threads(self.config.training.threads)
        return self._read(tokens, self.project(tokens, texts, users), users, progress)

    @torch.inference_mode()
    def _read(
        self, tokens: Tokens, projected: torch.Tensor, users: Ints, progress: Progress | None = None
    ) -> NDArray[np.float16]:
        found, projected = packs(tokens.lengths[users] + 1, self._layers.rows), projected.to(devices.DEVICE)
        vectors = np.zeros((len(users), 2 * self.network.config.hidden_size), dtype=np.float16)
        for pack in found:
            batch = collate_packed(tokens, users[pack.members], pack.rows).to(devices.DEVICE)
            states = self._reader.bert.embeddings(
                inputs_embeds=self._reader.inputs(batch, projected), position_ids=batch.position
            )
            read = self._layers(states[0].to(self._layers.dtype), pack)
            pooled = torch.cat([_pooled(part) for part in pack.split(read)])
            vectors[pack.members] = pooled.half().cpu().numpy()
            if progress is not None:
                progress.advance(len(pack.members))
        return vectors

    def project(self, tokens: Tokens, texts: list[str], users: NDArray[np.int64]) -> torch.Tensor:
        """Return all texts through the text layer, in blocks of one shape, zero where nobody needs them."""
        is_needed = np.zeros(len(tokens), dtype=bool)
        is_needed[users] = True
        token_is_needed = np.repeat(is_needed, tokens.lengths)
        used = np.unique(tokens.text[np.repeat(token_is_needed, np.diff(tokens.text_offsets))])
        table = self.source.vectors([texts[index] for index in used])
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

    def save(self, folder: Path) -> None:
        """Write weights, vocabulary and config.

        Raises
        ------
        ShoalError
            Where texts come from a control, which is there to be compared with and not to serve.
        """
        if self.config.text.source != "bert":
            raise ShoalError(f"text.source {self.config.text.source!r} is a control: serve with 'bert'")
        save_tensors(folder / "network.safetensors", to_arrays(self.network))
        write_json(
            folder / "encoder.json",
            {
                "sizes": vars(self.network.sizes),
                "vocabulary": vars(self.vocabulary),
                "config": self.config.model_dump(mode="json"),
                "checkpoint_hash": checkpoint_hash(checkpoint_path(self.config.text.checkpoint)),
            },
        )

    @classmethod
    def load(cls, folder: Path, cache_folder: Path | None) -> Encoder:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ShoalError
            When another text checkpoint lies at hand than the network learned from.
        """
        content = read_json(folder / "encoder.json")
        config = Config.model_validate(content["config"])
        arrays = load_tensors(folder / "network.safetensors")
        vocabulary = Vocabulary(**{name: tuple(values) for name, values in content["vocabulary"].items()})
        network = from_arrays(Sizes(**content["sizes"]), config.network, arrays)
        source = TextEncoder(config.text, cache_folder)
        source.require(content.get("checkpoint_hash"))
        return cls(network, vocabulary, config, cache_folder, source)


def _pooled(states: torch.Tensor) -> torch.Tensor:
    """Return CLS beside the mean of the tokens, zero without any: (N, 1 + T, H) -> (N, 2 H)."""
    states = states.float()
    tokens = states[:, 1:]
    mean = tokens.mean(1) if tokens.shape[1] else torch.zeros_like(states[:, 0])
    return torch.cat([states[:, 0], mean], dim=-1)


@dataclass(frozen=True)
class Embedded:
    """Embeddings, (users, 2 H) float32 of float16's precision, and how many of them had to be computed."""

    vectors: Floats
    encoded: int
    reused: int
