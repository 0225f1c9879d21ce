"""The canaries, each seen red: a slipped-in label, an age below 0, labels that the model has met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cli import ShoalError
from ml.configs import RivalConfig
from ml.encoder.outcomes import Outcomes
from ml.evaluation import canaries
from ml.evaluation.metrics import roc_auc
from ml.evaluation.rivals import GradientTrees
from ml.warehouse import Cut, Inputs
from tests.unit.ml import synthetic

CONFIG = RivalConfig(trees=30, seeds=(1,))


@pytest.fixture
def cuts(data: Path) -> tuple[Cut, Cut]:
    world = synthetic.write(users=400)
    inputs = Inputs.of(world.paths, world.as_of)
    return inputs.cut(world.train, with_outcomes=True), inputs.cut(world.test, with_outcomes=True)


def test_honest_cuts_pass(cuts: tuple[Cut, Cut]) -> None:
    song = canaries.sing(*cuts, CONFIG, seed=7)
    assert 0.5 < song.best_feature_auc < canaries.KNOWS
    assert abs(song.permuted_errors) <= canaries.STANDARD_ERRORS


@pytest.mark.parametrize("rare", [True, False])
def test_rare_users_are_among_those_that_are_sampled(
    cuts: tuple[Cut, Cut], monkeypatch: pytest.MonkeyPatch, rare: bool
) -> None:
    """Two of 400, of whom 40 are drawn: four samples in five would hold one kind only."""
    monkeypatch.setattr(canaries, "SAMPLE", 40)
    monkeypatch.setattr(canaries, "LEAST", 10)
    truth = np.full(400, not rare)
    truth[[7, 251]] = rare
    many = [replace(cut, outcomes=Outcomes(truth, truth, truth.astype(float), ~truth)) for cut in cuts]
    for seed in range(3):
        song = canaries.check_permuted(*_some(many, seed), CONFIG, np.random.default_rng(seed))
        assert np.isfinite(song).all()


def test_sample_is_drawn_plainly_where_nobody_is_rare(
    cuts: tuple[Cut, Cut], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canaries, "SAMPLE", 300)
    monkeypatch.setattr(canaries, "LEAST", 50)
    drawn = np.random.default_rng(1).permutation(400)[:300]
    (some, _) = _some(cuts, 1)
    assert list(some.users) == list(cuts[0].users[np.sort(drawn)])


def _some(cuts: Sequence[Cut], seed: int) -> list[Cut]:
    rng = np.random.default_rng(seed)
    return [canaries._some(cut, rng) for cut in cuts]


@pytest.mark.parametrize("slipped", ["as it is", "upside down", "with noise"])
def test_label_slipped_in_as_a_feature_is_caught(cuts: tuple[Cut, Cut], slipped: str) -> None:
    train, test = cuts
    assert test.outcomes is not None
    truth = test.outcomes.is_high_value.astype(float)
    noise = np.random.default_rng(0).normal(0, 0.2, len(truth))
    values = {"as it is": truth, "upside down": -truth, "with noise": truth + noise}[slipped]
    spoiled = replace(test, features=test.features.assign(orders_to_come=values))
    with pytest.raises(ShoalError, match=r"feature orders_to_come alone tells who will be of high value"):
        canaries.sing(train, spoiled, CONFIG, seed=7)


def test_feature_from_after_the_cut_is_caught(cuts: tuple[Cut, Cut]) -> None:
    train, test = cuts
    days = train.features["recency_days"].copy()
    days.iloc[3] = -2.0
    spoiled = replace(train, features=train.features.assign(recency_days=days))
    with pytest.raises(ShoalError, match=r"recency_days of 2026-05-01 is -2.0 for a user"):
        canaries.sing(spoiled, test, CONFIG, seed=7)


def test_labels_that_mean_nothing_are_foretold_only_by_who_has_met_them(
    cuts: tuple[Cut, Cut], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = cuts
    rng = np.random.default_rng(3)

    class Peeps:
        """A model that learns from the rows it is tested on."""

        @staticmethod
        def fit_on(values: object, truth: np.ndarray, c: float) -> Peeps:
            return Peeps()

        def of(self, values: object) -> np.ndarray:
            return met["truth"] + rng.normal(0, 3, len(test))

    met = {}
    permutation = np.random.Generator.permutation

    class Watched(np.random.Generator):
        def permutation(self, values: np.ndarray, axis: int = 0) -> np.ndarray:
            met["truth"] = permutation(self, values)
            return met["truth"]

    monkeypatch.setattr(canaries, "AllLogistic", Peeps)
    with pytest.raises(ShoalError, match="labels that mean nothing are foretold"):
        canaries.check_permuted(train, test, CONFIG, Watched(np.random.PCG64(1)))


def test_lightgbm_finds_nothing_in_shuffled_labels(cuts: tuple[Cut, Cut]) -> None:
    train, test = cuts
    assert isinstance(train.outcomes, Outcomes) and isinstance(test.outcomes, Outcomes)
    rng = np.random.default_rng(5)
    aucs = []
    for _ in range(20):
        learned = rng.permutation(train.outcomes.is_high_value)
        came = rng.permutation(test.outcomes.is_high_value)
        model = GradientTrees.fit(train.features, learned, CONFIG)
        aucs.append(float(roc_auc(came, model.score(test.features))[0]))
    assert abs(np.mean(aucs) - 0.5) < 3 * np.std(aucs, ddof=1) / np.sqrt(20)
