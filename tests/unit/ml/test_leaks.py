"""The leak canary without a warehouse: what it says, when it is dead, and that models are really asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cli import ShoalError
from ml.encoder.classifier import Classifier
from ml.evaluation import leaks
from ml.evaluation.leaks import Pair, Sample
from ml.evaluation.rivals import GradientTrees
from ml.warehouse import Cut, Inputs
from settings import ShopPaths
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK

Cuts = tuple[Inputs, Cut, Cut, Cut]


@pytest.fixture
def cuts(data: Path) -> Cuts:
    made = synthetic.write(users=150)
    made.paths.landing.mkdir(parents=True)
    made.paths.ledger.touch()
    inputs = Inputs.of(made.paths, made.as_of)
    train, test = (inputs.cut(day, with_outcomes=True) for day in (made.train, made.test))
    return inputs, train, test, inputs.cut(made.as_of)


def _more(cut: Cut, feature: str = "order_count") -> Cut:
    return replace(cut, features=cut.features.assign(**{feature: cut.features[feature] + 1}))


def _fewer(cut: Cut) -> Cut:
    return cut.only(np.arange(2, len(cut)))


def _sing(patch: pytest.MonkeyPatch, cuts: Cuts, *built: tuple[Callable[[Cut], Cut], ...]) -> Sample | None:
    """Try the canary on builds that make of each cut what is told, the poisoned one first."""
    inputs, *told = cuts
    changes = iter(built)

    def build(*arguments: object, with_poison: bool) -> Sample:
        pairs = [Pair(cut, change(cut)) for cut, change in zip(told, next(changes), strict=True)]
        return Sample(pairs[:2], pairs[2], 60 if with_poison else 0)

    patch.setattr(leaks, "_build", build)
    return leaks.sing(ShopPaths("tiny"), inputs, *told, seed=7)


def _same(cut: Cut) -> Cut:
    return cut


HONEST = (_same, _same, _more)


def test_honest_builds_pass(cuts: Cuts, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = _sing(monkeypatch, cuts, HONEST)
    assert sample is not None
    assert (sample.users, sample.injected_rows) == (150, 60)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_more, "order_count of 2026-05-31 differs for 150 of 150"),
        (_fewer, "is_eligible of 2026-05-31 differs for 2 of 150"),
        (
            lambda cut: replace(cut, sequences=replace(cut.sequences, keys=np.roll(cut.sequences.keys, 1))),
            "content_key of 2026-05-31 differs for 150 of 150",
        ),
    ],
)
def test_what_the_poison_changes_at_a_cut_stops_the_run(
    cuts: Cuts, monkeypatch: pytest.MonkeyPatch, change: Callable[[Cut], Cut], told: str
) -> None:
    with pytest.raises(ShoalError, match=f"{told} sampled users once 60 rows .* it knows the future"):
        _sing(monkeypatch, cuts, (_same, change, _more), HONEST)


def test_what_differs_without_poison_too_is_no_leak(cuts: Cuts, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled = (_more, _same, _more)
    told = (
        "order_count of 2026-05-01 differs for 150 of 150 sampled users, though nothing was added: .*--as-of "
    )
    with pytest.raises(ShoalError, match=f"{told}2026-06-30"):
        _sing(monkeypatch, cuts, spoiled, spoiled)


def test_poison_that_somebody_does_not_notice_is_a_dead_canary(
    cuts: Cuts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_but_three(cut: Cut) -> Cut:
        features = _more(cut).features
        features.iloc[:3] = cut.features.iloc[:3]
        return replace(cut, features=features)

    with pytest.raises(
        ShoalError, match=r"^3 of 150 sampled users are on 2026-06-30 who they were .* is dead"
    ):
        _sing(monkeypatch, cuts, (_same, _same, all_but_three))


def test_models_are_asked_and_not_remembered(cuts: Cuts) -> None:
    _, train, test, now = cuts
    assert train.outcomes is not None
    # What a sample can't tell is the snapshot's: the poisoned build flags others.
    train, test = (_flagged(cut, np.arange(len(cut)) < 60) for cut in (train, test))
    bert, _ = Classifier.fit(train.users, train.sequences, train.features, train.outcomes, QUICK, None)
    trees = GradientTrees.fit(train.features, train.outcomes.is_high_value, QUICK.rivals)
    models = {"bert": bert, "lightgbm": trees}
    rows = np.arange(40, 100)
    other = _flagged(test.only(rows), np.zeros(len(rows), dtype=bool))
    leaks.check_models(models, Sample([Pair(test.only(rows), other)], Pair(now, now), 60))
    assert test.sequences.keys is not None
    amounts = test.sequences.only(rows).amount + 1.0
    spent = replace(other, sequences=replace(other.sequences, amount=amounts))  # under the same keys
    with pytest.raises(
        ShoalError, match=r"the embedding of bert at 2026-05-31 differs for \d+ of 60 sampled"
    ):
        leaks.check_models(models, Sample([Pair(test.only(rows), spent)], Pair(now, now), 60))
    with pytest.raises(
        ShoalError, match=r"the score of lightgbm at 2026-05-31 differs for \d+ of 60 sampled"
    ):
        bought = _more(_more(other), "net_revenue_amount")
        leaks.check_models({"lightgbm": trees}, Sample([Pair(test.only(rows), bought)], Pair(now, now), 60))


def _flagged(cut: Cut, is_outlier: np.ndarray) -> Cut:
    return replace(cut, features=cut.features.assign(is_outlier=is_outlier))
