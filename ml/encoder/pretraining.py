"""Masked events: the network learns to tell a hidden event from those around it, without any label.

Of some tokens all content is hidden; from what BERT says of their places it must tell one of
the products, the kind of event and the gap before it. It reads only the sequences that it is
given, those of the train cut, so it sees nothing after the cut.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.configs import Config
from ml.encoder import devices
from ml.encoder.network import Batch, BehaviourBert, collate
from ml.encoder.tokens import EVENT_TYPE, GAP, GAP_EDGES, Tokens
from ml.encoder.training import LearningPoint, be_repeatable, learn, mean_over

Floats = NDArray[np.float32]
FROM_THE_HEAD = ("join.", "outcomes.", "straight.", "profile.")
"""Layers that pretraining does not teach."""


def pretrain(
    network: BehaviourBert,
    tokens: Tokens,
    text_table: Floats,
    is_validation: NDArray[np.bool_],
    config: Config,
    checkpoint: Path | None = None,
) -> list[LearningPoint]:
    """Teach a network's layers below the heads; the same inputs and seed give the same weights."""
    be_repeatable(config.training.seed, config.training.threads)
    task = MaskedEvents(network, tokens, text_table, is_validation, config)
    return learn(task, config.pretraining, config.training.seed, checkpoint)


class _Guesser(nn.Module):
    """The network with what guesses hidden events; the product is the nearest projected text."""

    def __init__(self, behaviour: BehaviourBert) -> None:
        super().__init__()
        width = behaviour.config.hidden_size
        self.behaviour = behaviour
        self.hidden = nn.Parameter(torch.zeros(width))
        self.product = nn.Linear(width, width)
        self.event_type = nn.Linear(width, behaviour.sizes.event_types + 1)
        self.gap = nn.Linear(width, len(GAP_EDGES) + 1)


class MaskedEvents:
    """Tell which product, which kind and which gap lies behind a mask."""

    name = "pretraining BERT on masked events"

    def __init__(
        self,
        network: BehaviourBert,
        tokens: Tokens,
        text_table: Floats,
        is_validation: NDArray[np.bool_],
        config: Config,
    ) -> None:
        self.network, self.tokens, self.config = _Guesser(network), tokens, config.pretraining
        self.table = torch.from_numpy(text_table)
        self.lengths = tokens.lengths
        has_context = self.lengths > 1  # one token alone has nothing to be told from
        self.learners = np.flatnonzero(has_context & ~is_validation)
        self.held_out = np.flatnonzero(has_context & is_validation)
        frequency = np.bincount(tokens.text, minlength=len(text_table)).astype(np.float64)
        self.frequency = torch.from_numpy(frequency / max(frequency.sum(), 1.0))

    def parameters(self) -> list[dict[str, object]]:
        """Return the weights below the heads."""
        taught = [
            one
            for name, one in self.network.named_parameters()
            if not name.removeprefix("behaviour.").startswith(FROM_THE_HEAD)
        ]
        return [{"params": taught}]

    def validation_loss(self) -> float:
        """Return the loss on held-out users, under masks that are the same each time."""
        torch.manual_seed(0)
        return mean_over(self.held_out, self.lengths, self.loss)

    def loss(self, members: NDArray[np.int64]) -> Tensor:
        """Return the weighted losses of product, kind and gap at hidden places."""
        batch, network, device = collate(self.tokens, members), self.network.behaviour, devices.DEVICE
        is_hidden = self._hide(batch)
        candidates = self._candidates(batch)
        batch = replace(batch, text=torch.searchsorted(candidates, batch.text))
        product, has_text = _one_text(batch, is_hidden)
        places = torch.nonzero(is_hidden.flatten()).ravel().to(device)
        batch, is_hidden = batch.to(device), is_hidden.to(device)
        projected = network.text(self.table[candidates].to(device))  # (candidates, H)
        inputs = torch.where(is_hidden.unsqueeze(-1), self.network.hidden, network.inputs(batch, projected))
        states = network.states(batch, inputs).flatten(0, 1)[places]  # (hidden, H)
        kinds = batch.kinds.flatten(0, 1)[places]
        told = self._unbiased(self.network.product(states[has_text.to(device)]) @ projected.T, candidates)
        cross_entropy = nn.functional.cross_entropy
        return (
            cross_entropy(told, product.to(device), reduction="sum") / max(1, len(product))
            + self.config.type_weight * cross_entropy(self.network.event_type(states), kinds[:, EVENT_TYPE])
            + self.config.gap_weight * cross_entropy(self.network.gap(states), kinds[:, GAP])
        )

    def _hide(self, batch: Batch) -> Tensor:
        """Draw the tokens to hide, (B, L): one per user at least."""
        is_token = batch.is_real & ~batch.is_start
        draws = torch.rand(is_token.shape).masked_fill(~is_token, 2.0)
        return is_token & (
            (draws < self.config.mask_share) | (draws == draws.min(dim=1, keepdim=True).values)
        )

    def _candidates(self, batch: Batch) -> Tensor:
        """Return the texts to choose from: all, or those of the batch and some that are drawn."""
        count = len(self.table)
        if count <= self.config.full_softmax:
            return torch.arange(count)
        drawn = torch.multinomial(self.frequency + 1e-9, self.config.full_softmax, replacement=True)
        return torch.unique(torch.cat([batch.text, drawn]))

    def _unbiased(self, guesses: Tensor, candidates: Tensor) -> Tensor:
        """Take back that frequent texts are drawn more often (Bengio, Senécal 2008, logQ correction)."""
        if len(candidates) == len(self.table):
            return guesses
        drawn = 1 - (1 - self.frequency[candidates]) ** self.config.full_softmax
        return guesses - drawn.clamp(min=1e-12).log().to(guesses)


def _one_text(batch: Batch, is_hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Draw for each hidden token one of its texts; also name the hidden tokens that have any."""
    ends = torch.cat([batch.text_offsets[1:], torch.tensor([len(batch.text)])])
    places = is_hidden.flatten()
    first, size = batch.text_offsets[places], (ends - batch.text_offsets)[places]
    has_text = size > 0
    pick = first + (torch.rand(len(size)) * size).long()
    return batch.text[pick[has_text]], torch.nonzero(has_text).ravel()
