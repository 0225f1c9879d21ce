"""What the benchmark of drift counts, on weeks whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pandas as pd

from benchmarks import drift
from benchmarks.drift import Told, Week, Weekly


def _week(**codes: str) -> Week:
    return Week("young", pd.Series(codes), pd.Series(0, codes), 2, 0.9, 0.9, 0.0, 0.0)


def test_kept_counts_users_of_both_weeks_only() -> None:
    first = _week(anna="a", ben="a", cleo="b", gone="b")
    then = _week(anna="a", ben="b", cleo="a", new="a")
    changed = pd.Index(["cleo"])
    assert drift._kept(first, then, changed, False) == 1 / 2
    assert drift._kept(first, then, changed, True) == 0.0


def _told(share: float, *announced: int) -> Told:
    return Told(1, share, (1.0,), 1.0, 1.0, None, None, announced, ())


def test_who_changed_is_told_of_all_and_of_those_who_came_again() -> None:
    shops = [replace(_told(0.12), kept_of_drifted=kept, kept_of_seen=kept / 2) for kept in (0.5, 0.7)]
    assert drift._told_of_changed(shops).endswith(
        "changed 40.0% have another at the end, of those seen since 70.0%"
    )
    assert drift._told_of_changed([]) == ""


def test_drift_counts_as_announced_within_two_weekly_runs() -> None:
    assert _told(0.12, 5).is_announced_in_time and _told(0.12, 6).is_announced_in_time
    assert not _told(0.12, 7).is_announced_in_time
    assert not _told(0.12).is_announced_in_time


def test_an_announcement_before_or_without_a_drift_is_false() -> None:
    assert _told(0.12, 4).is_false_alarm
    assert not _told(0.12, 5, 8).is_false_alarm
    assert _told(0.0, 7).is_false_alarm


def test_drift_begins_on_the_day_of_the_fourth_training() -> None:
    days = Weekly(drift.START + timedelta(days=drift.DAYS - 1)).as_of_dates
    assert len(days) == drift.WEEKS
    assert days[3] == date(2025, 1, 1) + timedelta(days=drift.DRIFT_DAY - 1)
    assert drift.DRIFT_DAY % 14 == 0, "where the shop lets it begin"
