"""Behaviour clusters: k-means on standardised embeddings, k chosen without labels.

The clusters are fitted on the users of the training run's as_of_date, known on that day,
and then frozen: daily scoring places users, it never refits (and never imports scikit-learn).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cli import ShoalError
from ml.configs import ClusterConfig
from ml.packages import load_tensors, read_json, save_tensors, write_json
from ml.segments import k_means, naming

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AT_ONCE = 20_000
"""So many users are widened to float64 together."""


@dataclass(frozen=True)
class Trial:
    """What one k was worth."""

    k: int
    stability: float
    """Mean adjusted Rand index between fits from different seeds; of classes that go on from earlier ones,
    with the best fit from other starts."""
    smallest: int
    silhouette: float
    bootstrap: float | None = None
    """Mean adjusted Rand index with fits on resamples, over users that those left out. None, as the next
    two, where one k was asked for."""
    held_out: float | None = None
    """What those fits explain of the same users: of their variance, or of classes the log likelihood per
    answer."""
    gain: float | None = None
    """How much more that is than one group of everybody explains."""
    difference: float | None = None
    """How far the plainest group lies from everybody (:func:`ml.segments.naming.plainest`). None where no
    features are known."""
    is_chosen: bool = False


class Division(Protocol):
    """Groups that place users who were not there when they were made."""

    def assign(self, points: NDArray[Any]) -> Ints:
        """Return the number of each user's group."""
        ...

    def explains(self, points: NDArray[Any]) -> float:
        """Return how well the groups describe users."""
        ...


class Reported(TypedDict, total=False):
    """What users left out of resamples, and plain features, tell of a trial."""

    bootstrap: float
    held_out: float
    gain: float
    difference: float


@dataclass(frozen=True)
class Placement:
    """Where users stand among the clusters; all arrays are (users,)."""

    code: NDArray[np.object_]
    distance: Floats
    runner_up: NDArray[np.object_]
    margin: Floats
    """1 − distance / distance to the runner-up: 0 on the border, towards 1 in the middle."""
    reasons: Ints | None = None
    """What speaks for the segment, as columns of habits, (users, 3), strongest first. None of clusters."""


@dataclass(frozen=True)
class Clusters:
    """Frozen clusters: an embedding is standardised, turned onto its axes, and placed."""

    means: Floats
    deviations: Floats
    axes: Floats
    """(embedding, components)"""
    centroids: Floats
    """(k, components)"""
    codes: tuple[str, ...]

    def coordinates(self, embeddings: NDArray[Any]) -> Floats:
        """Return (users, components)."""
        standard = (np.asarray(embeddings, dtype=np.float64) - self.means) / self.deviations
        return np.asarray(standard @ self.axes)

    def distances(self, embeddings: NDArray[Any]) -> Floats:
        """Return Euclidean distances to all centroids, (users, k)."""
        return distances(self.coordinates(embeddings), self.centroids)

    def place(self, embeddings: NDArray[Any]) -> Placement:
        """Put each user into the nearest cluster; an exact tie goes to the first code."""
        distances = self.distances(embeddings)
        order = np.argsort(distances, axis=1, kind="stable")
        rows = np.arange(len(distances))
        nearest, second = distances[rows, order[:, 0]], distances[rows, order[:, 1]]
        names = np.array(self.codes, dtype=object)
        margin = 1 - np.divide(nearest, second, out=np.ones_like(nearest), where=second > 0)
        return Placement(names[order[:, 0]], nearest, names[order[:, 1]], margin)

    def points(self, embeddings: NDArray[Any]) -> Floats:
        """Return users where clusters tell them apart: at their coordinates."""
        return self.coordinates(embeddings)

    def assign(self, points: NDArray[Any]) -> Ints:
        """Return the number of the cluster of each point."""
        return np.asarray(distances(points, self.centroids).argmin(axis=1))

    def explains(self, points: NDArray[Any]) -> float:
        """Return the share of variance that the clusters explain."""
        nearest = distances(points, self.centroids).min(axis=1)
        return float(1 - (nearest**2).sum() / max((points**2).sum(), 1e-12))

    def again(self, points: NDArray[Any], k: int, seed: int) -> tuple[Clusters, float]:
        """Return as many clusters fitted on other points of the same space, and their inertia."""
        found = k_means.fit(points, k, seed)
        return replace(self, centroids=found.centroids, codes=_numbered(k)), float(found.inertia)

    def labels(self, embeddings: NDArray[Any]) -> Ints:
        """Return the number of each user's cluster."""
        return np.asarray(self.distances(embeddings).argmin(axis=1))

    def named(self, codes: tuple[str, ...]) -> Clusters:
        """Return the same clusters under names, kept in the order of their codes."""
        if len(set(codes)) != len(self.centroids):
            raise ShoalError(
                f"{len(self.centroids)} clusters need as many distinct codes, got {', '.join(codes)}"
            )
        order = np.argsort(np.array(codes))
        return replace(self, centroids=self.centroids[order], codes=tuple(codes[index] for index in order))

    def save(self, folder: Path) -> None:
        """Write centroids and codes."""
        tensors = {name: getattr(self, name) for name in ("means", "deviations", "axes", "centroids")}
        save_tensors(folder / "clusters.safetensors", tensors)
        write_json(folder / "clusters.json", {"codes": list(self.codes)})

    @classmethod
    def load(cls, folder: Path) -> Clusters:
        """Read what :meth:`save` wrote."""
        codes = tuple(read_json(folder / "clusters.json")["codes"])
        return cls(**load_tensors(folder / "clusters.safetensors"), codes=codes)


def fit(
    embeddings: NDArray[Any], config: ClusterConfig, features: pd.DataFrame | None = None
) -> tuple[Clusters, list[Trial]]:
    """Choose k and cluster.

    How is said by :func:`choose`.

    Parameters
    ----------
    features
        (users, features): of the same users, by which clusters are to be told apart.

    Raises
    ------
    ShoalError
        When there are fewer users than clusters to tell apart.
    """
    from threadpoolctl import threadpool_limits

    too_few(len(embeddings), config)
    with threadpool_limits(limits=1):  # several threads add up in changing order: other sums, other clusters
        space = _space(embeddings, config.components)
        points = space.coordinates(embeddings)
        order = one_order(points)
        points, known = points[order], None if features is None else features.iloc[order]
        fitted: dict[int, list[k_means.Fit]] = {}

        def judge(k: int) -> Trial:
            fitted[k] = _fits(points, k, config)
            return _judged(points, k, fitted[k], space, config, known)

        trials = tried(judge, config)
    chosen = choose(trials, len(points), config)
    best = min(fitted[chosen.k], key=lambda one: one.inertia)
    clusters = replace(space, centroids=best.centroids, codes=_numbered(chosen.k))
    return clusters, [replace(trial, is_chosen=trial.k == chosen.k) for trial in trials]


def too_few(users: int, config: ClusterConfig) -> None:
    """Refuse to divide fewer users than make the fewest groups of the least size."""
    if users < config.smallest_k * config.min_users:
        raise ShoalError(
            f"{users} users are too few for {config.smallest_k} clusters of {config.min_users}: "
            "land more history, or set a smaller k in ml/configs"
        )


def tried(judge: Callable[[int], Trial], config: ClusterConfig) -> list[Trial]:
    """Judge each k; coarser ones than asked for while every one leaves a group under ``min_users``.

    Whoever asks for one k gets it.
    """
    trials = [judge(k) for k in range(config.smallest_k, config.largest_k + 1)]
    for k in range(config.smallest_k - 1 if config.offers_choice else 1, 1, -1):
        if max(trial.smallest for trial in trials) >= config.min_users:
            break
        trials.insert(0, judge(k))
    return trials


def distances(points: Floats, centroids: Floats) -> Floats:
    """Return Euclidean distances of points to centroids, both in one space, (points, centroids)."""
    return np.stack([np.linalg.norm(points - centroid, axis=1) for centroid in centroids], axis=1)


def in_one_order(points: NDArray[Any]) -> NDArray[Any]:
    """Sort points by what they are: seeds draw rows by number, and other orders gave other clusters."""
    return points[one_order(points)]


def one_order(points: NDArray[Any]) -> Ints:
    """Return the rows of points in an order that does not depend on how they came.

    By their places on one line in no direction of note, which two points share if they are equal, and else
    as good as never.
    """
    direction = np.random.default_rng(0).normal(size=points.shape[1])
    parts = np.array_split(points, max(1, len(points) // AT_ONCE))
    # Summed row by row: a matrix product's last digit depends on where a row stands.
    places = np.concatenate([(part * direction).sum(axis=1) for part in parts])
    return np.argsort(places, kind="stable")


def _space(embeddings: NDArray[Any], components: int) -> Clusters:
    values = np.asarray(embeddings, dtype=np.float64)
    means, deviations = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    standard = (values - means) / deviations
    _, axes = np.linalg.eigh(standard.T @ standard / len(standard))  # ascending
    axes = axes[:, ::-1][:, :components]
    # An axis points either way: turn it so that its largest loading is positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return Clusters(means, deviations, np.ascontiguousarray(axes), np.zeros((0, axes.shape[1])), ())


def _fits(points: Floats, k: int, config: ClusterConfig) -> list[k_means.Fit]:
    return [k_means.fit(points, k, seed) for seed in config.seeds]


def _judged(
    points: Floats,
    k: int,
    fits: list[k_means.Fit],
    space: Clusters,
    config: ClusterConfig,
    features: pd.DataFrame | None,
) -> Trial:
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    best = min(fits, key=lambda one: one.inertia)
    agreement = [adjusted_rand_score(one.labels, other.labels) for one, other in combinations(fits, 2)]
    sample = np.random.default_rng(config.seeds[0]).permutation(len(points))[: config.sample]
    return Trial(
        k=k,
        stability=float(np.mean(agreement)),
        smallest=int(np.bincount(best.labels, minlength=k).min()),
        silhouette=float(silhouette_score(points[sample], best.labels[sample])),
        **reported(
            points,
            replace(space, centroids=best.centroids),
            lambda drawn, seed: space.again(drawn, k, seed)[0],
            lambda drawn: replace(space, centroids=np.zeros((1, drawn.shape[1]))),
            config,
            features,
        ),
    )


def reported(
    points: NDArray[Any],
    best: Division,
    again: Callable[[NDArray[Any], int], Division],
    whole: Callable[[NDArray[Any]], Division],
    config: ClusterConfig,
    features: pd.DataFrame | None,
) -> Reported:
    """Return how groups do on users that were left out of a resample, and how far the plainest lies.

    Parameters
    ----------
    again
        Makes as many groups of other points, from a seed.
    whole
        Makes one group of them.
    features
        (users, features): of the same users.
    """
    from sklearn.metrics import adjusted_rand_score

    found: Reported = {}
    if features is not None:
        found["difference"] = naming.plainest(features, best.assign(points))
    if not config.offers_choice:
        return found
    agreed, explained, gained = [], [], []
    for number in range(config.resamples):
        seed = config.seeds[number % len(config.seeds)]
        rows = np.random.default_rng([seed, number]).integers(0, len(points), len(points))
        left_out = points[np.setdiff1d(np.arange(len(points)), rows)]
        other = again(points[rows], seed)
        agreed.append(adjusted_rand_score(best.assign(left_out), other.assign(left_out)))
        explained.append(other.explains(left_out))
        gained.append(explained[-1] - whole(points[rows]).explains(left_out))
    bootstrap, held_out, gain = (float(np.mean(values)) for values in (agreed, explained, gained))
    return {**found, "bootstrap": bootstrap, "held_out": held_out, "gain": gain}


def choose(trials: list[Trial], users: int, config: ClusterConfig) -> Trial:
    """Return the coarsest trial that explains left-out users nearly as well as any that comes back.

    A trial comes back where fits on resamples agree with it as with the trial they agree with most, within
    ``stability_slack``; of these the one with the fewest groups is taken that has ``enough_gain`` of the
    largest gain. Only trials without a tiny group count; and without one that is like everybody, where a k
    has none. Where every k has a tiny one, the trial with the largest smallest group is taken.
    """
    floor = least_users(users, config)
    sized = [trial for trial in trials if trial.smallest >= floor]
    if not sized:
        return max(trials, key=lambda trial: trial.smallest)
    told = [trial for trial in sized if trial.difference is None or trial.difference >= config.min_difference]
    told = told or sized
    most = max(trial.bootstrap or 0.0 for trial in told)
    back = [trial for trial in told if (trial.bootstrap or 0.0) >= most - config.stability_slack]
    best = max(trial.gain or 0.0 for trial in back)
    enough = best - (1 - config.enough_gain) * abs(best)
    return min((trial for trial in back if (trial.gain or 0.0) >= enough), key=lambda trial: trial.k)


def least_users(users: int, config: ClusterConfig) -> float:
    """Return how many users a group must have."""
    return max(config.min_users, config.min_share * users)


def _numbered(k: int) -> tuple[str, ...]:
    return tuple(f"cluster_{index}" for index in range(k))
