"""Integrated gradients (Sundararajan, Taly & Yan 2017): which events and features made one user's score.

The way leads from a baseline that says nothing (tokens of zeros; the average user's features)
to the user, and each step's gradient is laid at the door of the token or feature that moved.
The parts add up to the difference of the two log odds, which tells how exact they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from ml.encoder.classifier import Classifier
from ml.encoder.features import numeric
from ml.encoder.network import collate
from ml.encoder.tokens import Sequences, most_recent, token_starts
from ml.evaluation.metrics import Floats

STEPS = 128
"""So many leave about a hundredth of the difference unexplained; each costs one pass of one user."""
SHOWN_LETTERS = 40


@dataclass(frozen=True)
class Attribution:
    """One user's score in parts, all in log odds."""

    events: Floats
    """(tokens,), oldest first."""
    features: dict[str, float]
    score: float
    baseline: float

    @property
    def unexplained(self) -> float:
        """Return what the parts lack of the difference between score and baseline."""
        return self.score - self.baseline - float(self.events.sum()) - sum(self.features.values())


def attribute(model: Classifier, sequences: Sequences, features: pd.DataFrame) -> Attribution:
    """Return the parts of one user's score.

    Parameters
    ----------
    sequences, features
        Of that user alone: one row each.
    """
    encoder, network = model.encoder, model.encoder.network
    tokens = encoder.tokens(sequences)
    projected = encoder.project(tokens, sequences.texts, np.zeros(1, np.int64)).clone()
    encoded = torch.from_numpy(model.steps.apply(numeric(features)))  # (1, columns)
    share = torch.cat([(torch.arange(STEPS) + 0.5) / STEPS, torch.tensor([0.0, 1.0])])  # middles, then ends
    batch = collate(tokens, np.zeros(len(share), np.int64))
    way: dict[str, torch.Tensor] = {}

    def scale(_: Any, arguments: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        way["whole"] = named["inputs_embeds"].detach()  # (B, 1 + tokens, H), CLS first
        fixed, moving = way["whole"][:, :1], way["whole"][:, 1:]
        way["point"] = torch.cat([fixed, share[:, None, None] * moving], dim=1).requires_grad_()
        return arguments, {**named, "inputs_embeds": way["point"]}

    hook = network.bert.register_forward_pre_hook(scale, with_kwargs=True)
    try:
        inputs = (share[:, None] * encoded).requires_grad_()
        logits = network.judge(network(batch, projected), inputs)[:, 0]
    finally:
        hook.remove()
    of_tokens, of_features = torch.autograd.grad(logits.sum(), (way["point"], inputs))
    by_token = (of_tokens[:STEPS, 1:].mean(0) * way["whole"][0, 1:]).sum(-1).numpy().astype(np.float64)
    by_column = (of_features[:STEPS].mean(0) * encoded[0]).numpy().astype(np.float64)
    owners = model.steps.owners
    return Attribution(
        events=by_token,
        features={
            name: float(by_column[owners == place].sum()) for place, name in enumerate(model.steps.names)
        },
        score=float(logits[-1].detach()),
        baseline=float(logits[-2].detach()),
    )


def events_in_words(model: Classifier, sequences: Sequences) -> list[str]:
    """Return one user's tokens in words, oldest first, such as ``3rd last event: cart, oak bread board``."""
    config = model.encoder.config.tokens
    starts, user = token_starts(sequences, bool(config.merge_simultaneous))
    starts = starts[most_recent(user, len(sequences), config.max_tokens)]
    count = len(starts)
    return [
        f"{_place(count - index)}: {sequences.event_type[start]}, "
        f"{sequences.texts[sequences.text[start]][:SHOWN_LETTERS] or 'no words'}"
        for index, start in enumerate(starts)
    ]


def _place(number: int) -> str:
    """Count from the end.

    >>> [_place(one) for one in (1, 2, 3, 11, 22)]
    ['last event', '2nd last event', '3rd last event', '11th last event', '22nd last event']
    """
    if number == 1:
        return "last event"
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending} last event"
