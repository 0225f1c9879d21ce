"""What an analyst checks on the first day, on a made-up and on a real shop with two published days."""

from __future__ import annotations

import re
import shutil
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from serving.groups import LEAST
from settings import ShopPaths
from tests.chain import Chain
from tests.published import content

pytestmark = [pytest.mark.slow, pytest.mark.deep]

SHOPS = ["simulated", pytest.param("online_retail", marks=pytest.mark.real_data)]
CENT = Decimal("0.01")
NOBODY_THERE = "('NEW', 'ABSENT', 'IDENTIFIED', 'ERASED', '_other')"


@pytest.fixture(scope="module", params=SHOPS)
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Give a shop's chain on a copy of its data, after the day before was published as well."""
    whole: Chain = request.getfixturevalue(request.param)
    copy = Chain(whole.shop, tmp_path_factory.mktemp("first_day") / "data", run_number=100)
    shutil.copytree(whole.data, copy.data, symlinks=True)
    day = date.fromisoformat(copy.value("select max(as_of_date)::varchar from bi.user_segment_daily"))
    before = str(day - timedelta(days=1))
    copy.run("warehouse", "build", "core", "--as-of", before)
    copy.run("expectations", "ml_inputs", "--as-of", before)
    # The champion knows more than that day did: another that knows no more has to speak about it.
    copy.run("ml", "train", "--as-of", before, "--steps", "60")
    copy.run("ml", "score", "--as-of", before)
    copy.publish(before)
    return copy


def days(chain: Chain) -> list[date]:
    rows = chain.query("select distinct as_of_date::varchar as day from bi.user_segment_daily order by day")
    return [date.fromisoformat(row["day"]) for row in rows]


def known(chain: Chain, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Ask the working warehouse, which knows what was not published."""
    with duckdb.connect(str(ShopPaths(chain.shop).warehouse), read_only=True) as connection:
        return connection.execute(sql, list(parameters)).fetchall()


@pytest.fixture(autouse=True)
def _here(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_DATA", str(chain.data))


def test_1_users_per_scheme_are_the_eligible_users_each_once(chain: Chain) -> None:
    found = days(chain)
    assert len(found) == 2
    eligible = dict(
        known(
            chain,
            "select as_of_date, count(distinct user_key) from ml_inputs.fct_user_features "
            "where list_contains(?, as_of_date) group by as_of_date",
            found,
        )
    )
    rows = chain.query(
        "select as_of_date::varchar as day, scheme, count(*) as n, count(distinct user_key) as users "
        "from bi.user_segment_daily group by all"
    )
    assert {(row["day"], row["scheme"]) for row in rows} >= {
        (str(day), scheme) for day in found for scheme in ("rfm", "lifecycle")
    }
    for row in rows:
        assert row["n"] == row["users"] == eligible[date.fromisoformat(row["day"])] > 1000


def test_2_profiles_sum_to_the_users_and_shares_to_one(chain: Chain) -> None:
    rows = chain.query(
        "select sum(users)::bigint as users, round(sum(user_share), 9) as user_share, "
        "round(sum(revenue_share), 9) as revenue_share, any_value(counted.n) as n "
        "from bi.segment_profile_daily as profiles join ("
        "select as_of_date, scheme, count(*) as n from bi.user_segment_daily group by all"
        ") as counted using (as_of_date, scheme) group by as_of_date, scheme"
    )
    assert len(rows) >= 4
    assert all(row["users"] == row["n"] for row in rows)
    assert all(row["user_share"] == row["revenue_share"] == 1 for row in rows)


def test_3_margins_of_the_migration_are_both_snapshots(chain: Chain) -> None:
    before, day = days(chain)
    sizes = {
        (row["day"], row["scheme"], row["code"]): row["n"]
        for row in chain.query(
            "select as_of_date::varchar as day, scheme, segment_code as code, count(*) as n "
            "from bi.user_segment_daily group by all"
        )
    }
    moves = known(
        chain,
        "select scheme, from_code, to_code, sum(users) from intermediate.int_segment_moves_counted "
        "where from_date = ? and to_date = ? group by all",
        before,
        day,
    )
    for at, place in ((before, 1), (day, 2)):
        margins: dict[tuple[str, str, str], int] = {}
        for move in moves:
            if move[place] not in NOBODY_THERE:
                key = (str(at), move[0], move[place])
                margins[key] = margins.get(key, 0) + int(move[3])
        schemes = {scheme for _, scheme, _ in margins}
        assert schemes >= {"rfm", "lifecycle"}
        assert margins == {key: n for key, n in sizes.items() if key[0] == str(at) and key[1] in schemes}
    # What is published of it adds up to the same users, and names whole segments of the earlier day.
    told = chain.query(
        "select scheme, from_code, sum(users)::bigint as users from bi.segment_migration "
        f"where from_date = '{before}' and to_date = '{day}' group by all"
    )
    everybody: dict[str, int] = {}
    for scheme, *_, users in moves:
        everybody[scheme] = everybody.get(scheme, 0) + int(users)
    for scheme, users in everybody.items():
        assert sum(row["users"] for row in told if row["scheme"] == scheme) == users
    for row in told:
        if row["from_code"] not in NOBODY_THERE:
            assert row["users"] == sizes[str(before), row["scheme"], row["from_code"]]


def test_4_money_agrees_with_the_orders_to_the_cent(chain: Chain) -> None:
    day = days(chain)[-1]
    ((of_all, of_customers),) = known(
        chain,
        "select sum(net_revenue_amount), sum(net_revenue_amount) filter (where is_identified) "
        "from core.dim_users",
    )
    assert of_customers
    told = {
        (row["of"], row["scheme"]): Decimal(row["amount"])
        for row in chain.query(
            "select 'profile' as of, scheme, sum(net_revenue_amount)::varchar as amount "
            f"from bi.segment_profile_daily where as_of_date = '{day}' group by scheme union all "
            "select 'funnel', scheme, sum(net_revenue_amount)::varchar from bi.funnel_daily "
            "group by scheme union all "
            "select 'cohorts', null, sum(net_revenue_amount)::varchar from bi.customer_cohort_monthly"
        )
    }
    schemes = {scheme for of, scheme in told if of == "profile"}
    assert schemes == {scheme for of, scheme in told if of == "funnel"} >= {"rfm", "lifecycle", "behaviour"}
    # The whole history is younger than what eligibility looks back on, so every table tells all of it.
    for (of, scheme), amount in told.items():
        expected = of_customers if of == "cohorts" else of_all
        assert abs(amount - expected) < CENT, (of, scheme)


def test_5_history_has_no_gap_and_rebuilds_both_days(chain: Chain) -> None:
    overlapping = chain.value(
        "select count(*) from (select valid_from, lag(valid_to) over (partition by user_key, scheme "
        "order by valid_from) as ended from bi.user_segment_history) where ended > valid_from"
    )
    assert overlapping == 0
    for day in days(chain):
        rebuilt = (
            "select user_key, scheme, segment_code from bi.user_segment_history "
            f"where valid_from <= '{day}' and (valid_to is null or valid_to > '{day}')"
        )
        published = (
            f"select user_key, scheme, segment_code from bi.user_segment_daily where as_of_date = '{day}'"
        )
        for one, other in ((rebuilt, published), (published, rebuilt)):
            assert chain.value(f"select count(*) from ({one} except all {other})") == 0


def test_6_every_code_is_defined_on_its_date(chain: Chain) -> None:
    """Where a row has no as_of_date its code is of the date that the row tells of."""
    dated = [
        ("user_segment_daily", "segment_code", "as_of_date"),
        ("segment_profile_daily", "segment_code", "as_of_date"),
        ("segment_feature_index", "segment_code", "as_of_date"),
        ("segment_journey", "segment_code", "as_of_date"),
        ("user_segment_history", "segment_code", "valid_from"),
        ("segment_migration", "from_code", "from_date"),
        ("segment_migration", "to_code", "to_date"),
    ]
    nowhere = "('_other', 'NEW', 'ABSENT', 'IDENTIFIED', 'ERASED')"
    for table, code, day in dated:
        undefined = chain.query(
            f"select distinct scheme, {code}, {day} from bi.{table} as told "
            f"where {code} not in {nowhere} and not exists (select 1 from bi.dim_segment as defined "
            f"where defined.scheme = told.scheme and defined.segment_code = told.{code} "
            f"and defined.valid_from <= told.{day} "
            f"and (defined.valid_to is null or told.{day} < defined.valid_to))"
        )
        assert undefined == [], f"{table}.{code}"


def test_7_a_date_told_again_says_the_same(chain: Chain) -> None:
    paths, day = ShopPaths(chain.shop), days(chain)[-1]
    before = content(paths, day)
    assert before["user_segment_daily"]
    chain.run_number += 1
    chain.run("warehouse", "build", "core", "--as-of", str(day))
    chain.run("ml", "score", "--as-of", str(day))
    chain.publish(str(day))
    # Which versions there were is not what they say of the day.
    told = content(paths, day)
    assert {table for table in before if told[table] != before[table]} <= {"published_version"}


def test_8_nobody_is_named_and_no_group_is_small(chain: Chain) -> None:
    columns = chain.query(
        "select column_name as name from information_schema.columns where table_schema = 'bi'"
    )
    naming = re.compile(r"(^|_)(e_?mail|phone|first_name|last_name|customer_id|device_id|address)($|_)")
    assert len(columns) > 100
    assert [row["name"] for row in columns if naming.search(row["name"])] == []
    assert chain.value(
        "select bool_and(regexp_matches(user_key, '^[0-9a-f]{64}$')) from bi.user_segment_daily"
    )
    for table in (
        *("segment_profile_daily", "funnel_daily", "customer_cohort_monthly", "segment_migration"),
        "segment_journey",
    ):
        smallest = chain.value(f"select min(users) from bi.{table}")
        assert smallest is None if table == "segment_journey" and smallest is None else smallest >= LEAST, (
            table
        )


def test_9_one_query_tells_freshness_and_version(chain: Chain) -> None:
    rows = chain.query(
        "select version, as_of_date::varchar as as_of_date, published_at is not null as is_dated, user_count "
        "from bi.published_version order by published_at desc limit 1"
    )
    (newest,) = rows
    in_force = (chain.folder / "serving" / "current").resolve().name
    assert newest["version"] == in_force and newest["is_dated"] and newest["user_count"] > 1000


def test_10_every_table_and_column_is_described_where_analysts_look(chain: Chain) -> None:
    undescribed = chain.query(
        "select table_name as name from duckdb_tables() "
        "where schema_name in ('bi', 'ops') and comment is null "
        "union all select table_name || '.' || column_name from duckdb_columns() "
        "where schema_name in ('bi', 'ops') and comment is null"
    )
    assert undescribed == []
