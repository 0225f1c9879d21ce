"""Why a segment is what it is: its features beside everybody's, and its journeys, on planted users.

Thirty loyal users bought 6 times each, ten window shoppers and five searchers not at all. Five is too few
to be told, so the searchers are told with the next smallest, the window shoppers.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from math import sqrt

import duckdb
import pandas as pd
import pytest

from settings import ShopPaths
from tests.dbt.test_bi_models import Chain
from warehouse import dbt as runner

DAY = date(2026, 3, 31)
LOYAL, WINDOW, SEARCH = "loyal_regulars", "window_shoppers", "searchers"
USERS = {f"u{number:02}": LOYAL if number < 30 else WINDOW if number < 40 else SEARCH for number in range(45)}

UPSTREAM = """
create schema if not exists bi;
create table bi.user_segment_daily (
    as_of_date date, user_key varchar, scheme varchar, segment_code varchar, segment_name_en varchar,
    segment_name_zh varchar
);
create table intermediate.int_user_segments_assigned as from bi.user_segment_daily;
"""


def _write(connection: duckdb.DuckDBPyConnection) -> None:
    for user, code in USERS.items():
        is_loyal = code == LOYAL
        for table in ("bi.user_segment_daily", "intermediate.int_user_segments_assigned"):
            connection.execute(
                f"insert into {table} values (?, ?, 'behaviour', ?, ?, '名')", [DAY, user, code, code]
            )
        connection.execute("insert into intermediate.int_users_eligible values (?, ?)", [DAY, user])
        # Nine of the loyal wrote reviews: too few to tell their mean.
        stars = 5 if user < "u09" else None
        connection.execute(
            "insert into ml_inputs.fct_user_features by name select ?::date as as_of_date, ? as user_key, "
            "? as order_count, ? as discount_share, ? as recency_days, ? as review_score_avg, "
            "7 as tenure_days",
            [DAY, user, 6 if is_loyal else 0, 0.61 if is_loyal else 0.01, 3 if is_loyal else 40, stars],
        )
        # Twelve loyal users look twice at toys, fill the cart and buy the day after; all others only look.
        steps = [("view", 0), ("view", 60), ("cart", 120), ("purchase", 86_000)]
        for number, (kind, seconds) in enumerate(steps if user < "u12" else steps[:1]):
            at = datetime(2026, 3, 20, 9) + timedelta(seconds=seconds)
            connection.execute(
                "insert into intermediate.int_events_stitched by name select ?::date as as_of_date, "
                "? as event_key, ? as user_key, ?::timestamp as occurred_at, ?::date as event_date, "
                "? as event_type, 'p1' as product_id, 1 as row_number",
                [DAY, f"{user}-{number}", user, at, at.date(), kind],
            )
    connection.execute("insert into intermediate.int_products_known values (?, 'p1', true, 5, 'toys')", [DAY])


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Build the two models on tables that play their parents."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("data")))
        paths = ShopPaths("simulated")
        paths.landing.mkdir(parents=True)
        chain = Chain(paths)
        chain.execute(UPSTREAM)
        with duckdb.connect(str(paths.warehouse)) as connection:
            _write(connection)
        names = ("segment_features", "event_types", "int_segment_features_indexed")
        names += ("segment_feature_index", "segment_journey")
        assert chain.run("build", "--select", *names, "--exclude", "resource_type:unit_test", day=DAY)
        yield chain


def _feature(chain, name):
    return chain.ask(f"""
        select segment_code, users, segment_value, round(population_value, 6), index_100, effect_size,
            sentence_en, sentence_zh
        from bi.segment_feature_index where feature = '{name}' order by segment_code desc
    """)


def test_a_feature_is_told_beside_everybodys_and_small_segments_together(told):
    loyal, other = _feature(told, "order_count")
    mean, square = 30 * 6 / 45, 30 * 36 / 45
    deviation = sqrt(square - mean**2)
    assert loyal == (
        LOYAL, 30, 6.0, mean, 150.0, round((6 - mean) / deviation, 4),
        "buys 1.5 times as often as the average customer", "购买次数是平均顾客的1.5倍",
    )  # fmt: skip
    assert other[:6] == ("_other", 10 + 5, 0.0, mean, 0.0, round(-mean / deviation, 4))


def test_shares_and_days_are_told_in_their_own_unit(told):
    mean = (30 * 0.61 + 15 * 0.01) / 45
    assert _feature(told, "discount_share")[0][6] == (
        f"gets 61 % off through discounts (average customer: {round(100 * mean)} %)"
    )
    mean = (30 * 3 + 15 * 40) / 45
    assert _feature(told, "recency_days")[0][6] == (
        f"last seen 3.0 days ago (average customer: {round(mean)})"
    )


def test_what_few_users_have_or_what_does_not_vary_is_not_told(told):
    assert _feature(told, "review_score_avg") == []
    assert _feature(told, "tenure_days") == []


def test_rank_begins_with_what_sets_a_segment_apart_most(told):
    rows = told.ask("select segment_code, rank, abs(effect_size) from bi.segment_feature_index order by 1, 2")
    for code in {row[0] for row in rows}:
        mine = [row for row in rows if row[0] == code]
        assert [row[1] for row in mine] == list(range(1, len(mine) + 1))
        assert [row[2] for row in mine] == sorted((row[2] for row in mine), reverse=True)


def test_a_journey_is_told_once_ten_users_took_it(told):
    rows = told.ask("""
        select segment_code, rank, first_step, first_gap, middle_step, last_gap, last_step, users, user_share
        from bi.segment_journey
    """)
    # Two looks are one step; a view alone is no path.
    assert rows == [
        (LOYAL, 1, "view toys", "same_visit", "cart toys", "same_day", "purchase toys", 12, 12 / 30)
    ]


def test_every_phrase_has_a_feature_and_the_slots_of_its_kind():
    phrases = pd.read_csv(runner.PROJECT / "seeds" / "segment_features.csv")
    sql = (
        runner.PROJECT / "models" / "intermediate" / "segments" / "int_segment_features_indexed.sql"
    ).read_text()
    listed = [word.strip(" '\n") for word in sql.partition("[")[2].partition("]")[0].split(",")]
    assert listed == phrases["feature"].tolist()
    for row in phrases.itertuples(index=False):
        slots = ("{times}",) if row.kind == "ratio" else ("{value}", "{average}")
        assert all(slot in text for slot in slots for text in (row.phrase_en, row.phrase_zh)), row.feature
