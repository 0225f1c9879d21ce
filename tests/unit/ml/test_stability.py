"""Both questions about new segments, on planted groups whose answers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.configs import ClusterConfig, StabilityConfig
from ml.segments import clusters, stability
from ml.segments.identity import Before

HOW = ClusterConfig(smallest_k=3, largest_k=3, components=4, seeds=(11, 12))
CONFIG = StabilityConfig(resamples=6, fit_resamples=100, later_users=50)


@pytest.fixture
def groups() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 3, 600)


def _bootstrap(points: np.ndarray) -> dict[str, float]:
    found, _ = clusters.fit(points, HOW)
    return stability.bootstrap_jaccard(found, points, HOW, CONFIG)


def test_planted_groups_return_when_users_are_drawn_again(groups: np.ndarray) -> None:
    noise = np.random.default_rng(2).normal(size=(600, 6))
    assert min(_bootstrap(noise + 8 * np.eye(6)[groups]).values()) > 0.95
    # Without groups the borders lie elsewhere every time.
    assert min(_bootstrap(noise).values()) < 0.7


def _features(groups: np.ndarray, recency: np.ndarray) -> pd.DataFrame:
    noise = np.random.default_rng(3).normal(size=len(groups))
    return pd.DataFrame({"order_count": 3 * groups + abs(noise), "recency_days": recency.astype(float)})


def _before(labels: np.ndarray) -> Before:
    codes = ("a", "b", "c")
    placed = np.array([codes[label] for label in labels], dtype=object)
    return Before("1", codes, placed, np.zeros((len(labels), 1)), np.zeros((3, 1)))


def _named(labels: np.ndarray) -> np.ndarray:
    return np.array([("a", "b", "new")[label] for label in labels], dtype=object)


def test_the_same_segments_agree_and_fit_alike(groups: np.ndarray) -> None:
    features = _features(groups, np.zeros(600))
    before = _before(groups)
    found = stability.agreement(before, before.placed, groups, features, 7, CONFIG)
    assert (found.ari, found.psi, found.moved_share) == (1.0, 0.0, 0.0)
    assert found.jaccard == {"a": 1.0, "b": 1.0, "c": 1.0}
    assert (found.fit.value, found.fit.low, found.fit.high) == (0.0, 0.0, 0.0)


def test_a_segment_under_another_code_is_compared_with_its_best(groups: np.ndarray) -> None:
    found = stability.agreement(
        _before(groups), _named(groups), groups, _features(groups, np.zeros(600)), 7, CONFIG
    )
    assert found.ari == 1.0
    assert found.jaccard == {"a": 1.0, "b": 1.0, "c": 1.0, "new": 1.0}
    assert found.moved_share == pytest.approx((groups == 2).mean())


def test_drift_shows_in_later_users_only(groups: np.ndarray) -> None:
    rng = np.random.default_rng(4)
    # Half were seen since; these went to other groups, and the champion's segments still say the old.
    seen = np.arange(600) < 300
    old = np.where(seen, rng.permutation(groups), groups)
    features = _features(groups, np.where(seen, 1, 90))
    drifted = stability.agreement(_before(old), _named(groups), groups, features, 7, CONFIG)
    assert drifted.later_users == 300
    assert drifted.fit.low > 0.3
    # Among users not seen since, the champion is as good.
    quiet = _features(groups, np.where(seen, 90, 1))
    assert stability.agreement(_before(old), _named(groups), groups, quiet, 7, CONFIG).fit.low <= 0
    # Too few seen since: everybody tells.
    few = _features(groups, np.where(np.arange(600) < 49, 1, 90))
    assert stability.agreement(_before(old), _named(groups), groups, few, 7, CONFIG).later_users == 600


def test_moved_are_counted_among_users_of_both_days() -> None:
    then = pd.Series({"u1": "a", "u2": "a", "u3": "b"})
    now = pd.Series({"u2": "b", "u3": "b", "u4": "a"})
    # u1 has gone, u4 is new; of the other two u2 went elsewhere.
    assert stability.moved(then, now) == 1 / 2
    assert stability.moved(then, now.rename(lambda user: f"new {user}")) is None


def test_who_moved_by_behaviour_is_told_beside_who_moved_by_the_model(groups: np.ndarray) -> None:
    before = _before(groups)
    agreed = stability.agreement(before, _named(groups), groups, _features(groups, np.zeros(600)), 7, CONFIG)
    told = stability.Stability({}, 0.9, agreed, behaviour_moved_share=0.25).metrics()
    assert told["champion/moved_share"] == pytest.approx((groups == 2).mean())
    assert told["champion/behaviour_moved_share"] == 0.25
    assert "champion/behaviour_moved_share" not in stability.Stability({}, 0.9, agreed).metrics()
