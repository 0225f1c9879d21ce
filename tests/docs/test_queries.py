"""The twenty questions of docs/queries.md, asked of the simulated shop."""

from __future__ import annotations

import re

import duckdb
import pytest

from tests.chain import Chain
from tests.questions import EMPTY_WHEN, PAGE, Question, answered, questions


def test_the_page_holds_twenty_questions_in_order() -> None:
    assert [question.number for question in questions()] == list(range(1, 21))
    assert PAGE.read_text(encoding="utf-8").count("```sql") == 20


def test_every_word_on_an_empty_answer_is_one_that_is_checked() -> None:
    for question in questions():
        said = re.findall(r"Empty [^.]*\.", question.told)
        assert set(said) <= EMPTY_WHEN.keys(), question.text


def test_only_schema_bi_is_asked() -> None:
    for question in questions():
        tables = re.findall(r"\b(?:from|join) ([a-z_.]+)", question.sql)
        assert [table for table in tables if not table.startswith("bi.")] in ([], ["days"]), question.text


def test_a_share_of_the_funnel_is_of_those_who_took_both_steps() -> None:
    """Of 20 who looked 5 carted; 20 carted what they had seen before, and 3 paid without a checkout."""
    (question,) = (each for each in questions() if each.text == "Where does the funnel lose whom?")
    with duckdb.connect() as connection:
        connection.execute("create schema bi")
        connection.execute("""
            create table bi.funnel_daily as select
                date '2026-03-01' as date, 'lifecycle' as scheme, 'Loyal' as segment_name_en,
                20 as click_users, 25 as cart_users, 10 as checkout_users, 8 as pay_users,
                5 / 20 as click_to_cart_share, 10 / 25 as cart_to_checkout_share,
                5 / 10 as checkout_to_pay_share
        """)
        (row,) = connection.execute(question.sql).fetchall()
    assert row == ("Loyal", 20, 25, 10, 8, 25.0, 40.0, 50.0)


@pytest.mark.slow
@pytest.mark.parametrize("question", questions(), ids=lambda question: f"question_{question.number}")
def test_a_question_is_answered_on_the_simulated_shop(question: Question, simulated: Chain) -> None:
    rows = answered(simulated, question)
    unfilled = [name for name in (rows[0] if rows else ()) if all(row[name] is None for row in rows)]
    assert unfilled == []


@pytest.mark.slow
def test_all_schemes_agree_where_the_page_says_so(simulated: Chain) -> None:
    (question,) = (each for each in questions() if each.text == "Do the tables agree?")
    rows = simulated.query(question.sql)
    assert len(rows) == 4
    assert len({row["users_in_profiles"] for row in rows} | {row["users_in_segments"] for row in rows}) == 1
    # Cents of each segment are rounded once, so schemes differ by their rounding at most.
    amounts = [row["net_revenue_amount"] for row in rows]
    assert max(amounts) - min(amounts) <= 0.005 * 2 * 20
