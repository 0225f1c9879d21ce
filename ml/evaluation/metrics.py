"""What a score is worth, on many weightings of the same users at once.

A weighting is a vector of counts per user: all ones is the plain sample, a multinomial
draw is one bootstrap resample. Ties are treated exactly: users with the same score share
one threshold, and a decile border through a tie takes its users in proportion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Metric = Callable[[NDArray[Any], NDArray[Any], Floats | None], Floats]


def roc_auc(truth: ArrayLike, scores: ArrayLike, weights: Floats | None = None) -> Floats:
    """Return the share of (positive, negative) pairs in the right order; a tie is half right.

    Parameters
    ----------
    truth
        (users,) bool.
    scores
        (users,) higher means more likely.
    weights
        (weightings, users); None is the plain sample.

    Returns
    -------
    ndarray of shape (weightings,)
        NaN where a weighting holds one class only.

    Examples
    --------
    Two positives, two negatives: of four pairs, two are right, one is tied, one is wrong.

    >>> float(roc_auc([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.7])[0]) == (1 + 1 + 0.5 + 0) / 4
    True
    """
    positive, negative = _by_threshold(truth, scores, weights)
    above = np.cumsum(positive, axis=1) - positive
    right = (negative * (above + 0.5 * positive)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(right / (positive.sum(axis=1) * negative.sum(axis=1)))


def pr_auc(truth: ArrayLike, scores: ArrayLike, weights: Floats | None = None) -> Floats:
    """Return average precision: precision at each threshold, weighted by the recall it adds.

    >>> float(pr_auc([1, 0, 1], [0.9, 0.8, 0.7])[0]) == (1 / 1 + 2 / 3) / 2
    True
    """
    positive, negative = _by_threshold(truth, scores, weights)
    hits, misses = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(hits + misses > 0, hits / (hits + misses), 0.0)
        return np.asarray((precision * positive).sum(axis=1) / positive.sum(axis=1))


def brier(truth: ArrayLike, scores: ArrayLike, weights: Floats | None = None) -> Floats:
    """Return the mean squared distance between probability and outcome.

    >>> bool(np.isclose(brier([1, 0], [0.8, 0.4])[0], (0.2**2 + 0.4**2) / 2))
    True
    """
    errors = (np.asarray(scores, dtype=np.float64) - np.asarray(truth, dtype=np.float64)) ** 2
    weights = _weights(weights, len(errors))
    return np.asarray((weights @ errors) / weights.sum(axis=1))


def lift_top_decile(truth: ArrayLike, scores: ArrayLike, weights: Floats | None = None) -> Floats:
    """Return how much more frequent positives are in the best-scored tenth than overall.

    >>> float(lift_top_decile([1] + [0] * 9, np.arange(10, 0, -1))[0])
    10.0
    >>> float(lift_top_decile([1, 0] * 5, np.zeros(10))[0])
    1.0
    """
    positive, negative = _by_threshold(truth, scores, weights)
    size = positive + negative
    total = size.sum(axis=1, keepdims=True)
    before = np.cumsum(size, axis=1) - size
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(size > 0, np.clip(0.1 * total - before, 0, size) / size, 0.0)
        top_rate = (share * positive).sum(axis=1) / (0.1 * total[:, 0])
        return np.asarray(top_rate / (positive.sum(axis=1) / total[:, 0]))


METRICS: dict[str, Metric] = {
    "roc_auc": roc_auc,
    "pr_auc": pr_auc,
    "brier": brier,
    "lift_top_decile": lift_top_decile,
}


def _weights(weights: Floats | None, count: int) -> Floats:
    return np.ones((1, count)) if weights is None else np.asarray(weights, dtype=np.float64)


def _by_threshold(truth: ArrayLike, scores: ArrayLike, weights: Floats | None) -> tuple[Floats, Floats]:
    """Return the weight of positives and of negatives at each distinct score, best first."""
    labels, values = np.asarray(truth, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    values = values[order]
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    ordered = _weights(weights, len(values))[:, order]
    positive = np.add.reduceat(ordered * labels[order], starts, axis=1)
    return positive, np.add.reduceat(ordered, starts, axis=1) - positive
