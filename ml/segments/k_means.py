"""K-means that costs little where users are many: started on a sample, settled on everybody.

Restarts find the valley, and a sample shows it as well as a million users do; only the last passes need
everybody. Few users are fitted whole, by scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # of either precision
Ints = NDArray[np.int64]

WHOLE = 50_000
"""So many points are fitted as they are."""
SAMPLE = 20_000
"""Of more, so many are drawn for the restarts."""
SETTLING = 100_000
"""And so many for the passes between the restarts and those over everybody."""
PASSES = 2
"""Over everybody: the first moves the centroids, a third would move them by nothing that counts."""
BLOCK = 65_536
"""Points in memory at once, beside the points themselves."""


@dataclass(frozen=True)
class Fit:
    """Clusters of points."""

    centroids: Floats
    """(k, components)"""
    labels: Ints
    """(points,): the number of each point's cluster"""
    inertia: float
    """Sum of squared distances to the nearest centroid."""


def fit(points: Floats, k: int, seed: int, restarts: int = 2) -> Fit:
    """Cluster points, (points, components), into ``k``; the best of some restarts counts."""
    from sklearn.cluster import KMeans

    if len(points) <= WHOLE:
        whole = KMeans(k, n_init=restarts, random_state=seed).fit(points)
        return Fit(whole.cluster_centers_, whole.labels_.astype(np.int64), float(whole.inertia_))
    drawn = np.random.default_rng(seed).permutation(len(points))
    begun = KMeans(k, n_init=restarts, random_state=seed).fit(points[drawn[:SAMPLE]])
    settled = KMeans(k, init=begun.cluster_centers_, n_init=1, max_iter=20, random_state=seed)
    centroids = settled.fit(points[drawn[:SETTLING]]).cluster_centers_
    for _ in range(PASSES):
        centroids, _, _ = _moved(points, centroids)
    _, labels, inertia = _moved(points, centroids)
    return Fit(centroids, labels, inertia)


def _moved(points: Floats, centroids: Floats) -> tuple[Floats, Ints, float]:
    """Return the means of the points nearest to each centroid, the number of each point's, and the inertia.

    An empty cluster keeps its centroid.
    """
    from scipy.sparse import csr_matrix

    k = len(centroids)
    sums, counts = np.zeros(centroids.shape), np.zeros(k)
    labels, inertia = np.empty(len(points), dtype=np.int64), 0.0
    squares = (centroids**2).sum(axis=1)
    for rows in _blocks(len(points)):
        block = points[rows]
        distances = squares - 2 * (block @ centroids.T)
        nearest = distances.argmin(axis=1)
        labels[rows] = nearest
        inertia += float(distances[np.arange(len(block)), nearest].sum() + np.einsum("ij,ij->", block, block))
        members = csr_matrix(
            (np.ones(len(block), block.dtype), (nearest, np.arange(len(block)))), (k, len(block))
        )
        sums += members @ block
        counts += np.bincount(nearest, minlength=k)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centroids)
    return means.astype(points.dtype), labels, inertia


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))
