"""Segments keep who they are: matching with planted splits and merges, codes, and a retraining end to end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from ml.configs import ClusterConfig, IdentityConfig
from ml.segments import clusters, identity, latent_classes, naming
from ml.segments.clusters import Clusters
from ml.segments.habits import Habits
from ml.segments.identity import BORN, KEPT, MERGED, SPLIT, Before, Lineage, Origin
from ml.segments.latent_classes import LatentClasses

HOW = IdentityConfig()
TODAY = date(2026, 6, 30)


def _match(shared: list[list[int]], distances: list[list[float]] | None = None) -> list[Origin]:
    counts = np.array(shared)
    # Where nothing is said, the more two share the nearer they lie.
    far = 1 / (1 + counts) if distances is None else np.array(distances)
    return identity.match(counts, far, ("a", "b", "c")[: counts.shape[1]], HOW)


def test_the_same_clusters_in_another_order_are_kept() -> None:
    assert _match([[0, 100], [100, 0]]) == [Origin(KEPT, ("b",)), Origin(KEPT, ("a",))]


def test_a_segment_in_two_uneven_parts_is_kept_and_has_a_child() -> None:
    # 60 / 100 of a stay together; the other 40 are all of the second cluster.
    assert _match([[60], [40]]) == [Origin(KEPT, ("a",)), Origin(SPLIT, ("a",))]


def test_a_segment_in_three_like_parts_is_kept_by_the_part_nearest_to_its_centre() -> None:
    # 34 / 100 is over the 0.3 that suffices where the centroids are each other's nearest.
    parts = _match([[33], [34], [33]], [[2.0], [1.0], [3.0]])
    assert [part.event for part in parts] == [SPLIT, KEPT, SPLIT]
    # In four parts nobody has enough of it.
    assert [part.event for part in _match([[25], [25], [25], [25]])] == [SPLIT] * 4


def test_two_segments_of_one_size_merge_into_a_new_one() -> None:
    assert _match([[50, 50, 0], [0, 0, 80]]) == [Origin(MERGED, ("a", "b")), Origin(KEPT, ("c",))]


def test_a_segment_that_takes_in_a_small_one_is_kept() -> None:
    assert _match([[90, 30]]) == [Origin(KEPT, ("a",))]


def test_a_cluster_from_everywhere_is_born() -> None:
    # A third of each: no segment makes half of it, none gives half of itself.
    mixed = _match([[60, 0, 0], [0, 60, 0], [0, 0, 60], [30, 30, 30]])
    assert mixed[3] == Origin(BORN)
    assert [one.event for one in mixed[:3]] == [KEPT] * 3


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_numbering_clusters_otherwise_changes_nobody(data: st.DataObject) -> None:
    k = data.draw(st.integers(2, 6))
    counts = data.draw(
        st.lists(st.lists(st.integers(0, 200), min_size=3, max_size=3), min_size=k, max_size=k)
    )
    shared = np.array(counts) + 1
    # Distances that never tie, so that there is one best assignment.
    far = np.random.default_rng(0).random(shared.shape) + 1 / shared
    order = data.draw(st.permutations(range(k)))
    told = identity.match(shared, far, ("a", "b", "c"), HOW)
    again = identity.match(shared[order], far[order], ("a", "b", "c"), HOW)
    assert [told[index] for index in order] == again


def test_no_segment_is_kept_by_two_clusters() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        origins = _match(rng.integers(0, 100, (5, 3)).tolist())
        kept = [origin.parents for origin in origins if origin.event == KEPT]
        assert len(kept) == len(set(kept))


def test_lineage_names_the_retired_and_forgets_them_after_a_while() -> None:
    long_ago = TODAY - timedelta(days=HOW.remember_retired_days)
    before = Before(
        "3",
        ("a", "b"),
        np.array(["a"], dtype=object),
        np.zeros((1, 1)),
        np.zeros((2, 1)),
        Lineage(retired={"old": long_ago, "recent": long_ago + timedelta(days=1), "back": TODAY}),
    )
    found = identity.lineage({"a": Origin(KEPT, ("a",)), "back": Origin(SPLIT, ("b",))}, before, TODAY, HOW)
    assert found.origins == {"a": Origin(KEPT), "back": Origin(SPLIT, ("b",))}
    assert found.retired == {"b": TODAY, "recent": long_ago + timedelta(days=1)}
    assert Lineage.from_json(found.as_json()) == found
    assert Lineage.from_json({}) == Lineage()


def _rules(codes: list[str]) -> naming.Rules:
    rows = [(code, "order_count", "high", 1) for code in codes]
    return naming.Rules(pd.DataFrame(rows, columns=["segment_code", "feature", "direction", "weight"]))


def test_a_born_segment_takes_no_code_in_use_and_a_retired_one_only_where_none_is_left() -> None:
    profile = pd.DataFrame({"order_count": [1.0, 0.5]})
    rules = _rules(["a_in_use", "b_retired", "c_free"])
    named = naming.name_clusters(profile, profile, rules, {0: "a_in_use"}, {"b_retired"})
    assert named == ("a_in_use", "c_free")
    three = pd.DataFrame({"order_count": [1.0, 0.5, 0.2]})
    named = naming.name_clusters(three, three, rules, {0: "a_in_use"}, {"b_retired"})
    assert set(named[1:]) == {"b_retired", "c_free"}


Segmentation = Clusters | LatentClasses
HABITS = Habits(("", "cart", "view"), 0.05)
CONFIG = ClusterConfig(smallest_k=4, largest_k=4, components=6, seeds=(11, 12))


@dataclass(frozen=True)
class Way:
    """A way to divide users, and users in four groups, so near that a fit could well see them otherwise."""

    points: np.ndarray
    fit: Callable[[np.ndarray], Segmentation]


def _by_clusters() -> Way:
    rng = np.random.default_rng(5)
    points = rng.normal(size=(800, 8)) + 1.6 * np.eye(8)[rng.integers(0, 4, 800)]
    return Way(points, lambda some: clusters.fit(some, CONFIG)[0])


def _by_habits(before: LatentClasses | None = None) -> Way:
    rng = np.random.default_rng(5)
    group, blocks = rng.integers(0, 4, 800), []
    for size in HABITS.sizes:
        usual, own = rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size), 4)
        blocks.append(np.stack([rng.multinomial(4, 0.8 * usual + 0.2 * own[one]) for one in group]))
    points = np.hstack(blocks).astype(np.float32)
    return Way(points, lambda some: latent_classes.fit(HABITS, some, CONFIG, before)[0])


def _by_habits_of_before() -> Way:
    """Return the way of a retraining: classes that go on from those in force."""
    anew = _by_habits()
    return _by_habits(anew.fit(anew.points[::2]).named(tuple("abcd")))


@pytest.fixture(scope="module", params=[_by_clusters, _by_habits, _by_habits_of_before])
def way(request: pytest.FixtureRequest) -> Way:
    return request.param()


def _named(found: Segmentation, points: np.ndarray) -> Segmentation:
    """Name segments by what their users are like, as rules on a profile would."""
    labels = found.labels(points)
    like = [points[labels == number].mean(axis=0) @ np.arange(points.shape[1]) for number in range(4)]
    return found.named(tuple("abcd"[rank] for rank in np.argsort(np.argsort(like))))


def _codes(way: Way, points: np.ndarray) -> np.ndarray:
    return _named(way.fit(points), points).place(points).code


def _renumbered(found: Segmentation, order: np.ndarray) -> Segmentation:
    if isinstance(found, Clusters):
        return replace(found, centroids=found.centroids[order])
    return replace(found, weights=found.weights[:, order], shares=found.shares[order])


def test_numbering_segments_otherwise_changes_nobodys_segment(way: Way) -> None:
    found = way.fit(way.points)
    codes = _named(found, way.points).place(way.points).code
    assert len(set(codes)) == 4
    for seed in range(5):
        other = _renumbered(found, np.random.default_rng(seed).permutation(4))
        assert (_named(other, way.points).place(way.points).code == codes).all()


def test_shuffled_rows_change_nobodys_segment(way: Way) -> None:
    order = np.random.default_rng(6).permutation(len(way.points))
    assert (_codes(way, way.points)[order] == _codes(way, way.points[order])).all()


def test_another_number_of_threads_changes_nobodys_segment(way: Way) -> None:
    with threadpool_limits(1):
        alone = _codes(way, way.points)
    with threadpool_limits(2):
        assert (_codes(way, way.points) == alone).all()
