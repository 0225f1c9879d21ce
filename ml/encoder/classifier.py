"""BERT as a model of high value: embedding and features to a probability."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.configs import Config
from ml.encoder.encoder import Embedded, Encoder
from ml.encoder.features import Scaler, Steps, numeric
from ml.encoder.outcomes import Outcomes
from ml.encoder.texts import TextEncoder
from ml.encoder.tokens import Sequences, Vocabulary, tokenise
from ml.encoder.training import Examples, LearningPoint, fine_tune, held_out
from ml.packages import read_json, write_json


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
    ) -> tuple[Classifier, list[LearningPoint]]:
        """Fine-tune on the users of one cut; vocabulary and bins are learned there too.

        Without ``outcomes`` (no horizon has closed yet) the encoder learns behaviour profiles
        only: it can group users, but not score them.
        """
        vocabulary = Vocabulary.of(sequences, config.tokens)
        values = numeric(features)
        steps = Steps.fit(values, config.network.feature_bins)
        examples = Examples(
            tokens=tokenise(sequences, vocabulary, config.tokens),
            features=steps.apply(values),
            profile=Scaler.fit(values).apply(values),
            targets=None if outcomes is None else outcomes.as_targets(),
            is_validation=held_out(users, config.training.validation_share, config.training.seed),
        )
        table = TextEncoder(config.text, folder).vectors(sequences.texts)
        network, curve = fine_tune(examples, table, vocabulary, config)
        return cls(Encoder(network, vocabulary, config, folder), steps), curve

    def embed(self, sequences: Sequences) -> Embedded:
        """Return embeddings of behaviour alone, without features."""
        return self.encoder.embed(sequences)

    def score(self, embeddings: NDArray[np.float32], features: pd.DataFrame) -> NDArray[np.float64]:
        """Return probabilities of high value, (users,)."""
        return self.encoder.judge(embeddings, self.steps.apply(numeric(features)))

    def contributions(
        self, embeddings: NDArray[np.float32], features: pd.DataFrame
    ) -> tuple[list[str], NDArray[np.float64]]:
        """Return what each feature adds to the logit against the average user, (users, columns)."""
        found = self.encoder.contributions(embeddings, self.steps.apply(numeric(features)))
        owners, names = self.steps.owners, self.steps.names
        by_feature = np.stack([found[:, owners == place].sum(axis=1) for place in range(len(names))], axis=1)
        return names, by_feature.astype(np.float64)

    def save(self, folder: Path) -> None:
        """Write encoder and bins."""
        self.encoder.save(folder)
        write_json(folder / "steps.json", self.steps.as_json(), sort_keys=False)

    @classmethod
    def load(cls, folder: Path, cache_folder: Path | None) -> Classifier:
        """Read what :meth:`save` wrote."""
        return cls(Encoder.load(folder, cache_folder), Steps.from_json(read_json(folder / "steps.json")))
