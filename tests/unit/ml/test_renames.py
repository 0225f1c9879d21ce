"""Names that people give: kept with a date, refused where they would mislead."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

import journal
from cli import UsageError
from ml.segments import renames
from ml.segments.renames import Name
from settings import ShopPaths

GIFTS = Name("behaviour", "searchers", "Gift hunters", "礼品猎手")


@pytest.fixture
def paths(data: Path) -> ShopPaths:
    """A shop that has published the last of May."""
    paths = ShopPaths("tiny")
    (paths.history / "bi" / "2026-05-31").mkdir(parents=True)
    return paths


def test_a_name_holds_from_the_day_after_the_last_published_one(paths: ShopPaths) -> None:
    assert renames.rename(paths, GIFTS, "asked for by CRM") == date(2026, 6, 1)
    [record] = journal.read(paths.ops / "segment_rename.jsonl")
    assert (record["valid_from"], record["reason"]) == ("2026-06-01", "asked for by CRM")
    assert renames.in_force(paths, "behaviour", date(2026, 6, 1))["searchers"] == GIFTS


def test_a_published_day_keeps_its_names(paths: ShopPaths) -> None:
    with pytest.raises(UsageError, match="2026-05-31 is published, and keeps the names that it has"):
        renames.rename(paths, GIFTS, "late", date(2026, 5, 31))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (Name("behaviour", "whales", "Whales", "鲸鱼"), "scheme behaviour has no segment 'whales'"),
        (Name("behaviour", "searchers", " 7 ", "七"), "'7' is no name that a team could act on"),
        (Name("behaviour", "searchers", "Seven", ""), "'' is no name"),
        (Name("behaviour", "searchers", "newcomers", "搜索者"), "newcomers is called Newcomers"),
        (Name("behaviour", "searchers", "Seekers", "新来者"), "newcomers is called Newcomers"),
    ],
)
def test_a_name_that_would_mislead_is_refused(paths: ShopPaths, name: Name, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        renames.rename(paths, name, "a try")
    assert not (paths.ops / "segment_rename.jsonl").exists()


def test_a_name_is_not_free_before_the_day_on_which_it_is_given_up(paths: ShopPaths) -> None:
    renames.rename(paths, Name("behaviour", "newcomers", "First steps", "第一步"), "soon", date(2026, 7, 1))
    taken = Name("behaviour", "searchers", "Newcomers", "新来者")
    with pytest.raises(UsageError, match=r"newcomers is called Newcomers .* on 2026-06-01"):
        renames.rename(paths, taken, "too early")
    assert renames.rename(paths, taken, "then", date(2026, 7, 1)) == date(2026, 7, 1)


def test_a_name_that_another_segment_gets_later_is_taken_already(paths: ShopPaths) -> None:
    renames.rename(paths, GIFTS, "from July on", date(2026, 7, 1))
    with pytest.raises(UsageError, match=r"searchers is called Gift hunters .* on 2026-07-01"):
        renames.rename(paths, Name("behaviour", "newcomers", "Gift hunters", "第一步"), "a try")


def test_small_segments_that_are_told_together_share_their_name_with_none(paths: ShopPaths) -> None:
    with pytest.raises(UsageError, match="small segments together are called Other small groups"):
        renames.rename(paths, Name("behaviour", "searchers", "other small groups", "搜索"), "a try")


def test_a_name_that_was_given_up_is_free_again(paths: ShopPaths) -> None:
    renames.rename(paths, Name("behaviour", "newcomers", "First steps", "第一步"), "first")
    renames.rename(paths, Name("behaviour", "searchers", "Newcomers", "新来者"), "then")
    assert renames.in_force(paths, "behaviour", date(2026, 6, 1))["searchers"].english == "Newcomers"
