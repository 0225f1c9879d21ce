"""Clusters with planted groups, names by rule, value tiers and deciles."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from cli import ShoalError
from ml.configs import ClusterConfig
from ml.segments import clusters, naming
from ml.segments.behaviour import BehaviourSegments
from ml.segments.value import TIERS, Tiers, ValueCurve, deciles, percentiles

CONFIG = ClusterConfig(smallest_k=2, largest_k=4, components=4, seeds=(11, 12, 13))


@pytest.fixture
def planted() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 300)
    return truth, rng.normal(size=(300, 6)) + 8 * truth[:, None]


def test_fit_finds_two_planted_groups(planted: tuple[np.ndarray, np.ndarray]) -> None:
    truth, points = planted
    found, trials = clusters.fit(points, CONFIG.model_copy(update={"largest_k": 2}))
    assert adjusted_rand_score(truth, found.labels(points)) == 1.0
    assert [trial.k for trial in trials if trial.is_chosen] == [2]


def test_fit_rejects_a_k_with_a_cluster_under_the_floor(planted: tuple[np.ndarray, np.ndarray]) -> None:
    _, points = planted
    lonely = np.vstack([points, np.full((3, 6), 90.0)])  # three users far away: k = 2 would make them a group
    found, trials = clusters.fit(lonely, CONFIG.model_copy(update={"largest_k": 3}))
    sizes = np.bincount(found.labels(lonely))
    assert {trial.k: trial.smallest for trial in trials}[2] == 3 or sizes.min() >= CONFIG.min_users


def _sized(
    k: int, smallest: int, difference: float | None = None, bootstrap: float = 0.9, gain: float | None = None
) -> clusters.Trial:
    gain = float(k) if gain is None else gain
    return clusters.Trial(
        k=k,
        stability=0.9,
        smallest=smallest,
        silhouette=0.1,
        bootstrap=bootstrap,
        gain=gain,
        difference=difference,
    )


def test_coarser_clusters_are_tried_only_while_every_finer_division_has_a_tiny_one() -> None:
    asked = ClusterConfig(smallest_k=4, largest_k=6)
    for smallest, tried in (
        ({4: 10, 5: 9, 6: 9}, [4, 5, 6]),
        ({2: 90, 3: 10, 4: 9, 5: 9, 6: 3}, [3, 4, 5, 6]),
        ({2: 9, 3: 9, 4: 9, 5: 9, 6: 9}, [2, 3, 4, 5, 6]),
    ):
        trials = clusters.tried(lambda k, smallest=smallest: _sized(k, smallest[k]), asked)  # type: ignore[misc]
        assert [trial.k for trial in trials] == tried
        assert clusters.choose(trials, 300, asked).k == tried[0]
    # Whoever asks for one k gets it.
    only = ClusterConfig(smallest_k=4, largest_k=4)
    assert [trial.k for trial in clusters.tried(lambda k: _sized(k, 9), only)] == [4]


def test_fit_goes_below_the_smallest_k_where_three_users_are_far_from_all(
    planted: tuple[np.ndarray, np.ndarray],
) -> None:
    _, points = planted
    lonely = np.vstack([points, np.full((3, 6), 90.0)])
    _, trials = clusters.fit(lonely, CONFIG.model_copy(update={"smallest_k": 3}))
    assert [(trial.k, trial.smallest, trial.is_chosen) for trial in trials] == [
        (2, 3, True),
        (3, 3, False),
        (4, 3, False),
    ]


def test_a_group_like_everybody_in_all_that_has_a_name_is_not_made_where_another_k_has_none() -> None:
    floor = CONFIG.min_difference
    plain = [_sized(2, 90, floor), _sized(3, 60, floor - 0.01)]
    assert clusters.choose(plain, 300, CONFIG).k == 2
    assert clusters.choose([_sized(2, 90, floor), _sized(3, 60, floor)], 300, CONFIG).k == 3
    # Where every k has one, or features are unknown, the other questions alone choose.
    assert clusters.choose([_sized(2, 90, 0.0), _sized(3, 60, 0.0)], 300, CONFIG).k == 3
    assert clusters.choose([_sized(2, 90), _sized(3, 60)], 300, CONFIG).k == 3


def test_plainest_group_is_as_far_from_everybody_as_its_most_telling_named_feature() -> None:
    # In standard units 0, 0, 0, 4 are three times -1 / 3 ** .5 and once 3 ** .5; 0, 1 are -1 and 1.
    features = pd.DataFrame(
        {"order_count": [0, 0, 0, 4], "night_share": [0, 1, 0, 1], "size_of_hat": [0, 0, 9, 9]}
    )
    assert naming.plainest(features, np.array([0, 0, 1, 1])) == pytest.approx(1 / 3**0.5)
    assert naming.plainest(features, np.array([0, 1, 0, 1])) == pytest.approx(1.0)
    assert naming.plainest(features[["size_of_hat"]], np.array([0, 0, 1, 1])) == 0.0


def test_of_divisions_that_come_back_the_coarsest_is_chosen_that_tells_nearly_as_much() -> None:
    slack, enough = CONFIG.stability_slack, CONFIG.enough_gain
    best = _sized(4, 60, bootstrap=0.8, gain=2.0)

    def chosen(*others: clusters.Trial) -> int:
        return clusters.choose([*others, best], 300, CONFIG).k

    nearly = [_sized(2, 90, None, 0.8, enough * 2 - 0.01), _sized(3, 60, None, 0.8, enough * 2 + 0.01)]
    assert chosen(*nearly) == 3
    # What comes back on no resample is not asked what it tells, and sets no mark for others.
    assert chosen(_sized(3, 60, bootstrap=0.8 - slack - 0.01, gain=2.0)) == 4
    assert chosen(_sized(3, 60, bootstrap=0.8 - slack + 0.01, gain=2.0)) == 3
    assert chosen(_sized(5, 60, bootstrap=0.8 - slack - 0.01, gain=3.0)) == 4
    assert chosen(_sized(5, 60, bootstrap=0.8 - slack + 0.01, gain=3.0)) == 5
    # Where groups tell less of others than one group does, the least bad are taken.
    assert clusters.choose([_sized(2, 90, gain=-2.0), _sized(3, 60, gain=-1.0)], 300, CONFIG).k == 3
    # Of one k nothing is asked.
    only = clusters.Trial(k=3, stability=0.9, smallest=60, silhouette=0.1)
    assert clusters.choose([only], 300, CONFIG) == only


def test_every_k_tells_how_it_does_on_users_that_it_was_not_fitted_on(
    planted: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, points = planted
    features = pd.DataFrame({"order_count": truth})
    _, trials = clusters.fit(points, CONFIG, features)
    assert [trial.k for trial in trials] == [2, 3, 4]
    assert trials[0].bootstrap == 1.0 and trials[1].bootstrap < 0.9
    # Groups 8 apart have a variance of 4² between them and of 1 within: 16 / 17, nearly all in the axes.
    assert 0.9 < trials[0].held_out < 1
    assert trials[0].gain == pytest.approx(trials[0].held_out)  # one cluster explains no variance
    assert trials[0].difference > 0.9


def test_placement_does_not_depend_on_the_order_of_users_or_codes(
    planted: tuple[np.ndarray, np.ndarray],
) -> None:
    _, points = planted
    found, _ = clusters.fit(points, CONFIG.model_copy(update={"largest_k": 2}))
    named, swapped = found.named(("searchers", "newcomers")), found.named(("searchers", "newcomers"))
    order = np.random.default_rng(0).permutation(len(points))
    assert (named.place(points).code[order] == swapped.place(points[order]).code).all()
    assert named.codes == ("newcomers", "searchers")


def test_placement_on_the_border_has_no_margin() -> None:
    two = clusters.Clusters(np.zeros(1), np.ones(1), np.eye(1), np.array([[-1.0], [1.0]]), ("left", "right"))
    placed = two.place(np.array([[0.0], [1.0]]))
    assert placed.code.tolist() == ["left", "right"]
    assert placed.runner_up.tolist() == ["right", "left"]
    assert placed.margin.tolist() == [1 - 1 / 1, 1 - 0 / 2]


def test_fit_refuses_too_few_users() -> None:
    with pytest.raises(ShoalError, match="7 users are too few for 4 clusters of 10"):
        clusters.fit(np.zeros((7, 3)), ClusterConfig())


def _rules(rows: list[tuple[str, str, str, float]]) -> naming.Rules:
    return naming.Rules(pd.DataFrame(rows, columns=["segment_code", "feature", "direction", "weight"]))


def test_names_follow_what_sets_a_cluster_apart_and_are_unique() -> None:
    rules = _rules(
        [
            ("night_owls", "night_share", "high", 1),
            ("loyal_regulars", "order_count", "high", 1),
            ("newcomers", "tenure_days", "low", 1),
        ]
    )
    # Both clusters buy much, the first most: it takes the name, the second takes its next best.
    profile = pd.DataFrame({"order_count": [2.0, 1.5], "night_share": [0.1, 1.0], "tenure_days": [0.0, 0.0]})
    assert naming.name_clusters(profile, profile, rules) == ("loyal_regulars", "night_owls")


def test_nobody_is_a_one_time_buyer_without_an_order() -> None:
    rules = _rules(
        [("one_time_buyers", "order_count", "low", 1), ("mixed_shoppers", "order_count", "average", 1)]
    )
    limits = pd.DataFrame(
        {
            "segment_code": ["one_time_buyers"],
            "feature": "order_count",
            "lowest_mean": 0.8,
            "highest_mean": 1.8,
        }
    )
    profile, means = pd.DataFrame({"order_count": [-1.0, 0.5]}), pd.DataFrame({"order_count": [0.0, 1.2]})
    assert naming.name_clusters(profile, means, rules) == ("one_time_buyers", "mixed_shoppers")
    limited = naming.Rules(rules.table, limits)
    assert naming.name_clusters(profile, means, limited) == ("mixed_shoppers", "one_time_buyers")


def test_every_naming_limit_is_of_a_code_and_a_feature_that_the_rules_know() -> None:
    rules = naming.Rules.load()
    assert len(rules.limits) > 0
    assert set(rules.limits["segment_code"]) <= set(rules.table["segment_code"])
    assert set(rules.limits["feature"]) <= set(rules.table["feature"])
    assert rules.limits[["lowest_mean", "highest_mean"]].notna().any(axis=1).all()


def test_names_need_features_that_the_shop_has() -> None:
    rules = _rules(
        [("searchers", "search_count_last_30_days", "high", 1), ("newcomers", "tenure_days", "low", 1)]
    )
    profile = pd.DataFrame({"tenure_days": [5.0, -1.0]})
    with pytest.raises(
        ShoalError, match="2 clusters need names, but the features of this shop allow only 1 codes"
    ):
        naming.name_clusters(profile, profile, rules)


def test_a_shop_whose_features_allow_few_names_gets_as_many_segments() -> None:
    """A shop of one day knows nobody's tenure, and stopped with an error."""
    random = np.random.default_rng(3)
    groups = random.integers(0, 5, 600)
    points = random.normal(size=(600, 6)) + 8 * np.eye(6)[groups]
    features = pd.DataFrame(
        {"order_count": groups % 3, "view_count_last_30_days": groups // 3 + points[:, 0]}
    )
    rules = _rules(
        [
            ("loyal_regulars", "order_count", "high", 1),
            ("window_shoppers", "view_count_last_30_days", "high", 1),
            ("mixed_shoppers", "order_count", "average", 1),
            ("newcomers", "tenure_days", "low", 1),
        ]
    )
    config = CONFIG.model_copy(update={"method": "embeddings", "smallest_k": 4, "largest_k": 6})
    told = (points.astype(np.float32), date(2026, 3, 1), config, rules)
    made, trials = BehaviourSegments.make(None, SimpleNamespace(features=features), *told)
    assert set(made.clusters.codes) <= {"loyal_regulars", "window_shoppers", "mixed_shoppers"}
    assert len(made.clusters.codes) in [trial.k for trial in trials] == [2, 3]
    with pytest.raises(ShoalError, match="allow only 3 codes"):
        one = config.model_copy(update={"smallest_k": 5, "largest_k": 5})
        BehaviourSegments.make(None, SimpleNamespace(features=features), *told[:2], one, rules)


def test_profile_leaves_out_what_does_not_vary_and_what_is_missing() -> None:
    features = pd.DataFrame(
        {"order_count": [0, 0, 9, 9], "view_count": [0, 0, 0, 0], "night_share": [None, 0.2, 0.4, None]}
    )
    found = naming.profile(features, np.array([0, 0, 1, 1]))
    assert list(found.columns) == ["order_count", "night_share"]
    assert found["order_count"].tolist() == pytest.approx([-1.0, 1.0])
    assert found["night_share"].tolist() == pytest.approx([-1.0, 1.0])


def test_every_behaviour_code_has_a_rule_and_every_rule_a_code() -> None:
    names = pd.read_csv(naming.NAMES)
    vocabulary = set(names.loc[names["scheme"] == "behaviour", "segment_code"])
    assert set(naming.Rules.load().table["segment_code"]) == vocabulary


def test_every_feature_of_a_rule_has_words_in_both_languages() -> None:
    words = pd.read_csv(naming.FEATURES)
    assert set(naming.Rules.load().table["feature"]) <= set(words["feature"])
    assert words.notna().all().all()


def test_rule_with_an_unknown_code_is_refused(tmp_path: Path) -> None:
    rules = tmp_path / "rules.csv"
    rules.write_text("segment_code,feature,direction,weight\nwhales,order_count,high,1\n")
    with pytest.raises(ShoalError, match=r"rules.csv names the behaviour codes whales"):
        naming.Rules.load(rules)


def test_descriptions_say_what_is_far_from_average_first() -> None:
    profile = pd.DataFrame({"order_count": [1.4], "night_share": [-0.5], "tenure_days": [0.1]})
    (english,), (chinese,) = naming.describe(profile, "en"), naming.describe(profile, "zh")
    assert english.startswith(
        "Compared with all customers: number of orders far above average, share of activity at night below"
    )
    assert "订单数远高于平均" in chinese


def test_tiers_put_a_score_on_the_border_above_it() -> None:
    tiers = Tiers(high=0.8, medium=0.5)
    scores = np.array([0.8, 0.79, 0.5, 0.49])
    assert tiers.of(scores).tolist() == ["high", "medium", "medium", "low"]
    assert tiers.runner_up(scores).tolist() == ["medium", "high", "low", "medium"]
    assert tiers.margin(scores)[0] == 0.0
    assert tiers.distance(scores) == pytest.approx([1 - 0.8, 0.79 - 0.65, 0.65 - 0.5, 0.49])


@pytest.mark.parametrize(
    ("never_bought", "high", "medium"),
    [
        (95, 5, 0),  # above them lie 5 of the 10 and the 40 asked for: nearer than all 100
        (70, 10, 20),
        (55, 10, 30),  # no border lies among them
        (100, 0, 0),
    ],
)
def test_many_equal_users_make_no_tier_of_everybody(never_bought: int, high: int, medium: int) -> None:
    scores = np.concatenate([np.full(never_bought, 1 / 6), np.linspace(0.2, 0.9, 100 - never_bought)])
    tiers = Tiers.freeze(scores, 0.1, 0.3)
    placed = tiers.of(np.round(scores, 6)).tolist()  # as they are served
    assert [placed.count(tier) for tier in TIERS] == [high, medium, 100 - high - medium]


def test_equal_users_are_worth_what_they_spend_on_average() -> None:
    rng = np.random.default_rng(0)
    never_bought = rng.random(4000) < 0.7
    scores = np.where(never_bought, 1 / 7, rng.uniform(0.2, 0.9, 4000))
    spend = np.where(rng.random(4000) < 0.03, rng.lognormal(4, 1, 4000), 0.0) + 9 * ~never_bought
    found = ValueCurve.fit(scores, spend).of(np.round(scores, 6)[never_bought])
    assert found == pytest.approx(np.full(never_bought.sum(), spend[never_bought].mean()), abs=1e-4)


def test_deciles_are_stable_when_everybody_ties() -> None:
    users = np.array([f"u{index:02}" for index in range(20)], dtype=object)
    found = deciles(np.zeros(20), users)
    assert found.tolist() == [index // 2 + 1 for index in range(20)]
    order = np.random.default_rng(0).permutation(20)
    assert (deciles(np.zeros(20), users[order]) == found[order]).all()
    assert percentiles(np.array([0.1, 0.9]), users[:2]).tolist() == [0.5, 1.0]


def test_value_curve_never_falls_with_the_score() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(1000)
    curve = ValueCurve.fit(scores, 100 * scores + rng.normal(size=1000) * 50)
    amounts = curve.of(np.linspace(0, 1, 50))
    assert (np.diff(amounts) >= 0).all()
    assert abs(amounts.mean() - 50) < 5
