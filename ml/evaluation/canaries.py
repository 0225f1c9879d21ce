"""Canaries: what must be true if no model knows the future, tried in every training run.

They stop a run whose features know their own label, or whose cuts hold what had not happened yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cli import ShoalError
from ml.configs import RivalConfig
from ml.encoder.features import numeric, numeric_columns
from ml.evaluation.metrics import roc_auc
from ml.evaluation.rivals import AllLogistic
from ml.warehouse import Cut

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]

KNOWS = 0.98
"""ROC-AUC of one feature alone: the best honest ones reach .90, the label itself 1."""
AGES = ("recency_days", "tenure_days", "days_since_last_order")
"""Days since something: below 0, it has not happened yet."""
PERMUTATIONS = 20
STANDARD_ERRORS = 3
SAMPLE = 1000
"""Users per cut at most: a canary shall not cost what training costs."""
LEAST = 100
"""Of each kind, of high value and not, so many are in the sample if there are: chance may draw none."""


@dataclass(frozen=True)
class Song:
    """What the canaries measured."""

    best_feature: str
    best_feature_auc: float
    permuted_auc: float
    """Mean ROC-AUC on labels that mean nothing."""
    permuted_errors: float
    """How many standard errors that lies from one half."""


def sing(train: Cut, test: Cut, config: RivalConfig, seed: int) -> Song:
    """Try every canary on a training cut and its test cut.

    Raises
    ------
    ShoalError
        When a feature alone tells the label, when an age is below 0, when labels that mean nothing are
        foretold, or when a canary is dead: a label slipped in as a feature goes unnoticed.
    """
    assert train.outcomes is not None and test.outcomes is not None
    for cut in (train, test):
        check_ages(cut.features, str(cut.as_of_date))
    truth = test.outcomes.is_high_value
    name, auc = check_features(test.features, truth)
    check_features(train.features, train.outcomes.is_high_value)
    _check_alive(test.features, truth)
    rng = np.random.default_rng(seed)
    permuted, errors = check_permuted(_some(train, rng), _some(test, rng), config, rng)
    return Song(name, auc, permuted, errors)


def check_ages(features: pd.DataFrame, when: str) -> None:
    """Refuse features of a day by which something has not happened yet."""
    for name in AGES:
        if name in features and (features[name] < 0).any():
            raise ShoalError(
                f"{name} of {when} is {features[name].min()} for a user: that lies after the cut, so a model "
                "trained on it would know the future; repair fct_user_features in dbt_project before training"
            )


def check_features(features: pd.DataFrame, truth: Truth) -> tuple[str, float]:
    """Refuse a feature that tells the label alone; return the one that comes nearest, and its ROC-AUC."""
    aucs = {name: _alone(values, truth) for name, values in numeric_columns(features).items()}
    best = max(aucs, key=lambda name: aucs[name])
    if aucs[best] > KNOWS:
        raise ShoalError(
            f"feature {best} alone tells who will be of high value (ROC-AUC {aucs[best]:.3f}): it knows the "
            "label, so nothing was trained; take it out of fct_user_features, or cut it at the as_of_date"
        )
    return best, aucs[best]


def check_permuted(
    train: Cut, test: Cut, config: RivalConfig, rng: np.random.Generator
) -> tuple[float, float]:
    """Refuse labels that are foretold though they were shuffled among the users of each cut.

    One honest run in 400 lies beyond three standard errors, so what does is asked five times as often
    before it stops anything.
    """
    for permutations in (PERMUTATIONS, 5 * PERMUTATIONS):
        mean, errors = _permuted(train, test, config, rng, permutations)
        if abs(errors) <= STANDARD_ERRORS:
            return mean, errors
    raise ShoalError(
        f"labels that mean nothing are foretold with a ROC-AUC of {mean:.3f}, {errors:.1f} standard errors "
        "from one half: a model sees the labels that it is tested on; nothing was trained"
    )


def _permuted(
    train: Cut, test: Cut, config: RivalConfig, rng: np.random.Generator, permutations: int
) -> tuple[float, float]:
    assert train.outcomes is not None and test.outcomes is not None
    values = [numeric(cut.features) for cut in (train, test)]
    aucs = []
    for _ in range(permutations):
        learned = rng.permutation(train.outcomes.is_high_value)
        came = rng.permutation(test.outcomes.is_high_value)
        aucs.append(
            float(roc_auc(came, AllLogistic.fit_on(values[0], learned, config.all_c).of(values[1]))[0])
        )
    positives = int(test.outcomes.is_high_value.sum())
    negatives = len(test) - positives
    # The variance of the Mann-Whitney statistic where nothing is to be found.
    error = sqrt((positives + negatives + 1) / (12 * positives * negatives) / permutations)
    return float(np.mean(aucs)), (float(np.mean(aucs)) - 0.5) / error


def _some(cut: Cut, rng: np.random.Generator) -> Cut:
    """Return users drawn by chance, the first :data:`LEAST` of each kind before all others."""
    assert cut.outcomes is not None
    drawn = rng.permutation(len(cut))
    is_high = cut.outcomes.is_high_value[drawn]
    place_in_kind = np.where(is_high, np.cumsum(is_high), np.cumsum(~is_high))  # from 1
    order = np.argsort(place_in_kind > LEAST, kind="stable")
    return cut.only(np.sort(drawn[order[:SAMPLE]]))


def _alone(values: pd.Series, truth: Truth) -> float:
    """Return how well a feature ranks alone, whichever its direction; unknown counts as least."""
    scores = values.fillna(-np.inf).to_numpy()
    auc = float(roc_auc(truth, scores)[0])
    return max(auc, 1 - auc)


def _check_alive(features: pd.DataFrame, truth: Truth) -> None:
    try:
        check_features(features.assign(slipped_in_label=truth), truth)
    except ShoalError:
        return
    raise ShoalError(
        "a label slipped in as a feature went unnoticed: the canaries are dead; see check_features"
    )
