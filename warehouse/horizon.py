"""Which temporal split the data allow: train at T, test at C, score at the as_of_date.

The horizon is the largest of 90, 60, 45 and 30 days with T + horizon ≤ C,
C + horizon ≤ the last complete day, and at least 60 days of history up to T. T and C move
once a week: models are trained no oftener, and what is made of a cut stands for seven days.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

HORIZONS_DAYS = (90, 60, 45, 30)
MIN_HISTORY_DAYS = 60
"""Days up to the train cut, the cut included: two months, so that the last 30 days have 30 beside them."""
CUTS_MOVE_DAYS = 7


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

    @property
    def link(self) -> str:
        """Return the name under which the snapshot of this split is found."""
        return f"latest-{self.as_of_date}"

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


Role = Literal["choose", "report"]
CHOOSING_CUTS = 3
"""At most so many: each costs a build and a training of every model."""


@dataclass(frozen=True)
class Trial(Split):
    """A split at another cut, on which models are compared: to choose among them, or to report once."""

    role: Role = "report"

    @classmethod
    def at(
        cls, cut: date, horizon_days: int, role: Role, first_day: date, last_day: date, refund_days: int
    ) -> Trial:
        """Return the trial whose test horizon begins with ``cut``; training is one horizon earlier.

        Nothing is known in it but what was known when its labels closed, so it never changes after that.

        Raises
        ------
        ValueError
            When the horizon has not ended by ``last_day``, or too little history lies before it.

        Examples
        --------
        >>> trial = Trial.at(date(2011, 6, 1), 90, "choose", date(2010, 12, 1), date(2011, 8, 31), 14)
        >>> str(trial.train_cut), str(trial.test_cut), str(trial.as_of_date)
        ('2011-03-02', '2011-05-31', '2011-08-31')
        """
        test_cut = cut - timedelta(days=1)
        train_cut = test_cut - timedelta(days=horizon_days)
        ends_on = test_cut + timedelta(days=horizon_days)
        if ends_on > last_day:
            raise ValueError(
                f"the horizon of {horizon_days} days from {cut} ends on {ends_on}, after the last complete "
                f"day {last_day}: name an earlier cut, or wait"
            )
        if (train_cut - first_day).days + 1 < MIN_HISTORY_DAYS:
            raise ValueError(
                f"cut {cut} of {horizon_days} days trains on {train_cut}, with less than {MIN_HISTORY_DAYS} "
                f"days since the first complete day {first_day}: name a later cut, or a shorter horizon"
            )
        known_through = min(ends_on + timedelta(days=refund_days), last_day)
        return cls(known_through, horizon_days, train_cut, test_cut, role)

    @property
    def cut(self) -> date:
        """Return the first day of the test horizon: features see all days before it."""
        assert self.test_cut is not None
        return self.test_cut + timedelta(days=1)

    @property
    def link(self) -> str:
        """Return a name of its own: several trials may know the same last day."""
        assert self.test_cut is not None and self.train_cut is not None
        name = f"{self.cut}-{self.horizon_days}d"
        is_plain = (self.test_cut - self.train_cut).days == self.horizon_days
        return name if is_plain else f"{name}-after-{self.train_cut}"

    def newest(self) -> Trial | None:
        """Return the shortest horizon that has closed by the test cut, as known there.

        None where the training horizon is as short: then nothing newer is known.

        >>> trial = Trial.at(date(2011, 6, 1), 90, "choose", date(2010, 12, 1), date(2011, 8, 31), 14)
        >>> trial.newest().link
        '2011-05-02-30d-after-2011-03-02'
        """
        days = min(HORIZONS_DAYS)
        if self.horizon_days is None or self.horizon_days <= days or self.test_cut is None:
            return None
        newest_cut = self.test_cut - timedelta(days=days)
        return replace(self, as_of_date=self.test_cut, horizon_days=days, test_cut=newest_cut)

    def __str__(self) -> str:
        return (
            f"trial {self.cut}, {self.horizon_days} days ({self.role}): train at {self.train_cut}, "
            f"test at {self.test_cut}, known through {self.as_of_date}"
        )


def choose_trials(first_day: date, last_day: date, refund_days: int) -> list[Trial]:
    """Choose cuts from the data: the newest closed horizon reports, earlier ones choose; oldest first.

    The horizon is the largest that leaves two choosing cuts, else one, else none. Each choosing
    horizon ends before the reporting one begins, and no refund that is delivered from then on counts there.

    Examples
    --------
    A year fits 60 days to report, and three choosing cuts before:

    >>> found = choose_trials(date(2017, 1, 1), date(2017, 12, 31), 14)
    >>> [(str(one.cut), one.horizon_days, one.role) for one in found][1:]
    [('2017-07-05', 60, 'choose'), ('2017-09-03', 60, 'choose'), ('2017-11-02', 60, 'report')]
    """
    for wanted in (2, 1, 0):
        for days in HORIZONS_DAYS:
            history = (last_day - first_day).days + 1 - MIN_HISTORY_DAYS
            fitting = history // days - 2
            if fitting >= wanted:
                count = min(fitting, CHOOSING_CUTS)
                cuts = [last_day - timedelta(days=days * back - 1) for back in range(count + 1, 0, -1)]
                *earlier, newest = cuts
                eve = newest - timedelta(days=1)
                return [
                    *(Trial.at(cut, days, "choose", first_day, eve, refund_days) for cut in earlier),
                    Trial.at(newest, days, "report", first_day, last_day, refund_days),
                ]
    return []


def choose(first_day: date, as_of_date: date) -> Split:
    """Choose the largest horizon that fits between the first day and the as_of_date.

    The cuts are the newest that lie a whole number of weeks after the earliest that the history allows.

    Examples
    --------
    Two horizons of 30 days and a history of 60 fill 120 days, first and last included:

    >>> choose(date(2026, 1, 1), date(2026, 4, 30)).horizon_days
    30
    >>> choose(date(2026, 1, 2), date(2026, 4, 30)).horizon_days is None
    True

    A week later both cuts have moved, the day before neither:

    >>> [str(choose(date(2026, 1, 1), date(2026, 5, day)).test_cut) for day in (6, 7)]
    ['2026-03-31', '2026-04-07']
    """
    for days in HORIZONS_DAYS:
        spare_days = (as_of_date - first_day).days + 1 - MIN_HISTORY_DAYS - 2 * days
        if spare_days >= 0:
            test_cut = as_of_date - timedelta(days=days + spare_days % CUTS_MOVE_DAYS)
            return Split(as_of_date, days, test_cut - timedelta(days=days), test_cut)
    return Split(as_of_date)
