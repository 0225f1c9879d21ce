"""Segments keep who they are: matching with planted splits and merges, codes, and a retraining end to end."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from ml.configs import ClusterConfig, IdentityConfig
from ml.segments import clusters, identity, naming
from ml.segments.identity import BORN, KEPT, MERGED, SPLIT, Before, Lineage, Origin

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


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """Four groups, so near that a fit could well see them otherwise."""
    rng = np.random.default_rng(5)
    return rng.normal(size=(800, 8)) + 1.6 * np.eye(8)[rng.integers(0, 4, 800)]


CONFIG = ClusterConfig(smallest_k=4, largest_k=4, components=6, seeds=(11, 12))


def _codes(points: np.ndarray) -> np.ndarray:
    found, _ = clusters.fit(points, CONFIG)
    # Named by where they lie, as rules on a profile would.
    rank = np.argsort(np.argsort(found.centroids[:, 0]))
    return found.named(tuple("abcd"[number] for number in rank)).place(points).code


def test_shuffled_rows_change_nobodys_segment(points: np.ndarray) -> None:
    order = np.random.default_rng(6).permutation(len(points))
    assert (_codes(points)[order] == _codes(points[order])).all()


def test_another_number_of_threads_changes_nobodys_segment(points: np.ndarray) -> None:
    with threadpool_limits(1):
        alone = _codes(points)
    with threadpool_limits(2):
        assert (_codes(points) == alone).all()
