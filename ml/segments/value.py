"""Value tiers: thresholds on the served score, frozen when a model becomes champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TIERS = ("high", "medium", "low")
DIGITS = 6
"""A score is served to so many decimals, and a border is one of those."""


@dataclass(frozen=True)
class Tiers:
    """Borders between tiers; a score on a border belongs to the tier above."""

    high: float
    medium: float

    @classmethod
    def freeze(cls, scores: Floats, high_share: float, medium_share: float) -> Tiers:
        """Set the borders so that the given shares of these users lie above them.

        Equal users are in one tier. Where many share the score at a border, as those do who never bought,
        all of them or none lie above it, whichever comes nearer to the share.

        >>> Tiers.freeze(np.arange(1.0, 11.0), 0.1, 0.3).of(np.array([10.0, 7.0, 1.0])).tolist()
        ['high', 'medium', 'low']
        """
        scores = np.round(scores, DIGITS)
        return cls(_border(scores, high_share), _border(scores, high_share + medium_share))

    def of(self, scores: Floats) -> NDArray[np.object_]:
        """Return each user's tier."""
        return np.where(scores >= self.high, "high", np.where(scores >= self.medium, "medium", "low")).astype(
            object
        )

    def runner_up(self, scores: Floats) -> NDArray[np.object_]:
        """Return the tier across the nearest border."""
        nearer_high = np.abs(scores - self.high) <= np.abs(scores - self.medium)
        middle = np.where(nearer_high, "high", "low")
        return np.where(self.of(scores) == "medium", middle, "medium").astype(object)

    def distance(self, scores: Floats) -> Floats:
        """Return how far each score lies from where its tier is surest: 1 of high, 0 of low, else the middle.

        >>> Tiers(high=0.5, medium=0.1).distance(np.array([0.9, 0.35, 0.05])).round(2).tolist()
        [0.1, 0.05, 0.05]
        """
        middle = (self.high + self.medium) / 2
        surest = np.where(scores >= self.high, 1.0, np.where(scores >= self.medium, middle, 0.0))
        return np.abs(scores - surest)

    def margin(self, scores: Floats) -> Floats:
        """Return how far each score lies from the nearest border."""
        return np.minimum(np.abs(scores - self.high), np.abs(scores - self.medium))


def _border(scores: Floats, share: float) -> float:
    """Return the score from which on nearest to a share of the users lie; above all where that is nobody."""
    border = float(np.quantile(scores, 1 - share, method="higher"))
    above, equal = (scores > border).mean(), (scores == border).mean()
    if equal * len(scores) > 1 and share - above < above + equal - share:
        return float(np.min(scores[scores > border], initial=np.nextafter(scores.max(), np.inf)))
    return border


@dataclass(frozen=True)
class ValueCurve:
    """Expected net revenue in the horizon by score: a rising step curve through later spend.

    It is fitted on the test cut, whose users the model never learned from, and frozen with
    the model.
    """

    scores: tuple[float, ...]
    amounts: tuple[float, ...]

    @classmethod
    def fit(cls, scores: Floats, net_revenue: Floats) -> ValueCurve:
        """Fit a monotone curve (pool adjacent violators) through groups of about a fiftieth of the users.

        Users of one score are in one group, however many they are.
        """
        from sklearn.isotonic import IsotonicRegression

        scores = np.round(scores, DIGITS)
        place = np.searchsorted(np.sort(scores), scores)
        group = place * max(1, min(50, len(scores) // 20)) // len(scores)
        _, group, users = np.unique(group, return_inverse=True, return_counts=True)
        x, y = (np.bincount(group, one) / users for one in (scores, net_revenue))
        fitted = IsotonicRegression().fit_transform(x, y, sample_weight=users)
        return cls(tuple(float(value) for value in x), tuple(float(value) for value in fitted))

    def of(self, scores: Floats) -> Floats:
        """Return the expected amount per user, (users,)."""
        return np.round(np.interp(scores, self.scores, self.amounts), 4)


def deciles(scores: Floats, users: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return 1 for the best-scored tenth to 10 for the last; ties go by user_key, so reruns agree.

    >>> deciles(np.array([0.5, 0.9, 0.5]), np.array(["b", "c", "a"], dtype=object)).tolist()
    [7, 1, 4]
    """
    return (_place(scores, users) * 10) // len(scores) + 1


def percentiles(scores: Floats, users: NDArray[np.object_]) -> Floats:
    """Return the share of users placed behind or at each user: 1 for the best, towards 0 for the last."""
    return np.asarray(1 - _place(scores, users) / len(scores))


def _place(scores: Floats, users: NDArray[np.object_]) -> NDArray[np.int64]:
    order = np.lexsort((users.astype("U"), -scores))
    place = np.empty(len(scores), dtype=np.int64)
    place[order] = np.arange(len(scores))
    return place


def as_json(tiers: Tiers, curve: ValueCurve | None) -> dict[str, Any]:
    """Return tiers and curve as plain JSON."""
    return {"tiers": vars(tiers), "curve": None if curve is None else vars(curve)}


def from_json(content: dict[str, Any]) -> tuple[Tiers, ValueCurve | None]:
    """Return what :func:`as_json` wrote."""
    curve = content["curve"]
    return Tiers(**content["tiers"]), None if curve is None else ValueCurve(
        tuple(curve["scores"]), tuple(curve["amounts"])
    )
