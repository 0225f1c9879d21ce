"""The behaviour BERT: a small BertModel on event tokens, and the heads on top of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from ml.configs import NetworkConfig
from ml.encoder.tokens import GAP_EDGES, NUMBERS, Tokens, _ranges

OUTPUTS = ("high_value", "buys", "log_revenue")


@dataclass(frozen=True)
class Sizes:
    """What the data decide about the network's shape."""

    text_width: int
    event_types: int
    channels: int
    features: int
    profile: int
    max_tokens: int


@dataclass(frozen=True)
class Batch:
    """Tokens of B users padded to T; texts are bags of rows of a table."""

    text: Tensor  # (words,) rows of the text table
    text_offsets: Tensor  # (B * T,)
    event_type: Tensor  # (B, T), like the next three
    channel: Tensor
    gap: Tensor
    hour: Tensor
    numbers: Tensor  # (B, T, NUMBERS)
    mask: Tensor  # (B, T + 1), True at CLS and at real tokens
    position: Tensor  # (B, T + 1): 0 at CLS, 1 at the newest token, counted backwards


def collate(tokens: Tokens, members: NDArray[np.int64], length: int, rows: int | None = None) -> Batch:
    """Pad the tokens of some users to ``length``; ``rows`` beyond them hold no token."""
    rows = rows or len(members)
    sizes = np.zeros(rows, dtype=np.int64)
    sizes[: len(members)] = tokens.lengths[members]
    starts = np.zeros(rows, dtype=np.int64)
    starts[: len(members)] = tokens.offsets[members]
    place = np.arange(length)
    is_real = place < sizes[:, None]  # (B, T)
    index = np.where(is_real, starts[:, None] + place, -1)
    words = np.where(is_real, np.append(np.diff(tokens.text_offsets), 0)[index], 0).ravel()
    first_word = np.append(tokens.text_offsets[:-1], 0)[index].ravel()
    return Batch(
        text=torch.from_numpy(tokens.text[_ranges(first_word, words)]),
        text_offsets=torch.from_numpy(np.cumsum(words) - words),
        event_type=_padded(tokens.event_type, index),
        channel=_padded(tokens.channel, index),
        gap=_padded(tokens.gap, index),
        hour=_padded(tokens.hour, index),
        numbers=torch.from_numpy(np.vstack([tokens.numbers, np.zeros((1, NUMBERS), np.float32)])[index]),
        mask=torch.from_numpy(np.hstack([np.ones((rows, 1), bool), is_real])),
        position=torch.from_numpy(
            np.hstack([np.zeros((rows, 1), np.int64), np.where(is_real, sizes[:, None] - place, 0)])
        ),
    )


def _padded(values: NDArray[np.int64], index: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(np.append(values, 0)[index])


class BehaviourBert(nn.Module):
    """Tokens to an embedding; embedding and features to three outcomes and a profile.

    Features join after the pooling, and reach every outcome on a straight path too: what
    a linear model can say needs no hidden layer.
    """

    def __init__(self, sizes: Sizes, config: NetworkConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.sizes, self.config = sizes, config
        self.text = nn.Linear(sizes.text_width, width, bias=False)
        self.event_type = nn.Embedding(sizes.event_types + 1, width)
        self.channel = nn.Embedding(sizes.channels + 1, width)
        self.gap = nn.Embedding(len(GAP_EDGES) + 1, width)
        self.hour_of_day = nn.Embedding(24, width)
        self.day_of_week = nn.Embedding(7, width)
        self.numbers = nn.Linear(NUMBERS, width, bias=False)
        self.start = nn.Parameter(torch.zeros(width))
        self.bert = BertModel(
            BertConfig(
                vocab_size=1,
                hidden_size=width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.intermediate_size,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=0.0,
                max_position_embeddings=sizes.max_tokens + 1,
                type_vocab_size=1,
            ),
            add_pooling_layer=False,
        )
        self.join = nn.Sequential(
            nn.Linear(2 * width + sizes.features, config.join_size), nn.GELU(), nn.Dropout(config.dropout)
        )
        self.outcomes = nn.Linear(config.join_size, len(OUTPUTS))
        self.straight = nn.Linear(sizes.features, len(OUTPUTS))
        self.profile = nn.Linear(2 * width, sizes.profile)
        for embedding in (self.event_type, self.channel, self.gap, self.hour_of_day, self.day_of_week):
            nn.init.normal_(embedding.weight, std=0.02)
        for layer in (self.outcomes, self.straight):
            nn.init.zeros_(layer.weight)

    def forward(self, batch: Batch, projected: Tensor) -> Tensor:
        """Return embeddings.

        Parameters
        ----------
        batch
            B users, T tokens each.
        projected
            (texts, H): rows of the text table through ``self.text``, which ``batch.text`` names.

        Returns
        -------
        Tensor of shape (B, 2 H)
            CLS beside the mean of the real tokens.
        """
        rows, length = batch.event_type.shape
        words = nn.functional.embedding_bag(batch.text, projected, batch.text_offsets, mode="mean")
        states = (
            words.view(rows, length, -1)
            + self.event_type(batch.event_type)
            + self.channel(batch.channel)
            + self.gap(batch.gap)
            + self.hour_of_day(batch.hour % 24)
            + self.day_of_week(batch.hour // 24)
            + self.numbers(batch.numbers)
        )  # (B, T, H)
        states = torch.cat([self.start.expand(rows, 1, -1), states], dim=1)  # (B, T + 1, H)
        states = self.bert(
            inputs_embeds=states, attention_mask=batch.mask.long(), position_ids=batch.position
        ).last_hidden_state
        real = batch.mask[:, 1:].unsqueeze(-1).to(states.dtype)
        mean = (states[:, 1:] * real).sum(1) / real.sum(1).clamp(min=1)  # (B, T, H) -> (B, H)
        return torch.cat([states[:, 0], mean], dim=-1)

    def judge(self, embedding: Tensor, features: Tensor) -> Tensor:
        """Return logits of high value and of buying, and standardised log net revenue: (B, 3)."""
        joined: Tensor = self.outcomes(self.join(torch.cat([embedding, features], dim=-1)))
        straight: Tensor = self.straight(features)
        return joined + straight


def to_arrays(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Return the weights by name."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}


def from_arrays(sizes: Sizes, config: NetworkConfig, arrays: dict[str, NDArray[Any]]) -> BehaviourBert:
    """Return a network with given weights, ready to encode."""
    network = BehaviourBert(sizes, config)
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
    return network.eval()
