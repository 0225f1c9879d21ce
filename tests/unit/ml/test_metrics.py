"""Metrics against hand counts, against scikit-learn, and on resamples."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

import ml
from ml.evaluation.judge import judge, rows_digest
from ml.evaluation.metrics import brier, lift_top_decile, pr_auc, roc_auc


def _modules() -> list[str]:
    return [
        one.name
        for one in pkgutil.walk_packages(ml.__path__, "ml.")
        if one.name not in ("ml.__main__", "ml.served")
    ]


@pytest.mark.parametrize("name", _modules())
def test_doctests_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.fixture
def tied() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random(500) < 0.2, rng.integers(0, 20, 500) / 20


def test_metrics_equal_scikit_learn_with_ties(tied: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = tied
    assert roc_auc(truth, scores)[0] == pytest.approx(roc_auc_score(truth, scores))
    assert pr_auc(truth, scores)[0] == pytest.approx(average_precision_score(truth, scores))
    assert brier(truth, scores)[0] == pytest.approx(brier_score_loss(truth, scores))


def test_metrics_of_a_resample_equal_metrics_of_its_rows(tied: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = tied
    counts = np.random.default_rng(1).multinomial(500, np.full(500, 1 / 500))
    rows = np.repeat(np.arange(500), counts)
    for metric in (roc_auc, pr_auc, brier, lift_top_decile):
        weighted = metric(truth, scores, counts[None, :].astype(float))[0]
        assert weighted == pytest.approx(metric(truth[rows], scores[rows])[0])


def test_roc_auc_is_nan_where_nobody_is_positive() -> None:
    assert np.isnan(roc_auc([0, 0], [0.1, 0.2])[0])


def test_judge_finds_the_better_model_and_no_difference_of_a_model_to_itself(
    tied: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, scores = tied
    users = np.array([f"u{index}" for index in range(500)], dtype=object)
    better = 0.7 * truth + 0.3 * scores
    verdict = judge(users, truth, {"better": better, "worse": scores, "same": scores.copy()}, 500, 0.95, 7)
    assert verdict.gap("better", "worse").low > 0
    assert (verdict.gap("worse", "same").low, verdict.gap("worse", "same").high) == (0.0, 0.0)
    assert verdict.gap("better", "worse").value == -verdict.gap("worse", "better").value
    assert verdict.rows_digest == rows_digest(users, truth)


def test_judge_refuses_scores_of_other_rows(tied: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = tied
    users = np.array([f"u{index}" for index in range(500)], dtype=object)
    with pytest.raises(ValueError, match=r"model short has \(499,\) finite scores for \(500,\) test rows"):
        judge(users, truth, {"short": scores[:-1]}, 500, 0.95, 7)
    assert rows_digest(users[:-1], truth[:-1]) != rows_digest(users, truth)
