"""Two runs side by side: a planted lead is found, different rows are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from cli import UsageError
from ml import compare, judged
from ml.configs import GateConfig
from ml.judged import Judged
from settings import ShopPaths

GATE = GateConfig(resamples=500)
RNG = np.random.default_rng(5)
TRUTH = RNG.random(400) < 0.3
USERS = np.array([f"u{place:03d}" for place in range(400)], dtype=object)


def _run(noise: float) -> Judged:
    scores = TRUTH + noise * np.random.default_rng(1).normal(size=400)
    return Judged(date(2026, 5, 1), 30, USERS, TRUTH, scores)


def test_planted_lead_is_found_and_none_where_there_is_none() -> None:
    blunt, sharp = _run(2.0), _run(0.5)
    found = compare.lead(blunt, sharp, GATE, 7)
    assert found.differences["roc_auc"].low > 0
    assert (found.users, found.positives, found.is_whole) == (400, int(TRUTH.sum()), True)
    same = compare.lead(sharp, sharp, GATE, 7).differences["roc_auc"]
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_only_shared_users_are_compared() -> None:
    whole = _run(1.0)
    part = replace(whole, users=USERS[100:], is_high_value=TRUTH[100:], scores=whole.scores[100:])
    found = compare.lead(whole, part, GATE, 7)
    assert (found.users, found.is_whole) == (300, False)
    strangers = replace(whole, users=np.array([f"v{place}" for place in range(400)], dtype=object))
    with pytest.raises(UsageError, match="share 0 test users"):
        compare.lead(whole, strangers, GATE, 7)


def test_runs_of_different_cuts_are_refused() -> None:
    one = _run(1.0)
    with pytest.raises(UsageError, match="30 days from 2026-05-01, and 30 days from 2026-06-01"):
        compare.lead(one, replace(one, cut=date(2026, 6, 1)), GATE, 7)


def test_kept_rows_come_back_and_the_oldest_go(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, one = ShopPaths("tiny"), _run(1.0)
    monkeypatch.setattr(judged, "KEPT_RUNS", 2)
    for run in ("a", "b", "c"):
        one.save(paths, run)
    back = Judged.load(paths, "c")
    assert (back.cut, back.horizon_days, back.digest) == (one.cut, one.horizon_days, one.digest)
    assert back.users.tolist() == USERS.tolist() and np.array_equal(back.scores, one.scores)
    with pytest.raises(UsageError, match="no test rows of run a are kept"):
        Judged.load(paths, "a")
