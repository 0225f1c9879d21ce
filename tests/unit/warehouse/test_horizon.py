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


@pytest.mark.parametrize("days", horizon.HORIZONS_DAYS[1:])
def test_cuts_move_once_a_week_and_never_look_ahead(days: int) -> None:
    first = LAST - timedelta(days=60 + 2 * days - 1)
    splits = [horizon.choose(first, LAST + timedelta(days=later)) for later in range(15)]
    assert {split.horizon_days for split in splits} == {days}
    moved = [(split.test_cut - splits[0].test_cut).days for split in splits]  # type: ignore[operator]
    assert moved == [0] * 7 + [7] * 7 + [14]
    for split in splits:
        assert split.train_cut is not None and split.test_cut is not None
        assert split.test_cut - split.train_cut == timedelta(days=days)
        assert split.test_cut + timedelta(days=days) <= split.as_of_date


def test_short_history_is_scored_without_training_and_says_so() -> None:
    split = horizon.choose(LAST - timedelta(days=118), LAST)
    assert (split.horizon_days, split.as_of_dates) == (None, [LAST])
    assert "history too short" in str(split)


@pytest.mark.parametrize("days", horizon.HORIZONS_DAYS)
def test_trials_report_on_the_newest_closed_horizon_and_choose_on_earlier_ones(days: int) -> None:
    """60 days of history, one horizon to train, two to choose, one to report."""
    first = LAST - timedelta(days=60 + 4 * days - 1)
    found = horizon.choose_trials(first, LAST, refund_days=14)
    assert [(one.horizon_days, one.role) for one in found] == [
        (days, "choose"),
        (days, "choose"),
        (days, "report"),
    ]
    ends = [one.cut + timedelta(days=days - 1) for one in found]
    assert ends[-1] == LAST
    assert all(end < later.cut for end, later in zip(ends, found[1:], strict=False))
    assert found[0].train_cut == first + timedelta(days=59)


@pytest.mark.parametrize("days", horizon.HORIZONS_DAYS)
def test_trial_to_choose_by_knows_nothing_of_the_reporting_horizon(days: int) -> None:
    first = LAST - timedelta(days=60 + 4 * days - 1)
    earlier, newer, report = horizon.choose_trials(first, LAST, refund_days=14)
    assert newer.as_of_date == report.test_cut == report.cut - timedelta(days=1)
    assert earlier.as_of_date == newer.test_cut + timedelta(days=14)  # type: ignore[operator]


def test_trials_of_a_short_history_report_only_and_of_too_short_a_one_are_none() -> None:
    assert [one.role for one in horizon.choose_trials(LAST - timedelta(days=119), LAST, 14)] == ["report"]
    assert horizon.choose_trials(LAST - timedelta(days=118), LAST, 14) == []


def test_trial_knows_nothing_after_its_labels_have_closed() -> None:
    first = date(2026, 1, 1)
    trial = horizon.Trial.at(date(2026, 6, 1), 30, "choose", first, LAST, refund_days=14)
    assert trial.as_of_date == date(2026, 6, 30) + timedelta(days=14)


def test_named_cut_that_does_not_fit_the_data_is_refused() -> None:
    first = date(2026, 1, 1)
    with pytest.raises(ValueError, match=r"from 2026-12-03 ends on 2027-01-01, after the last complete day"):
        horizon.Trial.at(date(2026, 12, 3), 30, "report", first, LAST, 14)
    with pytest.raises(ValueError, match=r"trains on 2026-02-28, with less than 60 days"):
        horizon.Trial.at(date(2026, 3, 31), 30, "report", first, LAST, 14)
