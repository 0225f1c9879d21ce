"""The tables behind the pictures, and the pictures themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from ml import figures
from warehouse import dbt


def test_reliability_agrees_with_scikit_learn_where_no_scores_tie() -> None:
    rng = np.random.default_rng(0)
    scores = rng.permutation(np.linspace(0.01, 0.99, 200))
    truth = rng.random(200) < scores
    table = figures.reliability_table(truth, scores, bins=5)
    shares, means = calibration_curve(truth, scores, n_bins=5, strategy="quantile")
    assert table["users"].tolist() == [40] * 5
    assert table["mean_score"].to_numpy() == pytest.approx(means)
    assert table["observed_share"].to_numpy() == pytest.approx(shares)
    assert (table["share_low"] <= table["observed_share"]).all()
    assert (table["share_high"] >= table["observed_share"]).all()


def test_interval_holds_its_share_also_of_nobody_and_of_all() -> None:
    for share in (0.0, 1.0):
        count = np.arange(1, 1000)
        low, high = figures.wilson(np.full(len(count), share), count)
        assert (low <= share).all() and (high >= share).all()


def test_users_with_equal_scores_share_a_bin() -> None:
    table = figures.reliability_table(np.array([1, 0, 0, 0], bool), np.full(4, 0.2))
    assert table[["users", "observed_share"]].to_numpy().tolist() == [[4, 1 / 4]]


def test_published_bins_have_ten_users_of_either_outcome_and_add_up() -> None:
    """The best tenth holds 9 of the 21 users of high value, the next 3: apart both would be of few."""
    truth = np.zeros(200, bool)
    truth[[*range(0, 9), *range(20, 23), *range(40, 49)]] = True
    told = figures.calibration_told(truth, np.linspace(0.9, 0.1, 200))
    # The third tenth's nine are too few for a bin of their own, whatever is added from the low end.
    assert [(one["users"], round(one["observed_share"] * one["users"])) for one in told] == [(200, 21)]
    truth[60] = True
    told = figures.calibration_told(truth, np.linspace(0.9, 0.1, 200))
    found = [(one["users"], round(one["observed_share"] * one["users"])) for one in told]
    assert found == [(20 + 20, 9 + 3), (160, 9 + 1)]
    assert told[0]["mean_score"] > told[1]["mean_score"]
    assert all(one["share_low"] <= one["observed_share"] <= one["share_high"] for one in told)


@pytest.mark.parametrize("positives", [0, 9, 91, 100])
def test_nothing_is_published_of_a_test_cut_with_few_of_an_outcome(positives: int) -> None:
    truth = np.arange(100) < positives
    assert figures.calibration_told(truth, np.linspace(1, 0, 100)) == []


@pytest.mark.parametrize("seed", range(5))
def test_no_published_bin_tells_of_few_wherever_outcomes_lie(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.choice(np.linspace(0, 1, rng.integers(2, 60)), 400)  # ties, too
    truth = rng.random(400) < scores ** rng.integers(1, 6)
    told = figures.calibration_told(truth, scores)
    positives = [round(one["observed_share"] * one["users"]) for one in told]
    assert all(10 <= some <= one["users"] - 10 for some, one in zip(positives, told, strict=True))
    assert not told or (sum(positives), sum(one["users"] for one in told)) == (truth.sum(), 400)


def test_bins_are_as_large_as_every_other_group_that_is_told() -> None:
    assert dbt.declared("smallest_group") == figures.FEWEST


def test_gain_of_a_perfect_order_reaches_all_at_the_share_of_positives() -> None:
    truth = np.array([True] * 20 + [False] * 80)
    table = figures.gain_table(truth, np.linspace(1, 0, 100)).set_index("user_share")["found_share"]
    assert table[0.1] == pytest.approx(10 / 20)
    assert table[0.2] == pytest.approx(1) and table[1.0] == 1


def test_embedding_map_finds_two_planted_groups() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(200, 8)).astype(np.float32)
    vectors[:100, 3] += 20
    codes = np.array(["left"] * 100 + ["right"] * 100, dtype=object)
    table = figures.embedding_table(vectors, codes, seed=7)
    means = table.groupby("segment")["x"].mean()
    assert abs(means["left"] - means["right"]) == pytest.approx(20, abs=1)


def test_pictures_name_every_model_and_segment(tmp_path: Path) -> None:
    truth, scores = np.array([1, 0, 0, 1], bool), np.array([0.9, 0.2, 0.1, 0.8])
    vectors, codes = np.eye(4, dtype=np.float32), np.array(["a", "a", "b", "b"], dtype=object)
    for figure, names in (
        (figures.reliability(truth, {"bert": scores}), {"bert", "perfect"}),
        (figures.lift(truth, {"bert": scores, "lightgbm": scores}), {"bert", "lightgbm", "chance"}),
        (figures.embedding_map(vectors, codes, 7), {"a (2)", "b (2)"}),
    ):
        assert {text.get_text() for text in figure.axes[0].get_legend().get_texts()} == names
        figure.savefig(tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
