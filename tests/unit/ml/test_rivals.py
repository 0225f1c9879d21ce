"""The judge's rivals: order counted by hand, BG/NBD against planted parameters, every recipe on one world."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.configs import Config, RivalConfig, with_changes
from ml.encoder.order import OrderFeatures
from ml.encoder.tokens import Sequences
from ml.evaluation.buy_till_die import BuyTillDie, Purchases
from ml.evaluation.recipes import RECIPES, Blend, Recipe
from ml.evaluation.rivals import RFM, GradientTrees, RfmRank
from ml.warehouse import Cut, Inputs
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK

DAY = 86400


def _sequences() -> Sequences:
    """Return two users: u views, a day later views and buys two things at once; v has done one thing."""
    kinds = np.array(["view", "view", "buy", "buy", "view"], dtype=object)
    gaps = np.array([0, DAY, 3 * DAY, 0, 0])
    # Monday at nine, Tuesday at nine, Friday at eleven at night; v on Sunday at one.
    hours = np.array([9, 24 + 9, 4 * 24 + 23, 4 * 24 + 23, 6 * 24 + 1])
    numbers = np.zeros(5)
    return Sequences(
        np.array([0, 4, 5]), [""], np.zeros(5, np.int64), kinds, kinds, gaps, hours, numbers, numbers
    )


def test_order_features_equal_hand_counts() -> None:
    found = OrderFeatures.fit(_sequences()).of(_sequences(), pd.Index(["u", "v"]))
    u, v = found.loc["u"], found.loc["v"]
    # The two things bought at once are one moment: view > view > buy.
    assert [u[name] for name in found if name.startswith("transition")] == [1, 1]
    assert (u["pause_days_quantile_0.5"], u["pause_days_newest"]) == ((1 + 3) / 2, 3)
    assert (u["monday_morning_share"], u["friday_evening_share"]) == (1 / 3, 1 / 3)
    assert v["sunday_night_share"] == 1
    assert np.isnan(v["pause_days_newest"]) and v["transition_count view > view"] == 0


def test_transitions_that_training_did_not_see_are_not_counted() -> None:
    only_views = _sequences().only(np.array([1]))
    assert OrderFeatures.fit(only_views).transitions == ()


def test_some_users_keep_their_own_events() -> None:
    v, u = _sequences().only(np.array([1, 0])).offsets.tolist()[1:]
    assert (v, u) == (1, 1 + 4)
    assert _sequences().only(np.array([1, 0])).event_type.tolist() == ["view", "view", "view", "buy", "buy"]


def test_buy_till_die_finds_the_parameters_that_made_the_customers() -> None:
    """6,000 customers drawn as the model says, with the parameters that the paper found in CDNOW's."""
    rng = np.random.default_rng(0)
    count, (r, alpha, a, b) = 6000, (0.243, 4.414, 0.793, 2.426)
    rate, leaves, age = rng.gamma(r, 1 / alpha, count), rng.beta(a, b, count), rng.uniform(27, 39, count)
    repeats, last = np.zeros(count), np.zeros(count)
    at, is_there = rng.exponential(1 / rate), np.ones(count, bool)
    while (is_there := is_there & (at < age)).any():
        repeats += is_there
        last = np.where(is_there, at, last)
        is_there &= rng.random(count) >= leaves
        at = at + rng.exponential(1 / rate)
    orders = repeats + 1
    amount = rng.gamma(6.25 * orders, 1 / (rng.gamma(3.74, 1 / 15.44, count) * orders))
    known = Purchases(repeats, last, age, orders, amount)
    found = BuyTillDie.fit(known, penalty=0.0)
    assert found.frequency[:2] == pytest.approx((r, alpha), rel=0.15)
    assert found.frequency[2] / sum(found.frequency[2:]) == pytest.approx(a / (a + b), abs=0.06)
    assert found.spend[2] * found.unit == pytest.approx(15.44, rel=0.2)
    # Who bought often and lately is worth more than who bought often and long ago.
    lively, gone = (Purchases(*map(np.array, ([9.0], [when], [38.0], [10.0], [30.0]))) for when in (37, 10))
    assert found.expected(lively, 90)[0] > 3 * found.expected(gone, 90)[0] > 0


def test_who_never_ordered_is_expected_to_spend_nothing() -> None:
    features = pd.DataFrame(
        {
            "order_count": [0, 3],
            "days_between_orders_avg": [None, 7.0],
            "days_since_last_order": [None, 14.0],
            "average_order_amount": [None, 20.0],
        }
    )
    known = Purchases.of(features)
    assert (known.repeats[1], known.last[1], known.age[1]) == (2, 2 * 7 / 7, 2 * 7 / 7 + 14 / 7)
    spend = BuyTillDie((0.2, 4.0, 0.8, 2.4), (6.0, 4.0, 15.0), 1.0).expected(known, 30)
    assert spend[0] == 0 < spend[1]


def test_rank_says_of_who_never_ordered_that_it_goes_with_a_lower_score() -> None:
    """The reasons are the ranks that make the score: the longest ago is the lowest."""
    recency, frequency, money = RFM
    features = pd.DataFrame(
        {recency: [np.nan, 3.0, 40.0], frequency: [0, 5, 2], money: [0.0, 50.0, 70.0]}, index=["u", "v", "w"]
    )
    names, moved = RfmRank().contributions(features)
    assert names == [recency, frequency, money]
    assert moved[:, 0].tolist() == [1 / 3 - 2 / 3, 3 / 3 - 2 / 3, 2 / 3 - 2 / 3]
    assert moved.mean(axis=1) + 2 / 3 == pytest.approx(RfmRank().score(features))


@pytest.mark.parametrize("model", [RfmRank, GradientTrees])
def test_model_of_features_refuses_to_score_without_one_of_them(
    model: type[RfmRank | GradientTrees], data: Path
) -> None:
    world = synthetic.write(users=100)
    cut = _cut(world, train=True)
    assert cut.outcomes is not None
    trees = GradientTrees.fit(cut.features, cut.outcomes.is_high_value, RivalConfig(trees=2, seeds=(1,)))
    fitted = RfmRank() if model is RfmRank else trees
    for asked in (fitted.score, fitted.contributions):
        with pytest.raises(ValueError, match="fct_user_features lacks order_count: rebuild ml_inputs, or"):
            asked(cut.features.drop(columns="order_count"))


def _cut(world: synthetic.World, train: bool) -> Cut:
    cut = Inputs.of(world.paths, world.as_of).cut(world.train if train else world.test, with_outcomes=True)
    orders = cut.features["order_count"]
    more = {
        "days_between_orders_avg": np.where(orders > 1, 5.0, np.nan),
        "average_order_amount": cut.features["net_revenue_amount"] / orders.where(orders > 0),
    }
    return replace(cut, features=cut.features.assign(**more))


FITTED = [one for one in RECIPES if isinstance(one, Recipe)]


@pytest.mark.parametrize(
    "recipe", [one for one in FITTED if one.name != "bert_text"], ids=lambda one: one.name
)
def test_recipe_ranks_planted_buyers_above_carters_and_repeats_itself(recipe: Recipe, data: Path) -> None:
    world = synthetic.write(users=300)
    train, test = _cut(world, train=True), _cut(world, train=False)
    scores = [recipe.fit(train, QUICK, 7, None).score(test) for _ in range(2)]
    assert np.array_equal(scores[0], scores[1])
    assert ((scores[0] >= 0) & (scores[0] <= 1)).all()
    is_buyer = np.array([world.truth[user] == "buyer" for user in test.users])
    assert scores[0][is_buyer].mean() > scores[0][~is_buyer].mean()


def test_all_recipes_but_the_dearest_may_try_equally_many_settings() -> None:
    tried = {recipe.name: len(recipe.trials) for recipe in FITTED}
    assert tried.pop("bert_text") == 1
    assert set(tried.values()) == {Config().judge.budget}
    assert all(recipe.trials[0] == {} for recipe in FITTED)
    for recipe in FITTED:
        settings = [with_changes(Config(), **changes) for changes in recipe.trials]
        assert len({one.digest() for one in settings}) == len(settings)


def test_blends_are_of_recipes_that_compete() -> None:
    names = {recipe.name for recipe in RECIPES}
    assert all(set(blend.of) <= names for blend in RECIPES if isinstance(blend, Blend))


def test_horizon_reaches_the_recipes(data: Path) -> None:
    world = synthetic.write(users=60)
    assert _cut(world, train=True).horizon_days == (world.test - world.train) / timedelta(days=1)
