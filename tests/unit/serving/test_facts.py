"""Which rows of a published day would be otherwise if they were computed now."""

from __future__ import annotations

from datetime import date

import pytest

import journal
from cli import ShoalError
from serving import facts
from serving.facts import Difference
from serving.publish import publish

FIRST = date(2026, 3, 1)


def test_differences_count_rows_by_key_and_name_some_of_each(working, paths):
    """u1's score moves, u3's is no more, u4 comes; u2 is scored again and stays."""
    working.build(FIRST, run_id="first")
    publish(paths, FIRST)
    working.execute("""
        update bi.user_score_daily set run_id = 'second', scored_at = now();
        update bi.user_score_daily set decile = null where user_key = 'u1';
        delete from bi.user_score_daily where user_key = 'u3';
        insert into bi.user_score_daily
        select * replace ('u4' as user_key) from bi.user_score_daily where user_key = 'u2'
    """)
    outcome = publish(paths, FIRST)
    assert outcome.differences == [
        Difference(
            "user_score_daily",
            {"changed": 1, "added": 1, "gone": 1},
            ("u1/high_value", "u4/high_value", "u3/high_value"),
        )
    ]
    assert outcome.kept_as_published == ["user_score_daily"]


def test_differences_name_five_rows_of_a_table_at_most(working, paths):
    working.build(FIRST, score=1.0)
    publish(paths, FIRST)
    working.build(FIRST, score=2.0)
    working.execute("""
        insert into bi.user_segment_daily
        select * replace ('u4' as user_key) from bi.user_segment_daily
        where user_key = 'u1' and scheme = 'rfm'
    """)
    [users, scores] = publish(paths, FIRST).differences
    assert (users.rows, scores.rows) == ({"changed": 3 * 2, "added": 1}, {"changed": 3})
    assert users.examples == ("u1/lifecycle", "u4/rfm", "u1/rfm", "u2/lifecycle", "u2/rfm")


def test_a_day_was_said_when_it_was_first_published_and_again_when_it_was_restated(working, paths):
    working.build(FIRST)
    first = publish(paths, FIRST)
    record = {"event": "published", "as_of_date": f"{FIRST}"}
    [published] = [row["published_at"] for row in journal.read(paths.ops / "published_version.jsonl")]
    journal.append(
        paths.ops / "published_version.jsonl",
        [record | {"version": "later", "published_at": "2999-01-01T00:00:00+00:00"}],
    )
    assert facts.said_at(paths, FIRST) == published
    working.build(FIRST, score=2.0)
    restated = publish(paths, FIRST, restated_because="a test")
    assert restated.version > first.version
    [note] = facts.restatements(paths)
    assert facts.said_at(paths, FIRST) == note["restated_at"] > published


def test_a_day_is_not_restated_from_a_leg_2_that_was_built_for_another_day_meanwhile(working, paths):
    """As today's run does beside it: a published day then says what was published, as if all were well."""
    working.build(FIRST)
    publish(paths, FIRST)
    note = {"step": "build bi", "as_of_date": "2026-03-02", "token": "t", "at": journal.now()}
    journal.append(paths.ops / "warehouse_step.jsonl", [note])
    with pytest.raises(ShoalError, match="leg 2 of 2026-03-02 was built while 2026-03-01 was restated"):
        publish(paths, FIRST, restated_because="a test")
    assert facts.restatements(paths) == []
    publish(paths, FIRST)  # nothing is claimed of the day


def test_a_day_whose_publish_was_killed_was_said_when_its_facts_were_kept(working, paths):
    working.build(FIRST)
    before = journal.now()
    publish(paths, FIRST)
    (paths.ops / "published_version.jsonl").unlink()
    assert before[:19] <= facts.said_at(paths, FIRST) <= journal.now()
