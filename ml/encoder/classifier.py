"""BERT as a model of high value: embedding and features to a probability."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.configs import Config, with_changes
from ml.encoder.encoder import Embedded, Encoder
from ml.encoder.features import Scaler, Steps, numeric
from ml.encoder.finetuning import Examples, fine_tune, sizes
from ml.encoder.network import BehaviourBert
from ml.encoder.order import OrderFeatures
from ml.encoder.outcomes import Outcomes
from ml.encoder.pretraining import pretrain
from ml.encoder.start import Pretrained, sized_as_text, text_layers_into
from ml.encoder.text_controls import text_source
from ml.encoder.tokens import Sequences, Told, Vocabulary, merges, tokenise
from ml.encoder.training import LearningPoint, be_repeatable, checkpoint_of, held_out
from ml.packages import read_json, write_json

RECENCY = "recency_days"
"""The time since the last event: what a sequence says of a date, and no token may carry."""


@dataclass(frozen=True)
class Classifier:
    """The behaviour BERT with the encoding of the features that join it."""

    encoder: Encoder
    steps: Steps
    name = "bert"

    @classmethod
    def fit(
        cls,
        users: NDArray[np.object_],
        sequences: Sequences,
        features: pd.DataFrame,
        outcomes: Outcomes | None,
        config: Config,
        folder: Path | None,
        pretrained: Pretrained | None = None,
    ) -> tuple[Classifier, list[LearningPoint]]:
        """Fine-tune on the users of one cut; vocabulary and bins are learned there too.

        Without ``outcomes`` (no horizon has closed yet) the encoder learns behaviour profiles
        only: it can group users, but not score them. A fit that was killed goes on from the
        checkpoint that it left in ``folder``.

        Parameters
        ----------
        pretrained
            What another shop's pretraining taught; None lets ``network.start`` decide.
        """
        config = settled(config, sequences, folder)
        vocabulary = Vocabulary.of(sequences, config.tokens)
        values = numeric(features)
        steps = Steps.fit(_joining(values, config), config.network.feature_bins)
        told = values
        if config.training.profile_order:
            told = numeric(OrderFeatures.fit(sequences).beside(features, sequences))
        examples = Examples(
            tokens=tokenise(sequences, vocabulary, config.tokens),
            features=steps.apply(values),
            profile=Scaler.fit(told).apply(told),
            targets=None if outcomes is None else outcomes.as_targets(),
            is_validation=held_out(users, config.training.validation_share, config.training.seed),
        )
        source = text_source(config.text, folder, sequences.texts)
        table = source.vectors(sequences.texts)
        if pretrained is None and config.network.start == "pretrained":
            pretrained = pretrain_on(users, sequences, config, folder)

        def start(network: BehaviourBert) -> None:
            if pretrained is not None:
                pretrained.into(network, vocabulary)
            elif config.network.start == "text_layers":
                text_layers_into(network, config, folder)

        checkpoint = _checkpoint(folder, sequences, table, examples, config, pretrained)
        network, curve = fine_tune(examples, table, vocabulary, config, start, checkpoint)
        return cls(Encoder(network, vocabulary, config, folder, source), steps), curve

    @property
    def said(self) -> dict[str, str]:
        """Return what the data of the train cut decided, for the run to say."""
        merged = self.encoder.config.tokens.merge_simultaneous
        return {"token_per": "order" if merged else "event"}

    def embed(self, told: Told) -> Embedded:
        """Return embeddings of behaviour alone, without features."""
        return self.encoder.embed(told)

    def score(self, embeddings: NDArray[np.float32], features: pd.DataFrame) -> NDArray[np.float64]:
        """Return probabilities of high value, (users,)."""
        return self.encoder.judge(embeddings, self.steps.apply(numeric(features)))

    def save(self, folder: Path) -> None:
        """Write encoder and bins."""
        self.encoder.save(folder)
        write_json(folder / "steps.json", self.steps.as_json(), sort_keys=False)

    @classmethod
    def load(cls, folder: Path, cache_folder: Path | None) -> Classifier:
        """Read what :meth:`save` wrote."""
        return cls(Encoder.load(folder, cache_folder), Steps.from_json(read_json(folder / "steps.json")))


def settled(config: Config, sequences: Sequences, folder: Path | None) -> Config:
    """Return the config with what it leaves to the data of the train cut, or to the checkpoint, filled in."""
    merge = config.tokens.merge_simultaneous
    if merge is None:
        merge = merges(sequences, config.tokens.max_tokens)
    config = with_changes(config, tokens={"merge_simultaneous": merge})
    return sized_as_text(config, folder) if config.network.start == "text_layers" else config


def _joining(values: pd.DataFrame, config: Config) -> pd.DataFrame:
    if config.network.joins == "features":
        return values
    return values[[name for name in (RECENCY,) if name in values]]


def pretrain_on(
    users: NDArray[np.object_], sequences: Sequences, config: Config, folder: Path | None
) -> Pretrained:
    """Teach a fresh network by the masked events of some users, without any label.

    It sees these sequences and nothing else: those of a train cut hold no event after the cut. A
    pretraining that was killed goes on from the checkpoint that it left in ``folder``.
    """
    config = settled(config, sequences, folder)
    vocabulary = Vocabulary.of(sequences, config.tokens)
    nothing = np.zeros((len(users), 1), np.float32)
    examples = Examples(
        tokens=tokenise(sequences, vocabulary, config.tokens),
        features=nothing,
        profile=nothing,
        targets=None,
        is_validation=held_out(users, config.training.validation_share, config.training.seed),
    )
    table = text_source(config.text, folder, sequences.texts).vectors(sequences.texts)
    be_repeatable(config.training.seed, config.training.threads)
    network = BehaviourBert(sizes(examples, table, vocabulary, config), config.network)
    checkpoint = _checkpoint(folder, sequences, table, examples, config, None)
    pretrain(network, examples.tokens, table, examples.is_validation, config, checkpoint)
    return Pretrained.of(network, vocabulary)


def _checkpoint(
    folder: Path | None,
    sequences: Sequences,
    table: NDArray[np.float32],
    examples: Examples,
    config: Config,
    pretrained: Pretrained | None,
) -> Path | None:
    arrays = [table, examples.features, examples.profile, examples.is_validation]
    arrays += [] if examples.targets is None else [examples.targets]
    arrays += [] if pretrained is None else pretrained.weights.values()
    return checkpoint_of(folder, config.digest(), sequences.digest, *arrays)
