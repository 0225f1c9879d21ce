"""The judge: all models on the same rows, with paired bootstrap intervals."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.metrics import METRICS

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

    def gap(self, model: str, other: str) -> Interval:
        """Return the paired difference in ROC-AUC."""
        return self.differences[model, other]["roc_auc"]


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
) -> Verdict:
    """Compare models by paired bootstrap over users.

    Every resample draws users with replacement, and all models are measured on that same
    draw (Efron & Tibshirani 1993, ch. 10), so that what users share cancels out of the
    differences.

    Raises
    ------
    ValueError
        When a model scored other rows than the judge holds.
    """
    for name, values in scores.items():
        if values.shape != truth.shape or not np.isfinite(values).all():
            raise ValueError(f"model {name} has {values.shape} finite scores for {truth.shape} test rows")
    drawn = _resampled(truth, scores, resamples, seed)
    plain = {
        name: {key: float(f(truth, values, None)[0]) for key, f in METRICS.items()}
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
    )


def _resampled(
    truth: NDArray[np.bool_], scores: Mapping[str, Floats], resamples: int, seed: int
) -> dict[str, dict[str, Floats]]:
    rng = np.random.default_rng(seed)
    count = len(truth)
    parts: dict[str, dict[str, list[Floats]]] = {name: {key: [] for key in METRICS} for name in scores}
    for start in range(0, resamples, BLOCK):
        size = min(BLOCK, resamples - start)
        weights = rng.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
        for name, values in scores.items():
            for key, metric in METRICS.items():
                parts[name][key].append(metric(truth, values, weights))
    return {
        name: {key: np.concatenate(found) for key, found in by_key.items()} for name, by_key in parts.items()
    }


def _interval(value: float, drawn: Floats, tail: float) -> Interval:
    if np.isnan(drawn).all():
        return Interval(value, float("nan"), float("nan"))
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
