"""The simulated shop at the end of the chain: what an analyst checks first, and what was planted."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal

import duckdb
import pytest

from benchmarks import recovery
from tests.chain import Chain

pytestmark = pytest.mark.slow

SCHEMES = ["behaviour", "lifecycle", "rfm", "value"]


def test_every_eligible_user_has_one_row_per_scheme(simulated: Chain) -> None:
    rows = simulated.query(
        "select scheme, count(*) as n, count(distinct user_key) as users from bi.user_segment_current "
        "group by scheme order by scheme"
    )
    assert [row["scheme"] for row in rows] == SCHEMES
    assert len({row["n"] for row in rows} | {row["users"] for row in rows}) == 1


def test_later_rows_were_told_to_the_training_and_changed_nothing(simulated: Chain) -> None:
    assert re.search(r"[1-9]\d+ later rows changed nothing of (1?\d\d|200) users", simulated.said["ml train"])


def test_profiles_add_up_to_all_users_and_shares_to_one(simulated: Chain) -> None:
    rows = simulated.query(
        "select scheme, sum(users)::bigint as users, round(sum(user_share), 9) as user_share, "
        "round(sum(revenue_share), 9) as revenue_share from bi.segment_profile_daily group by scheme"
    )
    users = simulated.value("select count(distinct user_key) from bi.user_segment_current")
    assert len(rows) == len(SCHEMES)
    assert all(row["users"] == users for row in rows)
    assert all(row["user_share"] == row["revenue_share"] == 1 for row in rows)


def test_money_agrees_between_schemes_to_the_cent(simulated: Chain) -> None:
    rows = simulated.query(
        "select scheme, sum(net_revenue_amount)::varchar as amount "
        "from bi.segment_profile_daily group by scheme"
    )
    amounts = [Decimal(row["amount"]) for row in rows]
    # Each segment is rounded to cents once, so schemes of different sizes differ by their rounding at most.
    assert max(amounts) - min(amounts) <= Decimal("0.005") * 2 * 20


def test_every_code_is_defined_and_named(simulated: Chain) -> None:
    undefined = simulated.value(
        "select count(*) from bi.user_segment_daily as daily "
        "left join bi.dim_segment as segment on daily.scheme = segment.scheme "
        "and daily.segment_code = segment.segment_code and daily.as_of_date >= segment.valid_from "
        "and (segment.valid_to is null or daily.as_of_date < segment.valid_to) "
        "where segment.segment_name_en is null"
    )
    assert undefined == 0


def test_every_published_row_names_a_run_of_the_manifest(simulated: Chain) -> None:
    unknown = simulated.value(
        "select count(*) from (select distinct run_id from bi.user_segment_daily) as published "
        "left join ops.run_manifest as manifest on published.run_id = manifest.run_id "
        "where manifest.run_id is null"
    )
    assert unknown == 0


def test_behaviour_segments_close_half_of_the_gap_from_the_best_rival_to_the_ceiling(
    simulated: Chain,
) -> None:
    found = recovery.judge(recovery.read(simulated.folder))
    agreement = {each.partition: each for each in found}
    rival = max(each.ari for each in found if each.partition.startswith("k-means"))
    ceiling = agreement["ceiling: forest on features and order"].ari
    assert agreement["scheme behaviour"].ari_low > (rival + ceiling) / 2 > 0.2


def test_no_raw_identifier_of_the_shop_is_published(simulated: Chain) -> None:
    published = (simulated.folder / "serving" / "current" / "shoal.duckdb").resolve().read_bytes()
    customers = duckdb.sql(
        f"select email, phone from read_csv('{simulated.drops}/customers_*', all_varchar = true, "
        "union_by_name = true) where email is not null limit 200"
    ).fetchall()
    assert customers
    assert [value for row in customers for value in row if value and value.encode() in published] == []


def test_one_more_day_is_published_beside_the_day_before(simulated: Chain) -> None:
    """No training: the champion in force scores the new day."""
    before = simulated.value("select max(as_of_date)::varchar from bi.user_segment_daily")
    said = simulated.query("select user_key, scheme, segment_code from bi.user_segment_current order by all")
    day = simulated.land(simulated.tomorrow)
    assert date.fromisoformat(day) == date.fromisoformat(before) + timedelta(days=1)
    simulated.run("warehouse", "build", "core", "--as-of", day)
    simulated.run("expectations", "ml_inputs", "--as-of", day)
    simulated.run("ml", "score", "--as-of", day)
    simulated.publish(day)
    days = simulated.query(
        "select distinct as_of_date::varchar as day from bi.user_segment_daily order by all"
    )
    assert [row["day"] for row in days] == [before, day]
    yesterday = simulated.query(
        "select user_key, scheme, segment_code from bi.user_segment_daily "
        "where as_of_date = (select min(as_of_date) from bi.user_segment_daily) order by all"
    )
    assert yesterday == said, "a published day changed"
    assert simulated.value("select count(*) from bi.user_segment_current where days_in_segment > 1") > 0
