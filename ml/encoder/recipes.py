"""What BERT can be fitted as at a cut, by the names that tables use.

    bert           the sequence alone, and how long it has been silent
    bert_features  the sequence, with all features joined after the pooling
    bert_text      behaviour told as text, read by BertForSequenceClassification

Each is fitted on one cut and scores any other; none sees another model's score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ml.configs import RECIPES as NAMES
from ml.configs import Config, with_changes
from ml.encoder.classifier import Classifier
from ml.encoder.start import Pretrained
from ml.encoder.stories import StoryClassifier
from ml.warehouse import Cut

if TYPE_CHECKING:
    from ml.evaluation.recipes import Scorer

Floats = NDArray[np.float64]

JOINS = {"bert": "recency", "bert_features": "features"}
"""What each recipe on tokens joins to the sequence: ``network.joins``."""


@dataclass(frozen=True)
class OnTokens:
    """BERT on event tokens."""

    classifier: Classifier

    def score(self, cut: Cut) -> Floats:
        """Return probabilities of high value, (users,)."""
        return self.classifier.score(self.classifier.embed(cut.sequences).vectors, cut.features)


@dataclass(frozen=True)
class OnStories:
    """BERT on text."""

    classifier: StoryClassifier

    def score(self, cut: Cut) -> Floats:
        """Return probabilities of high value, (users,)."""
        return self.classifier.score(cut.sequences, cut.features)


@dataclass(frozen=True)
class Mean:
    """The mean of models that differ in their seed."""

    models: tuple[Scorer, ...]

    def score(self, cut: Cut) -> Floats:
        """Return probabilities of high value, (users,)."""
        return np.asarray(np.mean([model.score(cut) for model in self.models], axis=0))


def fit(
    name: str,
    train: Cut,
    config: Config,
    seed: int,
    folder: Path | None = None,
    pretrained: Pretrained | None = None,
) -> Scorer:
    """Fit a recipe on the users of one cut.

    Parameters
    ----------
    name
        One of :data:`ml.configs.RECIPES`.
    folder
        Where text vectors, embeddings and the checkpoint of a killed fit are kept; None keeps nothing.
    pretrained
        What another shop's events taught, to start from; stories have no use for it.

    Raises
    ------
    ValueError
        When the name is unknown, or the cut has no outcomes.
    """
    if name not in NAMES:
        raise ValueError(f"unknown recipe {name!r}: known are {', '.join(NAMES)}")
    if train.outcomes is None:
        raise ValueError(f"the cut of {train.as_of_date} has no outcomes: read it with_outcomes=True")
    config = with_changes(config, training={"seed": seed})
    if name == "bert_text":
        told = (train.users, train.sequences, train.features, train.outcomes, config, folder)
        return OnStories(StoryClassifier.fit(*told)[0])
    config = with_changes(config, network={"joins": JOINS[name]})
    given = (train.users, train.sequences, train.features, train.outcomes, config, folder)
    return OnTokens(Classifier.fit(*given, pretrained)[0])


def fit_mean(
    name: str,
    train: Cut,
    config: Config,
    seeds: Sequence[int],
    folder: Path | None = None,
    pretrained: Pretrained | None = None,
) -> Mean:
    """Fit a recipe once per seed; its score is their mean."""
    return Mean(tuple(fit(name, train, config, seed, folder, pretrained) for seed in seeds))
