from __future__ import annotations

from datetime import date, timedelta

import pytest

from warehouse import horizon

LAST = date(2026, 12, 31)


@pytest.mark.parametrize("days", horizon.HORIZONS_DAYS)
def test_largest_horizon_that_fits_is_chosen(days: int) -> None:
    """60 days of history and twice the horizon: as many days as that fit, one fewer does not."""
    just_enough = LAST - timedelta(days=60 + 2 * days - 1)
    split = horizon.choose(just_enough, LAST)
    assert split.horizon_days == days
    assert split.test_cut == LAST - timedelta(days=days)
    assert split.train_cut == LAST - timedelta(days=2 * days)
    assert split.as_of_dates == [split.train_cut, split.test_cut, LAST]
    assert horizon.choose(just_enough + timedelta(days=1), LAST).horizon_days != days


def test_short_history_is_scored_without_training_and_says_so() -> None:
    split = horizon.choose(LAST - timedelta(days=118), LAST)
    assert (split.horizon_days, split.as_of_dates) == (None, [LAST])
    assert "history too short" in str(split)
