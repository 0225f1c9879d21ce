"""Which temporal split the data allow: train at T, test at C, score at the as_of_date.

The horizon is the largest of 90, 60, 45 and 30 days with T + horizon ≤ C,
C + horizon ≤ the last complete day, and at least 60 days of history up to T.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

HORIZONS_DAYS = (90, 60, 45, 30)
MIN_HISTORY_DAYS = 60
"""Days up to the train cut, the cut included: two months, so that the last 30 days have 30 beside them."""


@dataclass(frozen=True)
class Split:
    """The cuts of one build; without a horizon the data allow no training."""

    as_of_date: date
    horizon_days: int | None = None
    train_cut: date | None = None
    test_cut: date | None = None

    @property
    def as_of_dates(self) -> list[date]:
        """All days for which inputs are built, oldest first."""
        return [day for day in (self.train_cut, self.test_cut, self.as_of_date) if day is not None]

    def __str__(self) -> str:
        if self.horizon_days is None:
            return (
                f"as of {self.as_of_date}: history too short for any horizon of {HORIZONS_DAYS} days; "
                "no scores can be trained, and the scheme `value` stays absent"
            )
        return (
            f"as of {self.as_of_date}: horizon {self.horizon_days} days, "
            f"train at {self.train_cut}, test at {self.test_cut}"
        )


def choose(first_day: date, as_of_date: date) -> Split:
    """Choose the largest horizon that fits between the first day and the as_of_date.

    Examples
    --------
    Two horizons of 30 days and a history of 60 fill 120 days, first and last included:

    >>> choose(date(2026, 1, 1), date(2026, 4, 30)).horizon_days
    30
    >>> choose(date(2026, 1, 2), date(2026, 4, 30)).horizon_days is None
    True
    """
    for days in HORIZONS_DAYS:
        test_cut = as_of_date - timedelta(days=days)
        train_cut = test_cut - timedelta(days=days)
        if (train_cut - first_day).days + 1 >= MIN_HISTORY_DAYS:
            return Split(as_of_date, days, train_cut, test_cut)
    return Split(as_of_date)
