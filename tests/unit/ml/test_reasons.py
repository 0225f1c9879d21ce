"""Reasons: the words, whether deleting what they name matters, and events by integrated gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

import settings
from ml import attribution, explain, reasons
from ml.encoder.classifier import Classifier
from ml.evaluation.rivals import GradientTrees, RfmLogistic, RfmRank
from ml.high_value import HighValue
from ml.high_value import score as score_with
from ml.reasons import Contributions
from ml.warehouse import Cut, Inputs
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK

USERS = 500


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cut, Cut]]:
    """Return the users to learn from, and later ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("reasons")))
        world = synthetic.write(users=USERS)
        inputs = Inputs.of(world.paths, world.as_of)
        yield tuple(inputs.cut(day, with_outcomes=True) for day in (world.train, world.test))  # type: ignore[misc]


@pytest.fixture(scope="module")
def classifier(cuts: tuple[Cut, Cut]) -> Classifier:
    train, _ = cuts
    return Classifier.fit(train.users, train.sequences, train.features, train.outcomes, QUICK, None)[0]


def test_every_flag_among_the_features_has_words() -> None:
    """A number tells nobody which way a flag stands."""
    described = settings.ROOT / "dbt_project" / "models" / "marts" / "ml_inputs" / "_ml_inputs.yml"
    models = {
        model["name"]: model for model in yaml.safe_load(described.read_text(encoding="utf-8"))["models"]
    }
    columns = models["fct_user_features"]["columns"]
    assert {column["name"] for column in columns if column["data_type"] == "boolean"} == set(reasons.FLAGS)


@pytest.fixture(scope="module")
def trees(cuts: tuple[Cut, Cut]) -> GradientTrees:
    train, _ = cuts
    assert train.outcomes is not None
    return GradientTrees.fit(train.features, train.outcomes.is_high_value, QUICK.rivals)


def _served(model: reasons.Model, test: Cut) -> HighValue:
    return HighValue.freeze(
        model, test, score_with(model, test), 30, test.as_of_date, test.as_of_date, QUICK.gate
    )


def test_reasons_say_in_words_what_goes_with_the_score() -> None:
    features = pd.DataFrame({"order_count": [12.0, 0.0], "days_since_last_order": [3.0, np.nan]})
    found = Contributions(["order_count", "days_since_last_order"], np.array([[0.9, 0.1], [-0.2, -0.4]]))
    told = reasons.in_words(found, features)
    assert told["zh"].tolist() == [
        ["订单数 12：与较高的评分相关", "距上次下单天数 3：与较高的评分相关", ""],
        ["距上次下单天数未知：与较低的评分相关", "订单数 0：与较低的评分相关", ""],
    ]
    assert told["en"].tolist() == [
        [
            "number of orders 12: goes with a higher score",
            "days since the last order 3: goes with a higher score",
            "",
        ],
        [
            "days since the last order unknown: goes with a lower score",
            "number of orders 0: goes with a lower score",
            "",
        ],
    ]


def test_what_moved_nothing_is_no_reason() -> None:
    """A shop without prices: all users have the same money, so the middle rank, and so has v by orders."""
    features = pd.DataFrame(
        {"days_since_last_order": [9.0, 3.0, 40.0], "order_count": [5, 3, 1], "net_revenue_amount": 0.0}
    )
    names, moved = RfmRank().contributions(features)
    told = reasons.in_words(Contributions(names, moved), features)["en"]
    assert told[1].tolist() == ["days since the last order 3: goes with a higher score", "", ""]
    assert told[2].tolist() == [
        "days since the last order 40: goes with a lower score",
        "number of orders 1: goes with a lower score",
        "",
    ]


def test_being_missing_counts_for_the_feature_that_is(cuts: tuple[Cut, Cut]) -> None:
    train, test = cuts
    assert train.outcomes is not None
    model = RfmLogistic.fit(train.features, train.outcomes.is_high_value, QUICK.rivals)
    names, moved = model.contributions(test.features)
    assert "days_since_last_order is missing" in names
    found = reasons.contributions(model, test.features)
    assert found.items == [name for name in names if not name.endswith("missing")]
    assert found.moved.sum(axis=1) == pytest.approx(moved.sum(axis=1))


@pytest.mark.parametrize("kind", ["trees", "classifier"])
def test_deleting_what_is_named_moves_the_score_more_than_deleting_others(
    kind: str, cuts: tuple[Cut, Cut], request: pytest.FixtureRequest
) -> None:
    _, test = cuts
    model = _served(request.getfixturevalue(kind), test)
    rows = explain.Rows.draw(model, test, USERS, seed=7)
    found = reasons.contributions(model.model, rows.features, rows.embeddings, model.usual)
    checked = explain.deletion(model, rows, found, seed=7)
    assert (checked.users, checked.deleted, checked.holds) == (USERS, 3, True)
    assert checked.named > checked.random
    # Reasons that name what mattered least must not pass.
    reversed_order = replace(found, moved=1 / (1 + np.abs(found.moved)))
    assert not explain.deletion(model, rows, reversed_order, seed=7).holds


def test_history_is_among_the_items_of_bert_and_can_be_the_first(
    classifier: Classifier, cuts: tuple[Cut, Cut]
) -> None:
    _, test = cuts
    vectors = classifier.embed(test.sequences).vectors
    usual = vectors.mean(axis=0)
    found = reasons.contributions(classifier, test.features, vectors, usual)
    assert found.items[-1] == reasons.HISTORY
    assert np.ptp(found.moved[:, -1]) > 0
    told = reasons.in_words(Contributions([reasons.HISTORY], found.moved[:1, -1:]), test.features[:1])
    assert told["en"][0, 0].startswith("what was done, in its order: goes with a ")
    assert told["zh"][0, 0].startswith("行为及其先后顺序：与")


def test_parts_of_integrated_gradients_add_up_to_the_score(
    classifier: Classifier, cuts: tuple[Cut, Cut]
) -> None:
    _, test = cuts
    vectors = classifier.embed(test.sequences).vectors
    scores = classifier.score(vectors, test.features)
    for place in (0, 1, int(np.argmax(scores))):
        alone = test.only(np.array([place]))
        sequences = alone.sequences
        found = attribution.attribute(classifier, sequences, alone.features)
        # Embeddings are made in half precision, gradients are not.
        assert 1 / (1 + np.exp(-found.score)) == pytest.approx(scores[place], abs=5e-3)
        assert abs(found.unexplained) < 0.02 * max(1.0, abs(found.score - found.baseline))
        told = attribution.events_in_words(classifier, sequences)
        assert len(told) == len(found.events)
        assert told[-1].startswith("last event: ")


@pytest.mark.parametrize(("kind", "recipe"), [("trees", "lightgbm"), ("classifier", "bert")])
def test_other_seeds_name_much_the_same_items(
    kind: str, recipe: str, cuts: tuple[Cut, Cut], request: pytest.FixtureRequest
) -> None:
    (train, test), model = cuts, request.getfixturevalue(kind)
    other = explain.again(recipe, train, QUICK, 8, None)
    assert type(other) is type(model) and other is not model
    shared, chance = explain.stability(model, other, test)
    assert chance < 0.5 < shared <= 1
    assert explain.stability(model, model, test)[0] == 1


def test_score_that_needs_no_training_still_has_reasons(cuts: tuple[Cut, Cut]) -> None:
    _, test = cuts
    scored = _served(RfmRank(), test).score(test)
    assert all(": goes with a " in reason for reason in scored.reasons["en"][:, 0])
    assert all("的评分相关" in reason for reason in scored.reasons["zh"][:, 0])
