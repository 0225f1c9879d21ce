"""What segments are worth: whether they foretell later spend and taste, and come out the same again.

Everything is asked of users that a partition was not fitted on. Nothing here knows a planted truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.evaluation.judge import Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Partition = Callable[[Ints], Callable[[Ints], Ints]]
"""Fit on the users of some rows, and return what puts the users of other rows into segments."""

PERMUTATIONS = 20
"""The mean over so many is known to a few thousandths; a resample of users is shuffled a fifth as often."""


@dataclass(frozen=True)
class Later:
    """What the users of a cut did in the horizon after it."""

    spend: Floats
    """Net revenue, (users,); below 0 counts as 0."""
    buyer: Ints
    """For each pair of a user and a category bought: the user's row."""
    category: Ints
    """And the category's number."""

    @property
    def log_spend(self) -> Floats:
        """Return log(1 + net revenue), (users,)."""
        return np.log1p(np.maximum(self.spend, 0.0))


@dataclass(frozen=True)
class Placed:
    """Users in segments that were fitted on others."""

    rows: Ints
    segment: Ints
    expected: Floats
    """The mean log spend of the segment's users that it was fitted on."""
    usual: float
    """The mean log spend of all those."""


def place(partition: Partition, fold: NDArray[np.bool_], later: Later) -> Placed:
    """Fit on the users outside a fold and place those inside; the segments' means come from outside too."""
    inside, outside = np.flatnonzero(fold), np.flatnonzero(~fold)
    into = partition(outside)
    known, segment = into(outside), into(inside)
    spend = pd.Series(later.log_spend[outside])
    means = spend.groupby(known).mean()
    usual = float(spend.mean())
    expected = pd.Series(segment).map(means).fillna(usual).to_numpy(dtype=np.float64)
    return Placed(inside, segment, expected, usual)


def explained(placed: Sequence[Placed], later: Later, weight: Floats) -> float:
    """Return the held-out R²: the share of the variance of log spend that the segments' means foretell.

    Measured against the mean of the users that were fitted on, so it falls below 0 where segments mislead.
    """
    lost = usual = 0.0
    for one in placed:
        truth, weights = later.log_spend[one.rows], weight[one.rows]
        lost += float((weights * (truth - one.expected) ** 2).sum())
        usual += float((weights * (truth - one.usual) ** 2).sum())
    return 1 - lost / usual if usual > 0 else float("nan")


def taste(placed: Sequence[Placed], later: Later, drawn: Ints) -> float:
    """Return the adjusted mutual information of segments with categories bought later, mean over folds.

    Parameters
    ----------
    drawn
        Rows of users, as often as they count.
    """
    times = np.bincount(drawn, minlength=len(later.spend))
    return float(np.mean([_told(_everybody(one, later), later, times) for one in placed]))


def taste_by_chance(
    placed: Sequence[Placed], later: Later, drawn: Ints, random: np.random.Generator, permutations: int
) -> float:
    """Return what :func:`taste` is on average when the segments are shuffled over the buyers of each fold.

    A user with many categories, or drawn many times, counts many times, which the usual correction for
    chance does not know.
    """
    times = np.bincount(drawn, minlength=len(later.spend))
    found = []
    for one in placed:
        segment = _everybody(one, later)
        buyers = np.unique(later.buyer[segment[later.buyer] >= 0])
        for _ in range(permutations):
            shuffled = segment.copy()
            shuffled[buyers] = random.permutation(segment[buyers])
            found.append(_told(shuffled, later, times))
    return float(np.mean(found))


def _everybody(placed: Placed, later: Later) -> Ints:
    """Return the segment of every user of the cut, (users,); -1 for whoever is not in the fold."""
    segment = np.full(len(later.spend), -1)
    segment[placed.rows] = placed.segment
    return segment


def _told(segment: Ints, later: Later, times: Ints) -> float:
    from sklearn.metrics import adjusted_mutual_info_score

    is_here = segment[later.buyer] >= 0
    repeats = times[later.buyer[is_here]]
    if repeats.sum() == 0:
        return float("nan")
    segments = np.repeat(segment[later.buyer[is_here]], repeats)
    return float(adjusted_mutual_info_score(segments, np.repeat(later.category[is_here], repeats)))


def intervals(
    placed: Sequence[Placed], later: Later, resamples: int, confidence: float, seed: int
) -> tuple[Interval, Interval]:
    """Return spend explained, and taste told beyond chance, each with its bootstrap interval over users."""
    users, random = len(later.spend), np.random.default_rng(seed)

    def told(drawn: Ints, permutations: int) -> float:
        chance = taste_by_chance(placed, later, drawn, random, permutations)
        return taste(placed, later, drawn) - chance

    drawn = [random.integers(0, users, users) for _ in range(resamples)]
    spend = [explained(placed, later, np.bincount(one, minlength=users).astype(float)) for one in drawn]
    tastes = [told(one, PERMUTATIONS // 5) for one in drawn[: max(resamples // 10, 50)]]
    return (
        _interval(explained(placed, later, np.ones(users)), spend, confidence),
        _interval(told(np.arange(users), PERMUTATIONS), tastes, confidence),
    )


def stability(partition: Partition, rows: Ints, resamples: int, seed: int) -> float:
    """Return how alike partitions are that were fitted on resamples of the same users.

    The mean adjusted Rand index, over all users of ``rows``, with the partition of no resample.
    """
    from sklearn.metrics import adjusted_rand_score

    random = np.random.default_rng(seed)
    whole = partition(rows)(rows)
    found = [
        adjusted_rand_score(whole, partition(np.sort(random.choice(rows, len(rows))))(rows))
        for _ in range(resamples)
    ]
    return float(np.mean(found))


def _interval(value: float, drawn: Sequence[float], confidence: float) -> Interval:
    tail = 100 * (1 - confidence) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail]) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return Interval(value, float(low), float(high))
