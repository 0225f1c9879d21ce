"""K-means that costs little where users are many: started on a sample, settled on everybody.

The valley is looked for on a sample, which shows it as well as a million users do; only the last pass needs
everybody. Passes alone stay in the valley that they began in, so centroids are moved across: some are added
where distances are largest, as many taken away where they are missed least, in fewer and fewer at once while
that no longer helps (breathing k-means, Fritzke 2020). One such start ends lower than the best of five plain
ones, at half their price. Few users are fitted whole, by scikit-learn.
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
PASSES = 4
"""Over these; then one over everybody moves the centroids, a second would by nothing that counts."""
BREATH = 5
"""So many centroids are added and taken away at once, at first."""
BREATHS = 20
"""At most."""
GAIN = 1e-4
"""A breath that gains a smaller share of the inertia was in vain."""
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
    random = np.random.default_rng(seed)
    drawn = random.permutation(len(points))
    sample = points[drawn[:SAMPLE]]
    centroids, _ = min((_breathed(sample, k, random) for _ in range(restarts)), key=lambda one: one[1])
    centroids, _ = _settled(points[drawn[:SETTLING]], centroids, PASSES)
    centroids, _, _ = _moved(points, centroids)
    _, labels, inertia = _moved(points, centroids)
    return Fit(centroids, labels, inertia)


def _breathed(points: Floats, k: int, random: np.random.Generator) -> tuple[Floats, float]:
    """Return centroids and their inertia: of a k-means++ start, some moved to where they help more."""
    from sklearn.cluster import kmeans_plusplus

    begun, _ = kmeans_plusplus(points, k, random_state=int(random.integers(2**31)))
    centroids, inertia = _settled(points, begun, 8)
    breath = min(BREATH, k)
    for _ in range(BREATHS):
        if breath == 0:
            break
        wider, _ = _settled(points, _inhaled(points, centroids, breath, random), 2)
        moved, lower = _settled(points, _exhaled(points, wider, breath), 3)
        if lower < inertia * (1 - GAIN):
            centroids, inertia = moved, lower
        else:
            breath -= 1
    return centroids, inertia


def _inhaled(points: Floats, centroids: Floats, breath: int, random: np.random.Generator) -> Floats:
    """Return the centroids, and a point more of each of the clusters with the largest distances."""
    labels, nearest, _ = _two_nearest(points, centroids)
    worst = np.argsort(-np.bincount(labels, nearest, len(centroids)))[:breath]
    added = [points[random.choice(np.flatnonzero(labels == number))] for number in worst]
    return np.vstack([centroids, added]).astype(points.dtype)


def _exhaled(points: Floats, centroids: Floats, breath: int) -> Floats:
    """Return the centroids but those that would be missed least; a neighbour of one that went stays.

    Where too few are left that way, the neighbours go after all.
    """
    labels, nearest, second = _two_nearest(points, centroids)
    order = np.argsort(np.bincount(labels, second - nearest, len(centroids)))
    apart = ((centroids[:, None] - centroids) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    gone: list[int] = []
    stays: set[int] = set()
    for number in order.tolist():
        if number not in stays:
            gone.append(number)
            stays.add(int(apart[number].argmin()))
    gone += [number for number in order.tolist() if number in stays and number not in gone]
    return np.delete(centroids, gone[:breath], axis=0)


def _two_nearest(points: Floats, centroids: Floats) -> tuple[Ints, Floats, Floats]:
    """Return the number of each point's cluster, and the squared distances to it and to the next."""
    distances = (centroids**2).sum(axis=1) - 2 * (points @ centroids.T)
    distances += np.einsum("ij,ij->i", points, points)[:, None]
    rows, labels = np.arange(len(points)), distances.argmin(axis=1)
    nearest = distances[rows, labels]
    distances[rows, labels] = np.inf
    return labels, nearest, distances.min(axis=1)


def _settled(points: Floats, centroids: Floats, passes: int) -> tuple[Floats, float]:
    """Return centroids after some passes, and the inertia before the last of them."""
    inertia = np.inf
    for _ in range(passes):
        centroids, _, inertia = _moved(points, centroids)
    return centroids, inertia


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
