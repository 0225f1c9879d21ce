"""Segments are judged on users that they were not fitted on, and by what came later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ml import segment_trials
from ml.configs import ClusterConfig
from ml.evaluation.segments import Ints, Later, explained, intervals, place, stability, taste, taste_by_chance
from ml.segment_trials import COLUMNS, Row, _Month
from ml.segments import naming
from ml.trials import as_csv
from ml.warehouse import Inputs
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK
from warehouse.horizon import Trial

USERS = 1200
RANDOM = np.random.default_rng(5)
GROUP = RANDOM.integers(0, 3, USERS)
FOLD = np.arange(USERS) % 2 == 0
SPEND = np.where(RANDOM.random(USERS) < 0.5, np.expm1(GROUP + RANDOM.random(USERS)), 0.0)
BUYER = np.repeat(np.arange(USERS), 2)
LATER = Later(SPEND, BUYER, np.where(RANDOM.random(len(BUYER)) < 0.7, GROUP[BUYER], RANDOM.integers(0, 3)))


def by(labels: NDArray[np.int64]) -> Callable[[Ints], Callable[[Ints], Ints]]:
    """Return a partition that gives each user a label, whoever it is fitted on."""
    return lambda rows: lambda others: labels[others]


def folds(labels: NDArray[np.int64], later: Later = LATER) -> list:
    return [place(by(labels), inside == FOLD, later) for inside in (True, False)]


def test_groups_explain_spend_and_taste_and_noise_explains_neither() -> None:
    noise = RANDOM.integers(0, 3, USERS)
    everybody, once = np.arange(USERS), np.ones(USERS)
    assert explained(folds(GROUP), LATER, once) > 0.1
    assert explained(folds(noise), LATER, once) < 0.01
    assert taste(folds(GROUP), LATER, everybody) > 0.2
    spend, told = intervals(folds(noise), LATER, 200, 0.95, 0)
    assert told.low < 0 < told.high and spend.low < 0.01


def test_many_small_segments_explain_less_of_others_than_few_true_ones() -> None:
    once = np.ones(USERS)
    every_third = np.arange(USERS) // 3
    assert explained(folds(every_third), LATER, once) < 0 < explained(folds(GROUP), LATER, once)


def test_means_come_from_users_outside_the_fold() -> None:
    changed = SPEND.copy()
    changed[FOLD] = 10 * changed[FOLD]
    inside, outside = folds(GROUP), folds(GROUP, Later(changed, LATER.buyer, LATER.category))
    assert np.array_equal(inside[0].expected, outside[0].expected)
    assert not np.array_equal(inside[1].expected, outside[1].expected)


def test_a_user_with_many_categories_makes_chance_no_finding() -> None:
    lots = np.repeat(np.arange(40), 200)
    later = Later(SPEND, lots, lots)
    noise = RANDOM.integers(0, 3, USERS)
    assert taste(folds(noise, later), later, np.arange(USERS)) > 0.05  # what the usual correction leaves
    everybody, random = np.arange(USERS), np.random.default_rng(0)
    chance = taste_by_chance(folds(noise, later), later, everybody, random, 20)
    assert abs(taste(folds(noise, later), later, everybody) - chance) < 0.05


def test_interval_of_a_taste_holds_its_value() -> None:
    """Users drawn twice agree with themselves: chance has to know."""
    for labels in (GROUP, RANDOM.integers(0, 3, USERS)):
        _, told = intervals(folds(labels), LATER, 500, 0.95, 0)
        assert told.low < told.value < told.high


def test_stability_is_one_for_a_rule_and_low_for_a_whim() -> None:
    def whim(rows: Ints) -> Callable[[Ints], Ints]:
        drawn = np.random.default_rng(rows.sum()).integers(0, 3, USERS)
        return lambda others: drawn[others]

    rows = np.arange(USERS)
    assert stability(by(GROUP), rows, 3, 0) == 1.0
    assert abs(stability(whim, rows, 3, 0)) < 0.05


def test_no_more_segments_are_judged_than_the_served_way_has_names_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five classes are found, and what the shop tells is enough for three names."""
    features = pd.DataFrame({"order_count": np.arange(600) % 5, "event_count": np.arange(600) % 3})
    table = pd.DataFrame(
        [
            (code, "order_count", direction, 1)
            for code, direction in (("a", "high"), ("b", "low"), ("c", "average"))
        ],
        columns=["segment_code", "feature", "direction", "weight"],
    )

    def find(_: object, config: ClusterConfig, features: pd.DataFrame) -> tuple[SimpleNamespace, list]:
        k = config.largest_k
        classes = SimpleNamespace(labels=lambda _: features["order_count"].to_numpy() % k)
        return classes, [SimpleNamespace(k=k, is_chosen=True)]

    monkeypatch.setattr(segment_trials, "fit_classes", find)
    monkeypatch.setattr(segment_trials.memory, "recalled", lambda *_: None)
    monkeypatch.setattr(naming.Rules, "load", classmethod(lambda cls: cls(table)))
    cut = SimpleNamespace(only=lambda _: SimpleNamespace(sequences=None, features=features))
    config = SimpleNamespace(clusters=ClusterConfig(smallest_k=4, largest_k=5))
    month = _Month(None, config, None, cut, None, None)  # type: ignore[arg-type]
    assert month._chosen(np.arange(600)) == 3


@pytest.mark.slow
def test_every_method_is_judged_with_the_k_that_the_served_way_chooses(data: Path) -> None:
    world = synthetic.write(users=400)
    inputs = Inputs.of(world.paths, world.as_of)
    cut = inputs.cut(world.test, with_outcomes=True)
    kind = np.array([world.truth[user] for user in cut.users])
    rows = np.repeat(np.arange(len(cut)), 8)
    bought = pd.DataFrame({"row": rows, "is_later": np.tile([False] * 7 + [True], len(cut))})
    bought["category"] = kind[bought["row"]]
    bought["product_id"] = bought["category"] + RANDOM.integers(0, 8, len(bought)).astype(str)
    trial = Trial(world.as_of, world.horizon_days, world.train, world.test, "choose")
    month = _Month(trial, QUICK, inputs.cut(world.train, with_outcomes=True), cut, bought, world.paths.models)
    found = {row.method: row for row in month.rows()}
    ways = ["behaviour", "embeddings", "log_rfm", "features", "features_order", "taste", "score"]
    assert list(found) == ways
    assert len({row.k for row in found.values()}) == 1
    assert {method for method, row in found.items() if np.isfinite(row.persistence)} == {*ways[:2]}
    assert found["taste"].taste_low > found["log_rfm"].taste_high
    assert found["behaviour"].cut == world.test + timedelta(days=1)
    assert as_csv(list(found.values()), COLUMNS).splitlines()[0] == ",".join(COLUMNS)
    assert all(
        np.isfinite(getattr(row, name))
        for row in found.values()
        for name in Row.__annotations__
        if name not in ("cut", "method", "persistence")
    )
