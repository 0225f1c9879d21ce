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
    """Tokens laid out in B rows of L places; texts are bags of rows of a table."""

    text: Tensor  # (words,) rows of the text table
    text_offsets: Tensor  # (B * L,)
    kinds: Tensor  # (B, L, 5): event type, channel, gap, hour of day, day of week
    numbers: Tensor  # (B, L, NUMBERS)
    position: Tensor  # (B, L), like the next two: 0 at CLS, 1 at the newest token, counted backwards
    is_start: Tensor  # True at CLS
    is_real: Tensor  # True at CLS and at tokens, False at padding

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(**{name: one.to(device) for name, one in vars(self).items()})


START, NOBODY = -2, -1
"""What stands in a place that holds no token: CLS, or padding."""


def collate(tokens: Tokens, members: NDArray[np.int64]) -> Batch:
    """Give each of some users a row: CLS, the tokens, padding up to the longest."""
    sizes = tokens.lengths[members][:, None]
    place = np.arange(int(sizes.max(initial=0)) + 1) - 1  # -1 is CLS
    token = np.where(place < sizes, tokens.offsets[members][:, None] + place, NOBODY)
    token[:, 0] = START
    return _laid_out(tokens, token, np.where(token >= 0, sizes - place, 0))


def collate_packed(tokens: Tokens, members: NDArray[np.int64], rows: int) -> Batch:
    """Lay some users end to end in one row of ``rows`` places, CLS before each."""
    sizes = tokens.lengths[members]
    place = _ranges(np.full(len(members), -1), sizes + 1)  # -1 is CLS
    token = np.where(place < 0, START, np.repeat(tokens.offsets[members], sizes + 1) + place)
    position = np.where(place < 0, 0, np.repeat(sizes, sizes + 1) - place)
    fill = (0, rows - len(token))
    return _laid_out(tokens, np.pad(token, fill, constant_values=NOBODY)[None], np.pad(position, fill)[None])


def _laid_out(tokens: Tokens, token: NDArray[np.int64], position: NDArray[np.int64]) -> Batch:
    """Look up what is said of each place's token."""
    table = tokens.table
    token_or_nobody = np.maximum(token, NOBODY)
    words = table.words[token_or_nobody].ravel()
    return Batch(
        text=torch.from_numpy(tokens.text[_ranges(table.first_word[token_or_nobody].ravel(), words)]),
        text_offsets=torch.from_numpy(np.cumsum(words) - words),
        kinds=torch.from_numpy(table.kinds[token_or_nobody]),
        numbers=torch.from_numpy(table.numbers[token_or_nobody]),
        position=torch.from_numpy(position),
        is_start=torch.from_numpy(token == START),
        is_real=torch.from_numpy(token != NOBODY),
    )


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
        for embedding in self.tables:
            nn.init.normal_(embedding.weight, std=0.02)
        for layer in (self.outcomes, self.straight):
            nn.init.zeros_(layer.weight)

    @property
    def tables(self) -> tuple[nn.Embedding, ...]:
        """Return the tables of what :attr:`Batch.kinds` names, in its order."""
        return self.event_type, self.channel, self.gap, self.hour_of_day, self.day_of_week

    def inputs(self, batch: Batch, projected: Tensor) -> Tensor:
        """Return what BERT's layers read, (B, L, H).

        Parameters
        ----------
        projected
            (texts, H): rows of the text table through ``self.text``, which ``batch.text`` names.
        """
        rows, length = batch.position.shape
        words = nn.functional.embedding_bag(batch.text, projected, batch.text_offsets, mode="mean")
        tables = [table.weight for table in self.tables]
        sizes = torch.tensor([0, *(len(table) for table in tables[:-1])], device=batch.kinds.device)
        first_rows = sizes.cumsum(0)
        # One sum over one joined table, instead of a look-up and an addition for each.
        kinds = nn.functional.embedding_bag(
            (batch.kinds + first_rows).view(-1, len(tables)), torch.cat(tables), mode="sum"
        )
        states = (words + kinds).view(rows, length, -1) + self.numbers(batch.numbers)
        return torch.where(batch.is_start.unsqueeze(-1), self.start, states)

    def states(self, batch: Batch, inputs: Tensor) -> Tensor:
        """Return what the last layer says of each place, (B, L, H)."""
        read: Tensor = self.bert(
            inputs_embeds=inputs, attention_mask=batch.is_real.long(), position_ids=batch.position
        ).last_hidden_state
        return read

    def forward(self, batch: Batch, projected: Tensor) -> Tensor:
        """Return embeddings, (B, 2 H): CLS beside the mean of the real tokens."""
        states = self.states(batch, self.inputs(batch, projected))
        real = batch.is_real[:, 1:].unsqueeze(-1).to(states.dtype)
        mean = (states[:, 1:] * real).sum(1) / real.sum(1).clamp(min=1)  # (B, L, H) -> (B, H)
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
