"""The tables behind the pictures, and the pictures themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from ml import figures


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
