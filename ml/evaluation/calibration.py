"""From scores to probabilities, and from scores to a range of later spend.

Both are learned from users of the training cut that the scored model did not learn from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.encoder.training import held_out
from ml.warehouse import Cut

Floats = NDArray[np.float64]

ISOTONIC_POSITIVES = 1000
"""From so many positives on, a free rising curve is steadier than two parameters are biased."""


@dataclass(frozen=True)
class Calibration:
    """A rising curve from score to probability: through ``points``, or Platt's, a line in log odds."""

    slope: float
    intercept: float
    points: tuple[tuple[float, float], ...] = ()

    @classmethod
    def fit(cls, scores: Floats, truth: NDArray[np.bool_]) -> Calibration:
        """Fit Platt's curve (1999), above 1,000 positives an isotonic one.

        Parameters
        ----------
        scores
            (users,) in [0, 1], of users whom the model did not learn from.

        Examples
        --------
        Scores that say half of what is true are put right:

        >>> scores, truth = np.repeat([0.1, 0.3], 1000), np.tile([True] + [False] * 4, 400)
        >>> truth[1000:] = np.tile([True, True, True, False, False], 200)
        >>> np.round(Calibration.fit(scores, truth).of(np.array([0.1, 0.3])), 2).tolist()
        [0.2, 0.6]
        """
        from sklearn.isotonic import IsotonicRegression
        from sklearn.linear_model import LogisticRegression

        if truth.sum() > ISOTONIC_POSITIVES:
            curve = IsotonicRegression(y_min=0.0, y_max=1.0).fit(scores, truth)
            points = zip(curve.X_thresholds_, curve.y_thresholds_, strict=True)
            return cls(1.0, 0.0, tuple((float(x), float(y)) for x, y in points))
        line = LogisticRegression(C=1e6).fit(_log_odds(scores)[:, None], truth)
        return cls(float(line.coef_[0, 0]), float(line.intercept_[0]))

    @classmethod
    def from_json(cls, content: dict[str, Any] | None) -> Calibration | None:
        """Return what ``vars`` of a calibration became as JSON."""
        if content is None:
            return None
        return cls(content["slope"], content["intercept"], tuple((x, y) for x, y in content["points"]))

    def of(self, scores: Floats) -> Floats:
        """Return probabilities, (users,)."""
        if self.points:
            x, y = np.array(self.points).T
            return _probability(_log_odds(np.interp(scores, x, y)) + self.intercept)
        return _probability(self.slope * _log_odds(scores) + self.intercept)


def score_apart(fit: Callable[[Cut], Callable[[Cut], Floats]], cut: Cut, folds: int, seed: int) -> Floats:
    """Score every user of a cut by a model fitted on the other folds; folds go by a hash of the user."""
    fold = np.sum([held_out(cut.users, number / folds, seed) for number in range(1, folds)], axis=0)
    scores = np.zeros(len(cut))
    for number in range(folds):
        others, own = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(own):
            scores[own] = fit(cut.only(others))(cut.only(own))
    return scores


@dataclass(frozen=True)
class ValueRange:
    """Between what and what a user will spend, with a given chance: split conformal by tenths of the score.

    The range of a tenth is what most of its calibration users spent, leaving out equally many at either
    end, with the ranks that the finite sample asks for (Vovk, Gammerman, Shafer 2005, ch. 4: Mondrian).
    """

    borders: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def fit(cls, scores: Floats, net_revenue: Floats, share: float = 0.8, groups: int = 10) -> ValueRange:
        """Learn the range of each tenth from users whom the scoring model did not learn from.

        Examples
        --------
        Of 99 users who spent 1 to 99, four in five spent 10 to 90:

        >>> found = ValueRange.fit(np.zeros(99), np.arange(1.0, 100.0))
        >>> found.low, found.high
        ((10.0,), (90.0,))
        """
        borders = np.unique(np.quantile(scores, np.linspace(0, 1, groups + 1)[1:-1]))
        group = np.searchsorted(borders, scores, side="left")
        tail = (1 - share) / 2
        parts = [np.sort(net_revenue[group == number]) for number in range(len(borders) + 1)]
        kept = [number for number, part in enumerate(parts) if len(part)]
        ranges = [_middle(parts[number], tail) for number in kept]
        inner = tuple(float(borders[number]) for number in kept[:-1])
        return cls(inner, tuple(low for low, _ in ranges), tuple(high for _, high in ranges))

    def of(self, scores: Floats) -> tuple[Floats, Floats]:
        """Return the lower and the upper end per user, (users,) each."""
        group = np.searchsorted(np.array(self.borders), scores, side="left")
        return np.array(self.low)[group], np.array(self.high)[group]


def coverage(
    low: Floats, high: Floats, net_revenue: Floats, scores: Floats, groups: int = 10
) -> pd.DataFrame:
    """Return, by tenth of the score (1 = best), how many of the users spent within their range."""
    is_inside = (low <= net_revenue) & (net_revenue <= high)
    parts = np.array_split(np.argsort(-scores, kind="stable"), groups)
    rows = [
        (number, len(part), is_inside[part].mean(), (high - low)[part].mean())
        for number, part in enumerate(parts, start=1)
        if len(part)
    ]
    return pd.DataFrame(rows, columns=["decile", "users", "covered_share", "width_mean"])


def _middle(ordered: Floats, tail: float) -> tuple[float, float]:
    """Return the values between which a further one lies with a chance of 1 - 2 tail, at least."""
    below = int(np.floor(tail * (len(ordered) + 1) + 1e-9))
    return float(ordered[max(below - 1, 0)]), float(ordered[min(len(ordered) - below, len(ordered) - 1)])


def reliability(truth: NDArray[np.bool_], probabilities: Floats, groups: int = 10) -> pd.DataFrame:
    """Return, by tenth of the users, what was said and what came: the table behind a calibration plot.

    >>> reliability(np.array([False, True]), np.array([0.2, 0.9]), 2)[["said", "came"]].values.tolist()
    [[0.2, 0.0], [0.9, 1.0]]
    """
    parts = np.array_split(np.argsort(probabilities, kind="stable"), groups)
    rows = [(len(part), probabilities[part].mean(), truth[part].mean()) for part in parts if len(part)]
    return pd.DataFrame(rows, columns=["users", "said", "came"])


def _log_odds(scores: Floats) -> Floats:
    bounded = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(bounded / (1 - bounded)))


def _probability(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
