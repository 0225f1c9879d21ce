"""Time travel: a past day answers as it was published, whatever was built, said or restated since."""

from __future__ import annotations

import json
from datetime import date

import pytest

from cli import UsageError
from serving import as_of
from serving.publish import publish

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)


@pytest.fixture
def published(paths, working):
    working.build(FIRST)
    publish(paths, FIRST)
    return paths


def _told(capsys, paths, *words, **options):
    as_of.answer(paths, *words, form="json", **options)
    return json.loads(capsys.readouterr().out)


def test_a_past_day_answers_as_published_though_the_warehouse_says_otherwise(published, working, capsys):
    working.execute("update bi.segment_profile_daily set users = 99")
    rows = _told(capsys, published, FIRST, scheme="rfm")
    assert [(row["segment_code"], row["users"]) for row in rows] == [
        ("champions", 1),
        ("not_bought", 1),
        ("promising", 1),
    ]


def test_one_user_is_told_in_every_scheme(published, capsys):
    rows = _told(capsys, published, FIRST, user="u1")
    assert [(row["scheme"], row["segment_code"]) for row in rows] == [
        ("lifecycle", "loyal"),
        ("rfm", "champions"),
    ]
    assert _told(capsys, published, FIRST, user="nobody") == []


def test_a_restated_day_tells_both_what_is_said_and_what_was(published, working, capsys):
    working.execute(
        "update bi.user_segment_daily set segment_code = 'promising' where user_key = 'u3' and scheme = 'rfm'"
    )
    outcome = publish(published, FIRST, restated_because="the till came late")
    assert as_of.restated_by(published, FIRST) == [(outcome.version, "the till came late")]
    now = _told(capsys, published, FIRST, scheme="rfm", user="u3")
    then = _told(capsys, published, FIRST, scheme="rfm", user="u3", before=outcome.version)
    assert [row["segment_code"] for row in now + then] == ["promising", "not_bought"]
    with pytest.raises(UsageError, match=f"version 'x' did not restate {FIRST}: {outcome.version}"):
        as_of.answer(published, FIRST, before="x")


def test_a_day_that_was_never_published_says_which_were(published):
    with pytest.raises(UsageError, match="2026-03-02 of simulated was never published: published are 1 days"):
        as_of.answer(published, SECOND)
