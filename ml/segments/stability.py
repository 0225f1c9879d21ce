"""Two questions about new segments: do they hold by themselves, and do they agree with those in force.

*By themselves*: users are drawn again and clustered again; a segment is as stable as the best Jaccard
index that it finds there (Hennig 2007, clusterwise stability by bootstrap). *With those in force*: the
same users of the same day, placed by both. Where the two differ, plain features of users seen since the
champion was trained tell which describes them better: the share of variance that segment means explain,
means of one half of the users tried on the other, at the champion's number of segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.configs import ClusterConfig, Config, StabilityConfig
from ml.encoder.features import standard_units
from ml.evaluation.judge import Interval
from ml.segments.clusters import Clusters, in_one_order
from ml.segments.drift import Drift
from ml.segments.identity import Before, crossed, jaccard
from ml.segments.latent_classes import LatentClasses

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Codes = NDArray[np.object_]
Segmentation = Clusters | LatentClasses

FLOOR = 1e-4
"""The share of an empty segment in the population stability index, whose logarithm has no zero."""


@dataclass(frozen=True)
class Agreement:
    """How far new segments and those in force tell the same users alike."""

    ari: float
    jaccard: Mapping[str, float]
    """By code of either: with the segment of the same code, else the best with any."""
    psi: float
    moved_share: float
    smallest_share: float
    """Of the users, in the emptiest segment in force."""
    fit: Interval
    """How much more of later users' variance the new segments explain than those in force, as a share."""
    later_users: int


@dataclass(frozen=True)
class Stability:
    """What is known of new segments before the gate decides."""

    bootstrap: Mapping[str, float]
    """By code: the mean best Jaccard index over resamples."""
    inner: float
    """The mean of the same over users."""
    agreement: Agreement | None
    """None where there is no champion."""
    drift: Drift | None = None
    """None where there is no champion, or too few were seen to tell."""
    behaviour_moved_share: float | None = None
    """Users whom the champion itself puts elsewhere than on the day that it was trained on; None where that
    day can't be read, or is this one. ``agreement.moved_share`` is of those whom the models put apart."""

    def metrics(self) -> dict[str, float]:
        """Return it as metrics of a run."""
        found = {"stability/bootstrap_jaccard": self.inner}
        if self.agreement is None:
            return found
        told = self.agreement
        found |= self.drift.metrics() if self.drift is not None else {}
        if self.behaviour_moved_share is not None:
            found["champion/behaviour_moved_share"] = self.behaviour_moved_share
        return found | {
            "champion/ari": told.ari,
            "champion/psi": told.psi,
            "champion/moved_share": told.moved_share,
            "champion/fit_gap": told.fit.value,
            "champion/fit_gap_low": told.fit.low,
            "champion/fit_gap_high": told.fit.high,
        }


def ask(
    segments: Segmentation,
    vectors: NDArray[np.float32],
    features: pd.DataFrame,
    before: Before | None,
    days_since: int,
    config: Config,
) -> Stability:
    """Ask both questions of new, named segments.

    Parameters
    ----------
    vectors, features
        (users, …): of the day that the segments were trained on, in one order.
    before
        The champion's segments with the same users; None where there are none.
    days_since
        Since the day through which the champion knows.
    """
    codes = segments.place(vectors).code
    found = bootstrap_jaccard(segments, vectors, config.clusters, config.stability)
    inner = float(np.mean([found[code] for code in codes]))
    if before is None:
        return Stability(found, inner, None)
    same_k = labels_at(segments, vectors, len(before.codes), config.clusters)
    return Stability(found, inner, agreement(before, codes, same_k, features, days_since, config.stability))


def labels_at(segments: Segmentation, vectors: NDArray[np.float32], k: int, config: ClusterConfig) -> Ints:
    """Return the number of each user's segment, were there ``k`` of them in the same space."""
    from threadpoolctl import threadpool_limits

    if k == len(segments.codes):
        return segments.labels(vectors)
    points = in_one_order(segments.points(vectors))
    with threadpool_limits(limits=1):
        fits = [segments.again(points, k, seed) for seed in config.seeds]
    return min(fits, key=lambda one: one[1])[0].labels(vectors)


def bootstrap_jaccard(
    segments: Segmentation, vectors: NDArray[np.float32], how: ClusterConfig, config: StabilityConfig
) -> dict[str, float]:
    """Draw users again, divide them again, and return how well each segment is found there, by code."""
    from threadpoolctl import threadpool_limits

    points = in_one_order(segments.points(vectors))
    drawn = np.random.default_rng(config.seed).permutation(len(points))[: config.users]
    points = points[np.sort(drawn)]
    labels = segments.assign(points)
    k, found = len(segments.codes), []
    with threadpool_limits(limits=1):
        for number in range(config.resamples):
            seed = how.seeds[number % len(how.seeds)]
            rows = np.random.default_rng([seed, number]).integers(0, len(points), len(points))
            again, _ = segments.again(points[rows], k, seed)
            found.append(jaccard(crossed(labels, again.assign(points), k, k)).max(axis=1))
    return dict(zip(segments.codes, np.mean(found, axis=0).tolist(), strict=True))


def agreement(
    before: Before,
    codes: Codes,
    same_k: Ints,
    features: pd.DataFrame,
    days_since: int,
    config: StabilityConfig,
) -> Agreement:
    """Compare new segments with those in force, on the users of the day.

    Parameters
    ----------
    codes
        (users,): the new segment of each.
    same_k
        (users,): the new clusters, but as many as there are segments in force.
    features
        (users, features)
    days_since
        Since the day through which the champion knows.
    """
    from sklearn.metrics import adjusted_rand_score

    later = _seen_within(features, days_since, config.later_users)
    shares = [float((before.placed == code).mean()) for code in before.codes]
    return Agreement(
        ari=float(adjusted_rand_score(before.placed, codes)),
        jaccard=_jaccard_by_code(before.placed, codes),
        psi=psi(before.placed, codes),
        moved_share=float((before.placed != codes).mean()),
        smallest_share=min(shares),
        fit=fit_gap(features[later], before.numbers()[later], same_k[later], config),
        later_users=int(later.sum()),
    )


def moved(then: pd.Series[str], now: pd.Series[str]) -> float | None:
    """Return the share of users who are in another segment, of those of both days; None where nobody is.

    Parameters
    ----------
    then, now
        Segments by user, of one model on two days.
    """
    both = then.index.intersection(now.index)
    return float((then[both] != now[both]).mean()) if len(both) else None


def psi(before: Codes, after: Codes) -> float:
    """Return the population stability index of two placements of the same users.

    >>> half, all_a = np.array(["a", "b"], dtype=object), np.array(["a", "a"], dtype=object)
    >>> psi(half, half), round(psi(half, all_a), 2)
    (0.0, 4.6)
    """
    codes = sorted({*before, *after})
    was, now = (np.maximum([(side == code).mean() for code in codes], FLOOR) for side in (before, after))
    return float(((now - was) * np.log(now / was)).sum())


def fit_gap(features: pd.DataFrame, champion: Ints, challenger: Ints, config: StabilityConfig) -> Interval:
    """Return how much more variance of plain features the challenger's means explain, with an interval.

    The interval is from resampling users; the means are those of the other half of them.
    """
    values = standard_units(features).fillna(0.0).to_numpy(dtype=np.float64)  # what is missing is average
    gain = _errors(values, champion) - _errors(values, challenger)
    total = (values**2).sum(axis=1)
    random = np.random.default_rng(config.seed)
    drawn = [random.integers(0, len(gain), len(gain)) for _ in range(config.fit_resamples)]
    gaps = [gain[rows].sum() / max(total[rows].sum(), 1e-12) for rows in drawn]
    low, high = np.percentile(gaps, [2.5, 97.5])
    return Interval(float(gain.sum() / max(total.sum(), 1e-12)), float(low), float(high))


def _errors(values: Floats, labels: Ints) -> Floats:
    """Return each user's squared distance to the segment's mean in the other half, (users,)."""
    half = np.arange(len(values)) % 2
    errors = np.zeros(len(values))
    for side in (0, 1):
        learned, tried = half != side, half == side
        for label in np.unique(labels):
            there = learned & (labels == label)
            middle = values[there].mean(axis=0) if there.any() else np.zeros(values.shape[1])
            rows = tried & (labels == label)
            errors[rows] = ((values[rows] - middle) ** 2).sum(axis=1)
    return errors


def _seen_within(features: pd.DataFrame, days: int, at_least: int) -> NDArray[np.bool_]:
    """Return who was seen in the last days; everybody where those are too few to tell by."""
    if "recency_days" not in features:
        return np.ones(len(features), dtype=bool)
    seen = (features["recency_days"] < days).to_numpy()
    return seen if seen.sum() >= at_least else np.ones(len(features), dtype=bool)


def _jaccard_by_code(before: Codes, after: Codes) -> dict[str, float]:
    was, old = np.unique(before.astype("U"), return_inverse=True)
    now, new = np.unique(after.astype("U"), return_inverse=True)
    index = pd.DataFrame(jaccard(crossed(old, new, len(was), len(now))), index=was, columns=now)
    return {
        str(code): float(
            index.loc[code, code]
            if code in index.index and code in index.columns
            else index.loc[code].max()
            if code in index.index
            else index[code].max()
        )
        for code in sorted({*was, *now})
    }
