"""The quality checks ask for newly trained models once, and only where segments moved fast."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

import cli
import journal
from expectations import bi, training
from expectations.__main__ import parser
from settings import ShopPaths

DAY, NEXT = date(2026, 5, 30), date(2026, 5, 31)


@pytest.fixture
def paths(data_dir: Path) -> ShopPaths:
    return ShopPaths("simulated")


def judged(paths: ShopPaths, day: date, outcome: str, expectation: str = training.EXPECTATION) -> None:
    record = {"expectation": expectation, "as_of_date": day.isoformat(), "outcome": outcome}
    told = {"observed": "rfm: PSI 0.4", "checked_at": f"{day}T06:00:00+00:00"}
    journal.append(paths.ops / "data_quality.jsonl", [record | told])


def test_expectation_of_this_name_exists_and_is_a_warning() -> None:
    expectation = bi.ExpectStableSegmentShares
    assert (expectation.expectation_type, expectation.level) == (training.EXPECTATION, "warning")


def test_segments_that_moved_fast_ask_for_training_until_it_is_done(paths: ShopPaths, capsys) -> None:
    assert training.wanted_because(paths, NEXT) is None
    judged(paths, DAY, "fail")
    assert training.wanted_because(paths, NEXT) == f"segments moved fast as of {DAY}: rfm: PSI 0.4"
    assert cli.run(parser(), ["wants-training", "--shop", "simulated", "--as-of", str(NEXT)]) == cli.DONE
    assert "segments moved fast" in capsys.readouterr().out
    journal.append(paths.ops / "model_run.jsonl", [{"recorded_at": f"{NEXT}T07:00:00+00:00"}])
    assert training.wanted_because(paths, NEXT) is None


def test_stable_segments_other_failures_and_later_days_ask_for_nothing(paths: ShopPaths) -> None:
    judged(paths, DAY, "fail")
    judged(paths, DAY, "pass")
    judged(paths, DAY, "fail", "expect_something_else")
    judged(paths, NEXT, "fail")
    assert training.wanted_because(paths, DAY) is None
    assert training.wanted_because(paths, NEXT) is not None
