"""The judge: all models on the same rows, with paired bootstrap intervals."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.metrics import METRICS, Metric, roc_auc

Floats = NDArray[np.float64]
BLOCK = 100
"""Resamples at once: memory stays flat in their number."""


@dataclass(frozen=True)
class Interval:
    """A value with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Verdict:
    """How some models did on one set of rows."""

    rows_digest: str
    users: int
    positives: int
    metrics: dict[str, dict[str, Interval]]
    """By model and metric."""
    differences: dict[tuple[str, str], dict[str, Interval]]
    """By (model, other) and metric: model minus other, on the same resamples."""
    untreated: Verdict | None = None
    """The same of whom no campaign contacted in the horizon; None where it contacted nobody, or everybody."""

    def gap(self, model: str, other: str) -> Interval:
        """Return the paired difference in ROC-AUC."""
        return self.differences[model, other]["roc_auc"]

    @property
    def told_apart(self) -> str | None:
        """Say how models did on the untreated."""
        if self.untreated is None:
            return None
        told = ", ".join(f"{name} {found['roc_auc']}" for name, found in self.untreated.metrics.items())
        contacted = self.users - self.untreated.users
        return (
            f"campaigns contacted {contacted:,} of these users in the horizon; ROC-AUC of the others: {told}"
        )


def rows_digest(users: Sequence[str] | NDArray[np.object_], truth: NDArray[np.bool_]) -> str:
    """Return a hash of who was judged and what happened: equal hashes, same test rows."""
    text = "\n".join(f"{user},{int(outcome)}" for user, outcome in zip(users, truth, strict=True))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def judge(
    users: NDArray[np.object_],
    truth: NDArray[np.bool_],
    scores: Mapping[str, Floats],
    resamples: int,
    confidence: float,
    seed: int,
    is_treated: NDArray[np.bool_] | None = None,
) -> Verdict:
    """Compare models by paired bootstrap over users, and over seeds where a model has several.

    Every resample draws users with replacement, and all models are measured on that same
    draw (Efron & Tibshirani 1993, ch. 10), so that what users share cancels out of the
    differences. A model of several seeds is the mean of their scores; a resample draws as many
    seeds with replacement.

    Parameters
    ----------
    scores
        By model, (users,), or (seeds, users).
    is_treated
        (users,): who was contacted by a campaign in the horizon. The others are judged apart, too: who
        buys because of a message was not foretold to buy.

    Raises
    ------
    ValueError
        When a model scored other rows than the judge holds.
    """
    for name, values in scores.items():
        if values.shape[-1:] != truth.shape or not np.isfinite(values).all():
            raise ValueError(f"model {name} has {values.shape} finite scores for {truth.shape} test rows")
    untreated = None
    if is_treated is not None and 0 < is_treated.sum() < len(users):
        rest = {name: values[..., ~is_treated] for name, values in scores.items()}
        untreated = judge(users[~is_treated], truth[~is_treated], rest, resamples, confidence, seed)
    drawn = _resampled(truth, scores, resamples, seed)
    plain = {
        name: {
            key: float(f(truth, np.atleast_2d(values).mean(axis=0), None)[0]) for key, f in METRICS.items()
        }
        for name, values in scores.items()
    }
    tail = (1 - confidence) / 2
    return Verdict(
        rows_digest=rows_digest(users, truth),
        users=len(truth),
        positives=int(truth.sum()),
        metrics={
            name: {key: _interval(plain[name][key], drawn[name][key], tail) for key in METRICS}
            for name in scores
        },
        differences={
            (name, other): {
                key: _interval(
                    plain[name][key] - plain[other][key], drawn[name][key] - drawn[other][key], tail
                )
                for key in METRICS
            }
            for name in scores
            for other in scores
            if name != other
        },
        untreated=untreated,
    )


@dataclass(frozen=True)
class Court:
    """The users of one cut, what happened, and each model's scores: (users,) or (seeds, users)."""

    users: NDArray[np.object_]
    truth: NDArray[np.bool_]
    scores: Mapping[str, Floats]
    is_treated: NDArray[np.bool_] | None = None


def gap_over_cuts(
    courts: Sequence[Court], model: str, other: str, resamples: int, confidence: float, seed: int
) -> Interval:
    """Return the mean over cuts of the paired difference in ROC-AUC.

    Users are drawn once for all cuts: who is at several of them is the same person at each.
    """
    everybody, places = np.unique(
        np.concatenate([court.users for court in courts]).astype("U"), return_inverse=True
    )
    at = np.split(places, np.cumsum([len(court.users) for court in courts])[:-1])
    rng = np.random.default_rng(seed)
    plain = [_gap(court, model, other) for court in courts]
    parts = []
    for size in _blocks(resamples):
        counts = rng.multinomial(len(everybody), np.full(len(everybody), 1 / len(everybody)), size=size)
        gaps = []
        for court, place in zip(courts, at, strict=True):
            weights = counts[:, place].astype(np.float64)
            one, two = (_measured(court, name, weights, rng) for name in (model, other))
            gaps.append(one - two)
        parts.append(np.mean(gaps, axis=0))
    return _interval(float(np.mean(plain)), np.concatenate(parts), (1 - confidence) / 2)


def _gap(court: Court, model: str, other: str) -> float:
    one, two = (roc_auc(court.truth, _mean(court.scores[name]))[0] for name in (model, other))
    return float(one - two)


def _mean(scores: Floats) -> Floats:
    """Return the mean over seeds, (users,)."""
    return np.asarray(np.atleast_2d(scores).mean(axis=0))


def _measured(court: Court, name: str, weights: Floats, rng: np.random.Generator) -> Floats:
    return _on_drawn_seeds(roc_auc, court.truth, court.scores[name], weights, rng)


def _resampled(
    truth: NDArray[np.bool_], scores: Mapping[str, Floats], resamples: int, seed: int
) -> dict[str, dict[str, Floats]]:
    rng, seeds_rng = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    count = len(truth)
    parts: dict[str, dict[str, list[Floats]]] = {name: {key: [] for key in METRICS} for name in scores}
    for size in _blocks(resamples):
        weights = rng.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
        for name, values in scores.items():
            state = seeds_rng.bit_generator.state
            for key, metric in METRICS.items():
                # The same seeds for every metric of a model.
                seeds_rng.bit_generator.state = state
                parts[name][key].append(_on_drawn_seeds(metric, truth, values, weights, seeds_rng))
    return {
        name: {key: np.concatenate(found) for key, found in by_key.items()} for name, by_key in parts.items()
    }


def _on_drawn_seeds(
    metric: Metric,
    truth: NDArray[np.bool_],
    scores: Floats,
    weights: Floats,
    rng: np.random.Generator,
) -> Floats:
    """Return a metric on each weighting, of the mean over seeds drawn with replacement for it."""
    if scores.ndim == 1 or len(scores) == 1:
        return metric(truth, np.atleast_2d(scores)[0], weights)
    seeds = len(scores)
    draws = np.sort(rng.integers(0, seeds, size=(len(weights), seeds)), axis=1)
    found = np.empty(len(weights))
    for chosen in np.unique(draws, axis=0):
        rows = (draws == chosen).all(axis=1)
        found[rows] = metric(truth, scores[chosen].mean(axis=0), weights[rows])
    return found


def _blocks(resamples: int) -> list[int]:
    return [min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK)]


def _interval(value: float, drawn: Floats, tail: float) -> Interval:
    if np.isnan(drawn).all():
        return Interval(value, float("nan"), float("nan"))
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
