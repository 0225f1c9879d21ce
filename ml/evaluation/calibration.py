"""From scores to probabilities, and from scores to a range of later spend.

Both are learned from users of the training cut that the scored model did not learn from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.encoder.training import held_out
from ml.warehouse import Cut

Floats = NDArray[np.float64]

Truth = NDArray[np.bool_]

SHORT_POSITIVES = 30
"""Fewer in a short horizon say nothing about how the odds have moved."""
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
            steps = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(scores, truth)
            return cls(1.0, 0.0, _rising(scores, steps))
        line = LogisticRegression(C=1e6).fit(_log_odds(scores)[:, None], truth)
        if line.coef_[0, 0] <= 0:  # scores that rank worse than chance tell no more than how many there are
            return cls(0.0, float(_log_odds(truth.mean())))
        return cls(float(line.coef_[0, 0]), float(line.intercept_[0]))

    @classmethod
    def from_json(cls, content: dict[str, Any] | None) -> Calibration | None:
        """Return what ``vars`` of a calibration became as JSON."""
        if content is None:
            return None
        return cls(content["slope"], content["intercept"], tuple((x, y) for x, y in content["points"]))

    def moved(self, then: tuple[Floats, Truth], newest: tuple[Floats, Truth]) -> Calibration:
        """Return it with the intercept moved as the odds have moved, at equal scores, since training.

        Both are scores and outcomes of one short horizon: after the training cut, and the newest that
        has closed. Fewer than 30 positives in either say nothing.

        Examples
        --------
        Half of those scored 0.5 bought then, a quarter do now: the odds have fallen to a third.

        >>> scores, half, quarter = np.full(200, 0.5), np.arange(200) % 2 == 0, np.arange(200) % 4 == 0
        >>> moved = Calibration(1.0, 0.0).moved((scores, half), (scores, quarter))
        >>> float(np.round(np.exp(moved.intercept), 3))
        0.333
        """
        if min(then[1].sum(), newest[1].sum()) < SHORT_POSITIVES:
            return self
        before, now = (_offset(_log_odds(self.of(scores)), truth) for scores, truth in (then, newest))
        return replace(self, intercept=self.intercept + now - before)

    def of(self, scores: Floats) -> Floats:
        """Return probabilities, (users,)."""
        if self.points:
            x, y = np.array(self.points).T
            return _probability(_log_odds(np.interp(scores, x, y)) + self.intercept)
        return _probability(self.slope * _log_odds(scores) + self.intercept)


def score_apart(
    fit: Callable[[Cut], Callable[[Cut], Floats]], cut: Cut, folds: int, seed: int, *later: Cut
) -> list[Floats]:
    """Score every user of a cut by a model fitted on the other folds, and those of later cuts likewise.

    Folds go by a hash of the user, so nobody is ever scored by a model that learned from them.
    """
    cuts = (cut, *later)
    fold_of = [
        np.sum([held_out(one.users, number / folds, seed) for number in range(1, folds)], axis=0)
        for one in cuts
    ]
    found = [np.zeros(len(one)) for one in cuts]
    for number in range(folds):
        score = fit(cut.only(np.flatnonzero(fold_of[0] != number)))
        for one, fold, scores in zip(cuts, fold_of, found, strict=True):
            own = np.flatnonzero(fold == number)
            if len(own):
                scores[own] = score(one.only(own))
    return found


@dataclass(frozen=True)
class ValueRange:
    """Between what and what a user will spend, with a given chance: split conformal by tenths of the score.

    The range of a tenth is the shortest in which as many of its calibration users lie as the finite sample
    asks for (Vovk, Gammerman, Shafer 2005, ch. 4: Mondrian). Leaving out equally many at either end covers
    far too many where half of a tenth spends nothing.
    """

    borders: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def fit(cls, scores: Floats, net_revenue: Floats, share: float = 0.8, groups: int = 10) -> ValueRange:
        """Learn the range of each tenth from users whom the scoring model did not learn from.

        Examples
        --------
        Of 99 users 50 spend nothing, the others 1 to 49; the next is among the lowest 80 with a chance of
        80 / (99 + 1):

        >>> found = ValueRange.fit(np.zeros(99), np.maximum(np.arange(99.0) - 49, 0))
        >>> found.low, found.high
        ((0.0,), (30.0,))
        """
        borders = np.unique(np.quantile(scores, np.linspace(0, 1, groups + 1)[1:-1]))
        group = np.searchsorted(borders, scores, side="left")
        parts = [np.sort(net_revenue[group == number]) for number in range(len(borders) + 1)]
        kept = [number for number, part in enumerate(parts) if len(part)]
        ranges = [_shortest(parts[number], share) for number in kept]
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


def _shortest(ordered: Floats, share: float) -> tuple[float, float]:
    """Return the nearest two values between which a share of one more than these lies.

    The next value falls with equal chance between any two neighbours, below all or above all, so that a
    range of as many such gaps has one value more. Where several are the least of all, as those are who
    spend nothing, it lies on them and not below: a range from there on needs no more values than gaps.
    """
    gaps = min(int(np.ceil(share * (len(ordered) + 1) - 1e-9)), len(ordered))
    if gaps == len(ordered):
        return float(ordered[0]), float(ordered[-1])
    low, high = ordered[:-gaps], ordered[gaps:].copy()
    if ordered[0] == ordered[1]:
        high[0] = ordered[gaps - 1]
    at = int(np.argmin(high - low))
    return float(low[at]), float(high[at])


def reliability(truth: NDArray[np.bool_], probabilities: Floats, groups: int = 10) -> pd.DataFrame:
    """Return, by tenth of the users, what was said and what came: the table behind a calibration plot.

    >>> reliability(np.array([False, True]), np.array([0.2, 0.9]), 2)[["said", "came"]].values.tolist()
    [[0.2, 0.0], [0.9, 1.0]]
    """
    parts = np.array_split(np.argsort(probabilities, kind="stable"), groups)
    rows = [(len(part), probabilities[part].mean(), truth[part].mean()) for part in parts if len(part)]
    return pd.DataFrame(rows, columns=["users", "said", "came"])


def _rising(scores: Floats, steps: Floats) -> tuple[tuple[float, float], ...]:
    """Return a curve through the middles of an isotonic curve's steps, and on to 0 and 1.

    On a step all users would be equal, and the order that the scores put them in lost.

    >>> found = _rising(np.array([0.2, 0.3, 0.4, 0.5]), np.array([0.1, 0.1, 0.3, 0.3]))
    >>> [(round(x, 2), round(y, 2)) for x, y in found]
    [(0.0, 0.0), (0.25, 0.1), (0.45, 0.3), (1.0, 0.85)]
    """
    y, step = np.unique(np.round(steps, 12), return_inverse=True)
    x = np.bincount(step, scores) / np.bincount(step)
    if len(x) > 1:
        first, last = (np.diff(y) / np.diff(x))[[0, -1]]
        ends = max(0.0, y[0] - first * x[0]), min(1.0, y[-1] + last * (1 - x[-1]))
        x, y = np.array([0.0, *x, 1.0]), np.array([ends[0], *y, ends[1]])
    return tuple(zip(x.tolist(), y.tolist(), strict=True))


def _offset(log_odds: Floats, truth: Truth) -> float:
    """Return what to add to log odds so that they foretell as many as came."""
    from scipy.optimize import brentq

    return float(brentq(lambda offset: _probability(log_odds + offset).sum() - truth.sum(), -20.0, 20.0))


def _log_odds(scores: Floats) -> Floats:
    bounded = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(bounded / (1 - bounded)))


def _probability(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
