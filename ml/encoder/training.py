"""Fine-tuning: a budget in steps, length buckets, early stopping on users never trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn

from cli import console
from ml.configs import Config, TrainingConfig
from ml.encoder.keys import digest_of
from ml.encoder.network import BehaviourBert, Sizes, collate
from ml.encoder.tokens import Tokens, Vocabulary

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


@dataclass(frozen=True)
class LearningPoint:
    """The learning curve at one step."""

    step: int
    train_loss: float
    validation_loss: float


def held_out(users: NDArray[np.object_], share: float, seed: int) -> NDArray[np.bool_]:
    """Mark users held out of training, by hash: a user's side doesn't depend on who else is there.

    >>> held_out(np.array(["a", "b"], dtype=object), 1.0, 7).tolist()
    [True, True]
    """
    draws = np.array([int(digest_of(f"{seed}|{user}")[:8], 16) for user in users], dtype=np.float64)
    return np.asarray(draws / 16**8 < share)


def fine_tune(
    examples: Examples, text_table: Floats, vocabulary: Vocabulary, config: Config
) -> tuple[BehaviourBert, list[LearningPoint]]:
    """Train one network; the same inputs, seed and threads give the same weights.

    Parameters
    ----------
    examples
        Users of the training cut.
    text_table
        (texts, H) float32, frozen pretrained vectors.

    Returns
    -------
    network
        With the weights of the best validation loss.
    curve
        One point per evaluation.
    """
    torch.set_num_threads(config.training.threads)
    torch.manual_seed(config.training.seed)
    torch.use_deterministic_algorithms(True)
    sizes = Sizes(
        text_width=text_table.shape[1],
        event_types=len(vocabulary.event_types),
        channels=len(vocabulary.channels),
        features=examples.features.shape[1],
        profile=examples.profile.shape[1],
        max_tokens=config.tokens.max_tokens,
    )
    learner = _Learner(BehaviourBert(sizes, config.network), examples, text_table, config.training)
    curve = learner.run()
    return learner.network.eval(), curve


class _Learner:
    def __init__(
        self, network: BehaviourBert, examples: Examples, text_table: Floats, config: TrainingConfig
    ) -> None:
        self.network, self.examples, self.config = network, examples, config
        self.table = torch.from_numpy(text_table)
        self.features = torch.from_numpy(examples.features)
        self.profile = torch.from_numpy(examples.profile)
        self.targets = None if examples.targets is None else torch.from_numpy(examples.targets)
        straight = list(network.straight.parameters())
        others = [one for name, one in network.named_parameters() if not name.startswith("straight.")]
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": straight, "lr": config.straight_learning_rate},
        ]
        self.optimizer = torch.optim.AdamW(
            groups,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.best = math.inf
        self.best_weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def run(self) -> list[LearningPoint]:
        config, curve, running = self.config, [], []
        rng = np.random.default_rng(config.seed)
        batches = _endless_batches(self.examples, config.batch_size, rng)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("fine-tuning BERT", total=config.steps)
            for step in range(1, config.steps + 1):
                running.append(self._learn(next(batches)))
                progress.advance(bar)
                if step % config.evaluate_every == 0 or step == config.steps:
                    curve.append(LearningPoint(step, float(np.mean(running)), self._validate()))
                    running = []
                    self._keep_if_best(curve[-1])
                    if _is_stuck(curve, config.patience):
                        break
        self.network.load_state_dict(self.best_weights)
        return curve

    def _rate(self, step: int) -> float:
        warm = max(1, round(self.config.warmup_share * self.config.steps))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, self.config.steps - warm))))

    def _learn(self, members: NDArray[np.int64]) -> float:
        self.network.train()
        loss = self._loss(members)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        return float(loss.detach())

    @torch.no_grad()
    def _validate(self) -> float:
        self.network.eval()
        members = np.flatnonzero(self.examples.is_validation)
        if len(members) == 0:
            return math.inf
        members = members[np.argsort(self.examples.tokens.lengths[members], kind="stable")]
        losses = [
            (float(self._loss(part, score_only=True)), len(part))
            for part in np.array_split(members, math.ceil(len(members) / 256))
        ]
        return sum(loss * size for loss, size in losses) / len(members)

    def _loss(self, members: NDArray[np.int64], score_only: bool = False) -> Tensor:
        """Return the weighted loss; ``score_only`` leaves out what doesn't decide when to stop."""
        tokens = self.examples.tokens
        batch = collate(tokens, members, max(1, int(tokens.lengths[members].max())))
        used, text = torch.unique(batch.text, return_inverse=True)
        projected = self.network.text(self.table[used])
        embedding = self.network(replace(batch, text=text), projected)
        rows = torch.from_numpy(members)
        profile = nn.functional.mse_loss(self.network.profile(embedding), self.profile[rows])
        if self.targets is None:
            return profile
        verdict, target = self.network.judge(embedding, self.features[rows]), self.targets[rows]
        with_logits = nn.functional.binary_cross_entropy_with_logits
        high_value = with_logits(verdict[:, 0], target[:, 0])
        if score_only:
            return high_value
        config = self.config
        return (
            high_value
            + config.buys_weight * with_logits(verdict[:, 1], target[:, 1])
            + config.revenue_weight * nn.functional.mse_loss(verdict[:, 2], target[:, 2])
            + config.profile_weight * profile
        )

    def _keep_if_best(self, point: LearningPoint) -> None:
        # Without held-out users the last weights win: inf <= inf.
        if point.validation_loss <= self.best:
            self.best = point.validation_loss
            self.best_weights = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}


def _is_stuck(curve: list[LearningPoint], patience: int) -> bool:
    """Tell whether the last ``patience`` evaluations brought no better validation loss."""
    losses = [point.validation_loss for point in curve]
    return len(losses) > patience and min(losses[-patience:]) > min(losses[:-patience])


def _endless_batches(examples: Examples, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield batches of similar length for ever: shuffled, sorted within eight batches, shuffled again."""
    lengths = examples.tokens.lengths
    members = np.flatnonzero(~examples.is_validation)
    while True:
        shuffled = rng.permutation(members)
        for start in range(0, len(shuffled), 8 * size):
            pool = shuffled[start : start + 8 * size]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            batches = [pool[at : at + size] for at in range(0, len(pool), size)]
            for index in rng.permutation(len(batches)):
                yield batches[index]
