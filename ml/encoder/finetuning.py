"""Fine-tuning: several heads on one embedding, high value first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.configs import Config
from ml.encoder import devices
from ml.encoder.network import BehaviourBert, Sizes, collate
from ml.encoder.tokens import Tokens, Vocabulary
from ml.encoder.training import LearningPoint, be_repeatable, learn, mean_over

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Examples:
    """What the network learns from, one row per user of the training cut."""

    tokens: Tokens
    features: Floats
    """What joins after the pooling, (users, columns)."""
    profile: Floats
    """What an embedding alone should be able to tell, (users, columns)."""
    targets: Floats | None
    """None where no horizon has closed: then only the profile is learned."""
    is_validation: NDArray[np.bool_]


def fine_tune(
    examples: Examples,
    text_table: Floats,
    vocabulary: Vocabulary,
    config: Config,
    start: Callable[[BehaviourBert], None] | None = None,
    checkpoint: Path | None = None,
) -> tuple[BehaviourBert, list[LearningPoint]]:
    """Train one network; the same inputs, seed and threads give the same weights.

    Parameters
    ----------
    examples
        Users of the training cut.
    text_table
        (texts, H) float32, frozen pretrained vectors.
    start
        Brings weights from elsewhere into the fresh network; None starts from scratch.
    checkpoint
        See :func:`ml.encoder.training.learn`.

    Returns
    -------
    network
        With the weights of the best validation loss.
    curve
        One point per evaluation.
    """
    be_repeatable(config.training.seed, config.training.threads)
    network = BehaviourBert(sizes(examples, text_table, vocabulary, config), config.network)
    if start is not None:
        start(network)
    task = FineTuning(network, examples, text_table, config)
    curve = learn(task, config.training, config.training.seed, checkpoint)
    return network.eval(), curve


def sizes(examples: Examples, text_table: Floats, vocabulary: Vocabulary, config: Config) -> Sizes:
    """Return what the data decide about the network's shape."""
    return Sizes(
        text_width=text_table.shape[1],
        event_types=len(vocabulary.event_types),
        channels=len(vocabulary.channels),
        features=examples.features.shape[1],
        profile=examples.profile.shape[1],
        max_tokens=config.tokens.max_tokens,
    )


class FineTuning:
    """High value, buying and log net revenue from embedding and features; the profile from the embedding."""

    name = "fine-tuning BERT"

    def __init__(
        self, network: BehaviourBert, examples: Examples, text_table: Floats, config: Config
    ) -> None:
        self.network, self.examples, self.config = network, examples, config.training
        self.lengths = examples.tokens.lengths
        self.learners = np.flatnonzero(~examples.is_validation)
        self.table = torch.from_numpy(text_table)
        device = devices.DEVICE
        self.features = torch.from_numpy(examples.features).to(device)
        self.profile = torch.from_numpy(examples.profile).to(device)
        self.targets = None if examples.targets is None else torch.from_numpy(examples.targets).to(device)

    def parameters(self) -> list[dict[str, object]]:
        """Return all weights, the straight path at a rate of its own."""
        others = [one for name, one in self.network.named_parameters() if not name.startswith("straight.")]
        straight = list(self.network.straight.parameters())
        return [{"params": others}, {"params": straight, "lr": self.config.straight_learning_rate}]

    def validation_loss(self) -> float:
        """Return the loss of high value alone, which decides when to stop."""
        members = np.flatnonzero(self.examples.is_validation)
        return mean_over(members, self.lengths, lambda part: self._losses(part)[0])

    def loss(self, members: NDArray[np.int64]) -> Tensor:
        """Return the weighted losses of all heads."""
        config = self.config
        weights = (1.0, config.buys_weight, config.revenue_weight, config.profile_weight)
        losses = self._losses(members)
        if self.targets is None:
            return losses[0]
        return torch.stack([weight * loss for weight, loss in zip(weights, losses, strict=True)]).sum()

    def _losses(self, members: NDArray[np.int64]) -> list[Tensor]:
        """Return the losses of high value, buying, revenue and profile; without targets the last alone."""
        device = devices.DEVICE
        batch = collate(self.examples.tokens, members)
        used, text = torch.unique(batch.text, return_inverse=True)
        batch = replace(batch, text=text).to(device)
        embedding = self.network(batch, self.network.text(self.table[used].to(device)))
        rows = torch.from_numpy(members).to(device)
        profile = nn.functional.mse_loss(self.network.profile(embedding), self.profile[rows])
        if self.targets is None:
            return [profile]
        verdict, target = self.network.judge(embedding, self.features[rows]), self.targets[rows]
        with_logits = nn.functional.binary_cross_entropy_with_logits
        return [
            with_logits(verdict[:, 0], target[:, 0]),
            with_logits(verdict[:, 1], target[:, 1]),
            nn.functional.mse_loss(verdict[:, 2], target[:, 2]),
            profile,
        ]
