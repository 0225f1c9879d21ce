"""K-means of many users is no worse than that of a few, and the same each time."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from ml.segments import k_means


@pytest.fixture
def points() -> np.ndarray:
    """6,000 points around 12 uneven kinds in 8 dimensions."""
    random = np.random.default_rng(3)
    kinds = random.choice(12, 6_000, p=random.dirichlet(np.ones(12)))
    return random.normal(size=(12, 8))[kinds] * 2 + random.normal(size=(6_000, 8))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few points count as many, and several blocks be needed."""
    for name, value in {"WHOLE": 500, "SAMPLE": 400, "SETTLING": 1_500, "BLOCK": 999}.items():
        monkeypatch.setattr(k_means, name, value)


def test_few_points_are_fitted_as_scikit_learn_does(points: np.ndarray) -> None:
    found = k_means.fit(points, 5, seed=1)
    theirs = KMeans(5, n_init=2, random_state=1).fit(points)
    assert np.array_equal(found.centroids, theirs.cluster_centers_)
    assert np.array_equal(found.labels, theirs.labels_)
    assert found.inertia == theirs.inertia_


@pytest.mark.usefixtures("many")
def test_many_points_are_divided_as_well(points: np.ndarray) -> None:
    best = min(KMeans(5, n_init=1, random_state=seed).fit(points).inertia_ for seed in range(3))
    assert k_means.fit(points, 5, seed=1).inertia <= 1.01 * best


def test_centroids_leave_the_valley_that_they_began_in() -> None:
    # Four heaps in a row; two centroids in the first heap and one for the last two: passes alone stay there.
    random = np.random.default_rng(0)
    points = np.repeat([0.0, 10.0, 100.0, 110.0], 300)[:, None] + random.normal(size=(1_200, 1))
    stuck, high = k_means._settled(points, np.array([[-1.0], [1.0], [10.0], [105.0]]), 50)
    wider = k_means._inhaled(points, stuck, 1, random)
    moved, low = k_means._settled(
        points, k_means._exhaled(points, k_means._settled(points, wider, 5)[0], 1), 5
    )
    assert high > 10 * low
    assert np.sort(moved[:, 0]).round(-1).tolist() == [0, 10, 100, 110]


def test_of_two_that_nobody_would_miss_one_stays_for_the_other() -> None:
    points = np.repeat([0.0, 5.0, 9.0], 10)[:, None]
    twins = np.array([[0.0], [0.1], [5.0], [9.0]])
    assert len(k_means._exhaled(points, twins, 1)) == 3
    left = k_means._exhaled(points, twins, 2)[:, 0]
    assert len(left) == 2 and left.min() < 1


@pytest.mark.usefixtures("many")
def test_labels_and_inertia_are_those_of_the_nearest_centroid(points: np.ndarray) -> None:
    found = k_means.fit(points, 5, seed=1)
    distances = ((points[:, None] - found.centroids) ** 2).sum(axis=2)
    assert np.array_equal(found.labels, distances.argmin(axis=1))
    assert found.inertia == pytest.approx(distances.min(axis=1).sum())


@pytest.mark.usefixtures("many")
def test_the_same_seed_gives_the_same_clusters(points: np.ndarray) -> None:
    one, other = k_means.fit(points, 5, seed=1), k_means.fit(points, 5, seed=1)
    assert np.array_equal(one.centroids, other.centroids)


def test_a_cluster_that_nobody_is_in_stays_where_it_was(points: np.ndarray) -> None:
    far = np.full((1, 8), 1e6)
    moved, labels, _ = k_means._moved(points, np.vstack([points[:2], far]))
    assert np.array_equal(moved[2], far[0]) and set(labels) == {0, 1}
