"""A small warehouse by hand: three customers, two schemes, whatever days a test asks for.

u1 buys for 100.00, u2 for 20.50, u3 only looks. The value of every test is known by arithmetic.
"""

from __future__ import annotations

from datetime import date

import duckdb
import pytest

from serving.tables import BI_TABLES
from settings import ShopPaths

FIRST = date(2026, 3, 1)

SEGMENTS = {
    "rfm": {"u1": "champions", "u2": "promising", "u3": "not_bought"},
    "lifecycle": {"u1": "loyal", "u2": "purchased", "u3": "aware"},
}
REVENUE = {"u1": "100.00", "u2": "20.50", "u3": "0.00"}

TABLES = """
create schema if not exists bi;
create schema if not exists ops;
create table bi.dim_segment (
    scheme varchar, segment_code varchar, valid_from date, valid_to date, segment_name_en varchar,
    segment_name_zh varchar, description_en varchar, description_zh varchar, kind varchar,
    model_version varchar, event varchar, parent_code varchar, run_id varchar
);
create table bi.user_segment_daily (
    as_of_date date, user_key varchar, scheme varchar, segment_code varchar, segment_name_en varchar,
    segment_name_zh varchar, score double, days_in_segment bigint, is_new_user boolean,
    model_version varchar, run_id varchar
);
create view bi.user_segment_current as
select * from bi.user_segment_daily where as_of_date = (select max(as_of_date) from bi.user_segment_daily);
create table bi.segment_profile_daily (
    as_of_date date, scheme varchar, segment_code varchar, segment_name_en varchar, users bigint,
    net_revenue_amount decimal(18, 2), run_id varchar, segment_name_zh varchar, user_share double
);
create table bi.user_score_daily (
    as_of_date date, user_key varchar, score_name varchar, score double, decile integer,
    model_version varchar, scored_at timestamp, run_id varchar
);
create table bi.customer_cohort_monthly (
    cohort_month date, month_number integer, users bigint, buyers bigint, net_revenue_amount decimal(18, 2),
    run_id varchar
);
create table bi.funnel_daily (
    date date, scheme varchar, segment_code varchar, channel varchar, users bigint, pay_users bigint,
    run_id varchar
);
create table bi.segment_migration (
    scheme varchar, from_date date, to_date date, from_code varchar, to_code varchar, cause varchar,
    users bigint, run_id varchar
);
create table bi.published_version (
    version varchar, as_of_date date, published_at timestamp, run_id varchar, is_pinned boolean,
    degraded_because varchar, user_count bigint, row_counts varchar
);
"""


def _type(column: str) -> str:
    return "date" if column.endswith("_date") or column == "valid_from" else "varchar"


class Warehouse:
    """Play dbt: put days into the working warehouse."""

    def __init__(self, paths: ShopPaths) -> None:
        self.paths = paths
        paths.root.mkdir(parents=True)
        self.execute(TABLES)
        for table in BI_TABLES:  # what no test here looks into is there, and empty
            columns = ", ".join(f"{name} {_type(name)}" for name in dict.fromkeys([*table.key, "run_id"]))
            self.execute(f"create table if not exists bi.{table.name} ({columns})")

    def execute(self, sql: str, parameters: list[object] | None = None) -> None:
        with duckdb.connect(str(self.paths.warehouse)) as connection:
            connection.execute(sql, parameters or [])

    def build(self, day: date, run_id: str = "run-1", score: float = 1.0) -> None:
        """Write one as_of_date as leg 2 would; a second call for the same day replaces it."""
        with duckdb.connect(str(self.paths.warehouse)) as connection:
            connection.begin()
            for table in ("user_segment_daily", "segment_profile_daily", "user_score_daily"):
                connection.execute(f"delete from bi.{table} where as_of_date = ?", [day])
            for scheme, users in SEGMENTS.items():
                for user, code in users.items():
                    connection.execute(
                        "insert into bi.user_segment_daily values (?, ?, ?, ?, ?, ?, ?, 1, false, '4', ?)",
                        [day, user, scheme, code, code.title(), "名", score, run_id],
                    )
                    connection.execute(
                        "insert into bi.segment_profile_daily values (?, ?, ?, ?, 1, ?, ?, '名', 1 / 3)",
                        [day, scheme, code, code.title(), REVENUE[user], run_id],
                    )
                    connection.execute(
                        "insert into bi.dim_segment select "
                        "?, ?, ?, null, ?, '名', 'd', '述', 'rule', null, 'born', null, ? where not exists "
                        "(from bi.dim_segment where scheme = ? and segment_code = ?)",
                        [scheme, code, FIRST, code.title(), run_id, scheme, code],
                    )
            for user in REVENUE:
                connection.execute(
                    "insert into bi.user_score_daily values (?, ?, 'high_value', ?, 1, '4', now(), ?)",
                    [day, user, score, run_id],
                )
            connection.commit()


@pytest.fixture
def paths(tmp_path, monkeypatch) -> ShopPaths:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    monkeypatch.delenv("SHOAL_RUN_ID", raising=False)
    return ShopPaths("simulated")


@pytest.fixture
def working(paths) -> Warehouse:
    return Warehouse(paths)
