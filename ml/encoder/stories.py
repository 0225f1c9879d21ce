"""Behaviour told as text, read by BertForSequenceClassification: whole, or only its last layers fine-tuned.

It costs some hundred times what tokens of events cost; it is here so that the difference can be
measured on any shop, with any checkpoint.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from ml.configs import Config
from ml.encoder import devices
from ml.encoder.devices import bf16_is_fast
from ml.encoder.outcomes import Outcomes
from ml.encoder.texts import Layers, TextEncoder
from ml.encoder.tokens import Sequences
from ml.encoder.training import LearningPoint, be_repeatable, checkpoint_of, held_out, learn, mean_over

MINUTE, HOUR, DAY = 60, 3600, 86400


def tell(sequences: Sequences, silent_days: Sequence[float]) -> list[str]:
    """Return each user's behaviour in words, newest event first: what is cut is the oldest.

    Parameters
    ----------
    silent_days
        The days since the last event; nan is not told.
    """
    shown = {"amount": sequences.amount, "quantity": sequences.quantity, "gap": sequences.gap_seconds}
    amount, quantity, gap = (values.tolist() for values in shown.values())
    stories = []
    for user, days in enumerate(silent_days):
        first, last = sequences.offsets[user : user + 2].tolist()
        parts = [] if np.isnan(days) else [f"silent for {days:.0f} days"]
        for event in range(last - 1, first - 1, -1):
            kind, text = sequences.event_type[event], sequences.texts[sequences.text[event]]
            number = f" {quantity[event]:g}" if quantity[event] else ""
            money = f" for {amount[event]:.2f}" if amount[event] else ""
            parts.append(f"{kind}{number} {text.lower()}{money}{_pause(gap[event])}")
        stories.append("; ".join(parts))
    return stories


def _pause(seconds: int) -> str:
    """Return how long before an event nothing had happened.

    >>> [_pause(seconds) for seconds in (0, 90, 7200, 172800)]
    ['', ' after 2 minutes', ' after 2 hours', ' after 2 days']
    """
    for size, name in ((DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")):
        if seconds >= size:
            return f" after {seconds / size:.0f} {name}"
    return ""


@dataclass(frozen=True)
class StoryClassifier:
    """A text BERT with a classification head on users' stories."""

    model: BertForSequenceClassification
    text: TextEncoder
    config: Config
    name = "bert_text"

    @classmethod
    def fit(
        cls,
        users: NDArray[np.object_],
        sequences: Sequences,
        features: pd.DataFrame,
        outcomes: Outcomes,
        config: Config,
        folder: Path | None,
    ) -> tuple[StoryClassifier, list[LearningPoint]]:
        """Fine-tune the configured checkpoint, or its last layers, on the users of one cut.

        A fit that was killed goes on from the checkpoint that it left in ``folder``.
        """
        text = TextEncoder(config.text, folder)
        be_repeatable(config.training.seed, config.training.threads)
        model = with_head(text, config.story.trained_layers)
        stories = tell(sequences, silence(features))
        pieces = text.pieces(stories, config.story.max_tokens)
        is_validation = held_out(users, config.training.validation_share, config.training.seed)
        truth = outcomes.is_high_value
        task = ReadingStories(model, pieces, truth, is_validation, config.story.pooling)
        told = (config.digest(), text.weights_hash, "\0".join(stories), truth, is_validation)
        curve = learn(task, config.story, config.training.seed, checkpoint_of(folder, *told))
        return cls(model.eval(), text, config), curve

    @torch.inference_mode()
    def score(self, sequences: Sequences, features: pd.DataFrame) -> NDArray[np.float64]:
        """Return probabilities of high value, (users,)."""
        torch.set_num_threads(self.config.training.threads)
        pieces = self.text.pieces(tell(sequences, silence(features)), self.config.story.max_tokens)
        model: Any = nn.Module.to(self.model, devices.DEVICE)
        scores = np.zeros(len(pieces))
        for pack, states in Layers(model.bert).read(pieces, "reading stories"):
            pooled = [_pooled(model, part.float(), self.config.story.pooling) for part in pack.split(states)]
            logits = model.classifier(torch.cat(pooled))[:, 1]
            scores[pack.members] = torch.sigmoid(logits.double()).cpu().numpy()
        return scores


def silence(features: pd.DataFrame) -> list[float]:
    """Return the days since each user's last event, nan where unknown."""
    found = features["recency_days"] if "recency_days" in features else pd.Series(np.nan, features.index)
    return [float(days) for days in found.astype("float64")]


class ReadingStories:
    """High value from stories.

    Layers that don't learn are read without padding and in the fastest type.
    """

    name = "fine-tuning BERT on stories"

    def __init__(
        self,
        model: BertForSequenceClassification,
        pieces: list[list[int]],
        truth: NDArray[np.bool_],
        is_validation: NDArray[np.bool_],
        pooling: str = "mean",
    ) -> None:
        self.network: nn.Module = model
        self.pooling = pooling
        self.pieces = pieces
        self.lengths = np.array([len(one) for one in pieces])
        self.truth = torch.from_numpy(truth.astype(np.float32)).to(devices.DEVICE)
        self.learners, self.held_out = np.flatnonzero(~is_validation), np.flatnonzero(is_validation)

    @cached_property
    def _frozen(self) -> Layers | None:
        """Return the layers that don't learn; None where all do."""
        bert: Any = self.network.bert
        count = sum(not _learns(layer) for layer in bert.encoder.layer)
        return Layers(bert, count) if count else None

    def parameters(self) -> list[dict[str, object]]:
        """Return the weights that learn."""
        return [{"params": [one for one in self.network.parameters() if one.requires_grad]}]

    def validation_loss(self) -> float:
        """Return the loss on held-out users."""
        return mean_over(self.held_out, self.lengths, self.loss, size=64)

    def loss(self, members: NDArray[np.int64]) -> Tensor:
        """Return the cross entropy of high value."""
        return nn.functional.binary_cross_entropy_with_logits(
            self.logits(members), self.truth[torch.from_numpy(members).to(devices.DEVICE)]
        )

    def logits(self, members: NDArray[np.int64]) -> Tensor:
        """Return logits, (B,), of stories padded to the longest among them."""
        model: Any = self.network
        lengths = self.lengths[members]
        is_real = torch.from_numpy(np.arange(lengths.max()) < lengths[:, None]).to(devices.DEVICE)
        with torch.autocast(devices.DEVICE.type, torch.bfloat16, enabled=bf16_is_fast()):
            states = self._read(members, is_real)
            mask = is_real[:, None, None, :]
            for layer in model.bert.encoder.layer:
                states = layer(states, mask) if _learns(layer) else states
            pooled = _pooled(model, states, self.pooling, is_real)
            logits: Tensor = model.classifier(model.dropout(pooled)).float()[:, 1]
        return logits

    def _read(self, members: NDArray[np.int64], is_real: Tensor) -> Tensor:
        """Return the states that the first learning layer takes, (B, L, H)."""
        model: Any = self.network
        pieces = [self.pieces[member] for member in members]
        if self._frozen is None:
            ids = torch.zeros(is_real.shape, dtype=torch.int64)
            for row, known in enumerate(pieces):
                ids[row, : len(known)] = torch.tensor(known)
            embedded: Tensor = model.bert.embeddings(input_ids=ids.to(devices.DEVICE))
            return embedded
        states = torch.zeros(*is_real.shape, self._frozen.width, device=devices.DEVICE)
        for pack, read in self._frozen.read(pieces):
            rows = iter(pack.members.tolist())
            for part in pack.split(read):
                for one in part:
                    states[next(rows), : len(one)] = one
        return states


def _learns(layer: nn.Module) -> bool:
    return next(layer.parameters()).requires_grad


def _pooled(model: Any, states: Tensor, pooling: str, is_real: Tensor | None = None) -> Tensor:
    """Return what the head judges, (B, H): the mean of the real pieces, or the pooler's word on the first."""
    if pooling == "first":
        found: Tensor = model.bert.pooler(states)
        return found
    if is_real is None:
        return states.mean(1)
    weights = is_real.to(states.dtype)[..., None]  # (B, L, 1)
    return (states * weights).sum(1) / weights.sum(1)


def with_head(text: TextEncoder, trained_layers: int) -> Any:
    """Return the checkpoint with a fresh pooler and head: two classes, of which the second is trained.

    Attention drops nothing: PyTorch's fused attention for processors can't.
    """
    encoder = text.bert()
    settings = copy.deepcopy(encoder.config)
    settings.attention_probs_dropout_prob = 0.0
    model = BertForSequenceClassification(settings)
    model.bert.load_state_dict(encoder.state_dict(), strict=False)
    lower = model.bert.encoder.layer[:-trained_layers]
    for frozen in (model.bert.embeddings, *lower) if len(lower) else ():
        frozen.requires_grad_(False)
    return model
